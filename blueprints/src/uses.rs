//! One module in a blueprint, or in another module: `gpus: { use: gpu-nodes, with: { … } }`.

use crate::language;
use crate::scope::Key;
use crate::shape::{Findings, Place, identifier};
use forge_engine::diag::Diagnostic;
use std::collections::BTreeMap;

/// A module as it is used.
#[derive(Debug)]
pub(crate) struct Used<'a> {
    pub(crate) place: Place<'a>,
    /// The name that references say; the same for all instances.
    pub(crate) name: &'a str,
    /// Which instance this is, where the blueprint names one: `gpus[0]`, `gpus["a"]`.
    pub(crate) key: Option<Key>,
    /// What `use:` says.
    pub(crate) use_name: &'a str,
    pub(crate) use_place: Place<'a>,
    /// The module's own name among all that are loaded; see [`canonical`].
    pub(crate) canonical: String,
    pub(crate) with: BTreeMap<&'a str, Place<'a>>,
    pub(crate) when: Option<Place<'a>>,
    pub(crate) for_each: Option<Place<'a>>,
    pub(crate) protect: bool,
    pub(crate) depends_on: Vec<(&'a str, Place<'a>)>,
}

impl<'a> Used<'a> {
    /// Everything in it that may refer to something.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place<'a>> {
        self.with.values().chain(&self.when).chain(&self.for_each)
    }
}

/// The modules under a key, and the names of those too broken to be used, so that references to them stay silent.
pub(crate) fn read<'a>(
    parent: &Place<'a>,
    base: &str,
    reserved: &dyn Fn(&str) -> bool,
    out: &mut Findings,
) -> (BTreeMap<&'a str, Used<'a>>, Vec<&'a str>) {
    let (mut modules, mut broken) = (BTreeMap::new(), Vec::new());
    let Some(place) = parent.get("modules").filter(|modules| modules.map(out)) else { return (modules, broken) };
    for (whole, place) in place.entries() {
        let (name, key) = instance(whole);
        identifier(name, &place, reserved, out);
        match used(&place, name, key, base, out) {
            Some(used) => {
                modules.insert(whole, used);
            }
            None => broken.push(name),
        }
    }
    let mut groups: BTreeMap<&str, Vec<&Used<'a>>> = BTreeMap::new();
    modules.values().for_each(|used: &Used<'a>| groups.entry(used.name).or_default().push(used));
    let several: Vec<Diagnostic> = groups.values().filter_map(|group| together(group)).collect();
    let wrong: Vec<&str> =
        groups.iter().filter(|(_, group)| together(group).is_some()).map(|(name, _)| *name).collect();
    out.extend(several);
    modules.retain(|_, used| !wrong.contains(&used.name));
    broken.extend(wrong);
    (modules, broken)
}

/// Why uses of one name cannot be the instances of one module. Numbers may have gaps: they are the positions in the list
/// that `for_each` went over, where `when` may have left some out, and another number would be another address.
fn together(group: &[&Used<'_>]) -> Option<Diagnostic> {
    let find = |wanted: &dyn Fn(&Used<'_>) -> bool| group.iter().find(|used| wanted(used)).copied();
    let named = find(&|used| matches!(used.key, Some(Key::Name(_))));
    let numbered = find(&|used| matches!(used.key, Some(Key::Index(_))));
    let (one, keyed) = (find(&|used| used.key.is_none()), named.or(numbered)?);
    let error =
        |summary: String, used: &Used<'_>| Diagnostic::error("bad-instance", summary).at(used.place.key_at(), "");
    let name = keyed.name;
    if let Some(one) = one {
        let finding = error(format!("`{name}` is one module here and several there"), keyed);
        let finding = finding.also(one.place.key_at(), "one").why("References could not tell which is meant.");
        return Some(finding.help("Rename one of them."));
    }
    if let (Some(named), Some(numbered)) = (named, numbered) {
        let finding = error(format!("instances of `{name}` have both numbers and names"), named);
        let finding =
            finding.also(numbered.place.key_at(), "a number").why("References to it are to a list or to a mapping.");
        return Some(finding.help("Give each of them a number, or each a name."));
    }
    let mut seen = BTreeMap::new();
    let twice = group.iter().find_map(|used| Some((used, seen.insert(&used.key, used)?)));
    if let Some((used, first)) = twice {
        let key = used.key.as_ref().map(ToString::to_string).unwrap_or_default();
        let finding = error(format!("the instance `{name}{key}` stands twice"), used);
        return Some(finding.also(first.place.key_at(), "first here").help("Remove one of them."));
    }
    if let Some(used) = find(&|used| used.for_each.is_some()) {
        let at = used.for_each.as_ref().map_or_else(|| used.place.key_at(), Place::key_at);
        let finding = Diagnostic::error("bad-instance", "one instance cannot repeat").at(at, "");
        let finding = finding.why("What stands in brackets says which of several instances this is.");
        return Some(finding.help(format!("Remove `for_each`, or call it `{name}`.")));
    }
    let odd = find(&|used| matches!(&used.key, Some(Key::Name(name)) if !is_plain(name)))?;
    let finding = error("this cannot tell an instance from others".to_owned(), odd);
    Some(finding.why(ODD_KEY).help("Choose another name for it."))
}

/// Why some keys cannot be a part of an address.
pub(crate) const ODD_KEY: &str =
    "It becomes a part of addresses, where quotes, backslashes and what cannot be seen would be misread.";

/// Whether a key reads in an address as it is.
pub(crate) fn is_plain(key: &str) -> bool {
    format!("{key:?}") == format!("\"{key}\"")
}

/// `gpus["a"]` is the instance `a` of `gpus`.
fn instance(whole: &str) -> (&str, Option<Key>) {
    let split = whole.split_once('[').and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?)));
    let Some((name, inside)) = split else { return (whole, None) };
    let key = match serde_json::from_str(inside) {
        Ok(serde_json::Value::Number(number)) => {
            number.as_u64().and_then(|index| usize::try_from(index).ok()).map(Key::Index)
        }
        Ok(serde_json::Value::String(name)) => Some(Key::Name(name)),
        _ => None,
    };
    key.map_or((whole, None), |key| (name, Some(key)))
}

fn used<'a>(place: &Place<'a>, name: &'a str, key: Option<Key>, base: &str, out: &mut Findings) -> Option<Used<'a>> {
    if !place.shape(&language::USE.names(), out) {
        return None;
    }
    let with = match place.get("with") {
        Some(with) if with.map(out) => with.entries(),
        _ => Vec::new(),
    };
    let Some(use_place) = place.get("use") else {
        let finding = Diagnostic::error("missing-key", format!("`{}` does not say which module it uses", place.name()))
            .at(place.key_at(), "")
            .help("Add `use:` and a module, such as `use: s3`.");
        out.push(finding);
        return None;
    };
    let use_name = use_place.text(out)?;
    Some(Used {
        name,
        key,
        canonical: canonical(base, use_name),
        use_name,
        use_place,
        with: with.into_iter().collect(),
        when: place.get("when"),
        for_each: place.get("for_each"),
        protect: place.get("protect").and_then(|place| place.bool(out)).unwrap_or(false),
        depends_on: names(place, "depends_on", out),
        place: place.clone(),
    })
}

/// A list of names.
pub(crate) fn names<'a>(place: &Place<'a>, key: &str, out: &mut Findings) -> Vec<(&'a str, Place<'a>)> {
    let Some(list) = place.get(key).and_then(|place| place.list(out)) else { return Vec::new() };
    list.into_iter().filter_map(|item| Some((item.text(out)?, item))).collect()
}

/// Whether `use:` names a directory and not a built-in module.
pub(crate) fn is_path(use_name: &str) -> bool {
    use_name.starts_with("./") || use_name.starts_with("../")
}

/// What `use:` means in a module of that name (the empty one is the blueprint): a built-in module's name as it is, a
/// directory relative to the blueprint's, without needless steps.
pub(crate) fn canonical(base: &str, use_name: &str) -> String {
    if !is_path(use_name) {
        return use_name.to_owned();
    }
    let mut steps: Vec<&str> = Vec::new();
    for step in base.split('/').chain(use_name.split('/')).filter(|step| !matches!(*step, "" | ".")) {
        match (step, steps.last()) {
            ("..", Some(last)) if *last != ".." => {
                steps.pop();
            }
            _ => steps.push(step),
        }
    }
    let prefix = if steps.first() == Some(&"..") { "" } else { "./" };
    format!("{prefix}{}", steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_name() {
        for (base, use_name, wanted) in [
            ("", "vpc", "vpc"),
            ("", "./net", "./net"),
            ("", "./a/../net/", "./net"),
            ("./net", "./inner", "./net/inner"),
            ("./net", "../other", "./other"),
            ("", "../net", "../net"),
            ("../net", "../../x", "../../x"),
        ] {
            assert_eq!(canonical(base, use_name), wanted);
        }
    }

    #[test]
    fn keys_name_instances() {
        assert_eq!(instance("gpus"), ("gpus", None));
        assert_eq!(instance("gpus[2]"), ("gpus", Some(Key::Index(2))));
        assert_eq!(instance(r#"gpus["a b"]"#), ("gpus", Some(Key::Name("a b".to_owned()))));
        assert_eq!(instance("gpus[x]"), ("gpus[x]", None));
    }
}
