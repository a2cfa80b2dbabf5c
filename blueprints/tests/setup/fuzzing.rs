//! What must hold for every input: the fuzz targets of `fuzz/` look for one that breaks it, `corpus.rs` replays what they
//! have kept.

use super::{Outcome, outcome_among, outcome_beside, render};
use forge_blueprints::Target;
use forge_engine::diag::{Locate, has_errors};
use forge_engine::kind::Kinds;
use forge_engine::value::{Output, Value};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// Stands alone on a line between a blueprint and the definition of its module `./m`.
pub(crate) const SEPARATOR: &str = "%%%\n";

/// Any bytes as a blueprint, and as the module that it may use.
pub(crate) fn yaml(kinds: &dyn Fn(Target) -> Kinds, bytes: &[u8]) {
    let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR.as_bytes());
    let (blueprint, files) = match at {
        Some(at) => (&bytes[..at], vec![("m/module.yaml", &bytes[at + SEPARATOR.len()..])]),
        None => (bytes, Vec::new()),
    };
    for target in Target::ALL {
        let first = outcome_among(kinds, blueprint, &[], Some(target.name()), &files, &[]);
        sound(&first);
        again(kinds, &first, target, &files);
    }
}

/// Whatever comes in, findings come out that can be shown, or a result.
pub(crate) fn sound(outcome: &Outcome) {
    assert_eq!(outcome.expanded.is_none(), has_errors(&outcome.findings), "a result or errors");
    let text = render::render(&outcome.findings, &outcome.sources, true);
    assert_eq!(text.is_empty(), outcome.findings.is_empty());
    for finding in &outcome.findings {
        assert!(finding.summary.len() < 2000, "{}", finding.summary.len());
        let found = finding.primary.as_ref().map(|label| outcome.sources.locate(&label.at).is_some());
        assert_ne!(found, Some(false), "every place can be found: {}", finding.id);
    }
    let Some(expanded) = &outcome.expanded else { return };
    let resources = &expanded.desired.resources;
    let mut addresses: Vec<&str> = resources.iter().map(|resource| resource.address.as_str()).collect();
    let count = addresses.len();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), count, "each address once");
    for resource in resources {
        for need in resource.dependencies() {
            assert!(addresses.binary_search(&need.as_str()).is_ok(), "{} needs {need}", resource.address);
        }
    }
}

/// What `forge expand` prints comes to the same.
pub(crate) fn again(kinds: &dyn Fn(Target) -> Kinds, first: &Outcome, target: Target, files: &[(&str, &[u8])]) {
    if first.expanded.is_none() {
        return;
    }
    let text = first.resolved();
    if text.is_empty() {
        return;
    }
    let second = outcome_among(kinds, text.as_bytes(), &[], Some(target.name()), files, &[]);
    assert_eq!(meaning(first), meaning(&second), "{text}\n{}", second.text());
    assert_eq!(text, second.resolved());
}

/// The resources, the jobs and what is said, without places.
pub(crate) fn meaning(outcome: &Outcome) -> String {
    let mut ids: Vec<&str> = outcome
        .findings
        .iter()
        .filter(|finding| has_errors(std::slice::from_ref(finding)))
        .map(|finding| finding.id)
        .collect();
    ids.sort_unstable();
    let Some(expanded) = &outcome.expanded else { return format!("{ids:?}") };
    let mut text = String::new();
    for resource in &expanded.desired.resources {
        let (depends_on, protect) = (&resource.depends_on, resource.protect);
        let _ = writeln!(text, "{} {} {:?} {depends_on:?} {protect}", resource.address, resource.kind, resource.spec);
    }
    let _ = writeln!(text, "{:?}\n{:?}\n{:?}", expanded.jobs, expanded.notes, expanded.settings);
    text
}

/// Where an expression stands.
const POSITIONS: [&str; 9] = ["with", "text", "for_each", "when", "check", "let", "output", "note", "use"];

/// An expression, at one of several places of a blueprint that is right otherwise. The first byte says where, the second
/// whether the rest is its text or chooses one that can be parsed.
pub(crate) fn expression(bytes: &[u8]) {
    let [place, form, rest @ ..] = bytes else { return };
    let position = POSITIONS[usize::from(*place) % POSITIONS.len()];
    let source = match form % 2 {
        0 => String::from_utf8_lossy(rest).chars().filter(|c| !c.is_control()).collect(),
        _ => grow(&mut rest.iter().copied(), 0),
    };
    let unknown = place_in(position, &source, None);
    sound(&unknown);
    if !matches!(position, "with" | "text") {
        return;
    }
    // What can be said before apply must be what would be said after it, whatever it is that apply finds out.
    let Some(before) = item(&unknown) else { return };
    for found in ["A", "s3://b/1"] {
        let known = place_in(position, &source, Some(found));
        let after = item(&known).and_then(|value| value.to_json());
        let lookup = |output: &Output| Some(Json::String(told(output, found)));
        let before = before.resolve(&lookup).ok();
        assert_eq!(before, after, "{source}\nwith {found:?}: {}", known.text());
    }
}

fn told(output: &Output, found: &str) -> String {
    if output.name == "id" { format!("{found}-id") } else { found.to_owned() }
}

/// The specification of the item whose value the expression gives.
fn item(outcome: &Outcome) -> Option<&Value> {
    let resources = &outcome.expanded.as_ref()?.desired.resources;
    let item = resources.iter().find(|resource| resource.address.as_str() == "m.item")?;
    match &item.spec {
        Value::Map(fields) => fields.get("value"),
        _ => None,
    }
}

/// A blueprint with the expression in it; what `z` has is known when it is given.
fn place_in(position: &str, source: &str, known: Option<&str>) -> Outcome {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let whole = quoted(&format!("${{{source}}}"));
    let at = |wanted: &str, other: &str| if position == wanted { whole.clone() } else { other.to_owned() };
    let text = quoted(&format!("a ${{{source}}} b"));
    let value = if position == "text" { text } else { at("with", "1") };
    let used = at("use", "3");
    let blueprint = format!(
        "forge: v1\nname: f\ntarget: local\nvars:\n  nodes: {{ type: int, default: 3 }}\n  size: {{ type: string, default: big }}\n  \
        zones: {{ type: list, default: [a, b] }}\n  sizes: {{ type: map, default: {{ a: 1, b: [2, x] }} }}\n\
        modules:\n  z: {{ use: ./z }}\n  m:\n    use: ./m\n    with: {{ z: '${{z}}', nodes: '${{vars.nodes}}', size: '${{vars.size}}', \
        zones: '${{vars.zones}}', sizes: '${{vars.sizes}}', used: {used} }}\n"
    );
    let module = format!(
        "module: m\ninputs:\n  z: {{ type: module }}\n  nodes: {{ type: int }}\n  size: {{ type: string }}\n  zones: {{ type: list }}\n  \
        sizes: {{ type: map }}\n  used: {{ type: int }}\ndata: {{ a: {{ b: [1, {{ c: x }}] }} }}\n\
        targets:\n  local:\n    lets:\n      let: {}\n      all: '${{[inputs.z.id, inputs.z.url]}}'\n    resources:\n      \
        item: {{ kind: local.item, with: {{ value: {value} }} }}\n      \
        many: {{ kind: local.item, for_each: {}, when: {}, with: {{ name: '${{each.key}}', value: '${{each.value}}' }} }}\n      \
        last: {{ kind: local.item, with: {{ value: '${{lets.let}}' }} }}\n    outputs:\n      id: {}\n    \
        notes: [{{ say: {} }}]\n    checks: [{{ that: {}, say: no }}]\n",
        at("let", "1"),
        at("for_each", "[a, '${inputs.z.id}']"),
        at("when", "true"),
        at("output", "1"),
        at("note", "said"),
        at("check", "'${true}'"),
    );
    let other = match known {
        Some(known) => {
            format!(
                "module: z\ntargets:\n  local:\n    outputs: {{ id: '{known}-id', url: '{known}', list: ['{known}'] }}\n"
            )
        }
        None => "module: z\ntargets:\n  local:\n    resources:\n      item: { kind: local.item }\n    \
            outputs: { id: '${item.id}', url: '${item.url}', list: ['${item.url}'] }\n"
            .to_owned(),
    };
    let files = [("m/module.yaml", module.as_bytes()), ("z/module.yaml", other.as_bytes())];
    outcome_beside(blueprint.as_bytes(), &[], None, &files, &[])
}

/// An expression of the language's grammar, chosen by bytes; short when they run out.
fn grow(bytes: &mut dyn Iterator<Item = u8>, depth: usize) -> String {
    const LEAVES: [&str; 26] = [
        "inputs.z.url",
        "inputs.z.id",
        "inputs.z",
        "inputs.z.list",
        "inputs.nodes",
        "inputs.size",
        "inputs.zones",
        "inputs.sizes",
        "inputs",
        "lets.all",
        "data.a.b",
        "data",
        "each.key",
        "each.value",
        "target.nodes",
        "module.name",
        "deployment.name",
        "1",
        "0",
        "-3",
        "2.5",
        "'x'",
        "''",
        "none",
        "true",
        "false",
    ];
    const BINARY: [&str; 17] =
        ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in"];
    const FILTERS: [&str; 45] = [
        "list",
        "length",
        "first",
        "last",
        "min",
        "max",
        "sum",
        "sort",
        "unique",
        "reverse",
        "join",
        "join(',')",
        "upper",
        "lower",
        "trim",
        "title",
        "replace('x', 'y')",
        "default('d')",
        "int",
        "float",
        "string",
        "bool",
        "abs",
        "round",
        "items",
        "keys",
        "values",
        "tojson",
        "json",
        "from_json",
        "flatten",
        "sha256",
        "ceil",
        "floor",
        "pluck('id')",
        "map(attribute='url')",
        "map('upper')",
        "select",
        "reject",
        "select('defined')",
        "dictsort",
        "groupby('url')",
        "cidr_subnet(8, 1)",
        "merge({'a': 2})",
        "attr('url')",
    ];
    const TESTS: [&str; 12] = [
        "none",
        "string",
        "number",
        "mapping",
        "sequence",
        "defined",
        "undefined",
        "true",
        "odd",
        "iterable",
        "eq(1)",
        "in(['x'])",
    ];
    let pick = |bytes: &mut dyn Iterator<Item = u8>, from: &[&str]| {
        from[usize::from(bytes.next().unwrap_or_default()) % from.len()].to_owned()
    };
    let Some(choice) = bytes.next().filter(|_| depth < 6) else { return "inputs.z.url".to_owned() };
    let mut part = || grow(bytes, depth + 1);
    match choice % 16 {
        0 | 1 => pick(bytes, &LEAVES),
        2 | 3 => {
            let (left, right) = (part(), part());
            format!("({left} {} {right})", pick(bytes, &BINARY))
        }
        4..=6 => {
            let left = part();
            format!("({left} | {})", pick(bytes, &FILTERS))
        }
        7 => {
            let left = part();
            format!("({left} is {})", pick(bytes, &TESTS))
        }
        8 | 9 => format!("({} if {} else {})", part(), part(), part()),
        10 => format!("[{}, {}]", part(), part()),
        11 => format!("{{'a': {}, 'url': {}}}", part(), part()),
        12 => format!("{}[{}]", part(), part()),
        13 => format!("{}[{}:{}]", part(), part(), part()),
        14 => format!("(not {})", part()),
        _ => format!("range({} | length)", part()),
    }
}

/// An input of [`yaml`] from a blueprint and perhaps its module.
pub(crate) fn seed(blueprint: &[u8], module: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = blueprint.to_vec();
    if let Some(module) = module {
        bytes.extend(SEPARATOR.as_bytes());
        bytes.extend(module);
    }
    bytes
}
