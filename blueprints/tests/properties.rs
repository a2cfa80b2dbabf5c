//! Properties of random blueprints: modules in modules, repetition, conditions, references. A model that knows nothing of
//! YAML or expressions says what each comes to.

mod setup;

use forge_blueprints::Target;
use proptest::prelude::*;
use setup::fuzzing::{again, meaning, sound};
use setup::{Outcome, outcome_beside};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A blueprint before it is text, its keys in an order.
#[derive(Debug, Clone)]
enum Tree {
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
    Text(String),
    Plain(String),
}

fn text(text: impl Into<String>) -> Tree {
    Tree::Text(text.into())
}

fn plain(value: impl ToString) -> Tree {
    Tree::Plain(value.to_string())
}

fn map<const N: usize>(entries: [(&str, Tree); N]) -> Tree {
    Tree::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Numbers that look random and are the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

impl Tree {
    /// The same with the keys of every mapping in another order.
    fn shuffled(&self, dice: &mut Dice) -> Self {
        match self {
            Self::Map(entries) => {
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, item)| (key.clone(), item.shuffled(dice))).collect();
                for at in (1..entries.len()).rev() {
                    entries.swap(at, dice.roll(at + 1));
                }
                Self::Map(entries)
            }
            Self::List(items) => Self::List(items.iter().map(|item| item.shuffled(dice)).collect()),
            other => other.clone(),
        }
    }

    /// As YAML, blocks and braces mixed.
    fn print(&self, depth: usize, dice: &mut Dice, out: &mut String) {
        match self {
            Self::Map(entries) if depth < 2 || (!entries.is_empty() && depth < 7 && dice.roll(3) > 0) => {
                for (key, item) in entries {
                    let _ = write!(out, "\n{:1$}{key}: ", "", depth * 2);
                    item.print(depth + 1, dice, out);
                }
            }
            Self::List(items) if depth < 6 && !items.is_empty() && dice.one_in(2) => {
                for item in items {
                    let _ = write!(out, "\n{:1$}- ", "", depth * 2);
                    item.print(9, dice, out);
                }
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, item)| {
                    let mut text = format!("{key}: ");
                    item.print(9, dice, &mut text);
                    text
                });
                let _ = write!(out, "{{{}}}", entries.collect::<Vec<_>>().join(", "));
            }
            Self::List(items) => {
                let items = items.iter().map(|item| {
                    let mut text = String::new();
                    item.print(9, dice, &mut text);
                    text
                });
                let _ = write!(out, "[{}]", items.collect::<Vec<_>>().join(", "));
            }
            Self::Text(text) => {
                let _ = write!(out, "'{}'", text.replace('\'', "''"));
            }
            Self::Plain(text) => out.push_str(text),
        }
    }

    fn yaml(&self, seed: u64) -> String {
        let mut out = String::new();
        self.print(0, &mut Dice(seed | 1), &mut out);
        out.push('\n');
        out
    }
}

/// How often something stands there.
#[derive(Debug, Clone)]
enum Repeat {
    Once,
    Times(usize),
    Keys(Vec<&'static str>),
}

impl Repeat {
    fn random(dice: &mut Dice) -> Self {
        match dice.roll(6) {
            0 => Self::Times(dice.roll(4)),
            1 => Self::Keys(["a", "b", "c"][..dice.roll(4)].to_vec()),
            _ => Self::Once,
        }
    }

    /// The ends of the addresses.
    fn ends(&self) -> Vec<String> {
        match self {
            Self::Once => vec![String::new()],
            Self::Times(count) => (0..*count).map(|index| format!("[{index}]")).collect(),
            Self::Keys(keys) => keys.iter().map(|key| format!("[{key:?}]")).collect(),
        }
    }

    fn tree(&self) -> Option<Tree> {
        match self {
            Self::Once => None,
            Self::Times(count) => Some(text(format!("${{range({count})}}"))),
            Self::Keys(keys) => Some(Tree::Map(keys.iter().map(|key| ((*key).to_owned(), plain(key.len()))).collect())),
        }
    }

    /// An expression for an output of all that stand there.
    fn all(&self, name: &str, output: &str) -> String {
        match self {
            Self::Once => format!("{name}.{output}"),
            Self::Times(_) => format!("{name} | map(attribute='{output}') | list"),
            Self::Keys(_) => format!("{name} | values | pluck('{output}')"),
        }
    }
}

/// Something that a module declares: a resource, or a use of a module further down.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    /// The module that is used; a resource when absent.
    module: Option<usize>,
    repeat: Repeat,
    wanted: bool,
    protect: bool,
    /// Parts before it whose outputs it refers to.
    refers: Vec<usize>,
    /// Whether it refers to what the module was given.
    given: bool,
    /// Parts before it that it only waits for.
    waits: Vec<usize>,
}

/// What a module or the blueprint declares. Its output is that of its first part.
#[derive(Debug, Clone)]
struct Body(Vec<Part>);

impl Body {
    fn random(dice: &mut Dice, modules: usize, resources: bool) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for index in 0..1 + dice.roll(4) {
            let module = (modules > 0 && (!resources || (index > 0 && dice.one_in(3)))).then(|| dice.roll(modules));
            let earlier: Vec<usize> = (0..index).filter(|at| parts[*at].wanted).collect();
            let some = |dice: &mut Dice, sides| earlier.iter().copied().filter(|_| dice.one_in(sides)).collect();
            let (refers, waits) = (some(dice, 2), some(dice, 4));
            parts.push(Part {
                name: format!("{}{index}", if module.is_some() { "use" } else { "item" }),
                module,
                // The output is of the first: it is there, once.
                repeat: if index == 0 { Repeat::Once } else { Repeat::random(dice) },
                wanted: index == 0 || !dice.one_in(5),
                protect: dice.one_in(5),
                refers,
                given: resources && dice.one_in(2),
                waits,
            });
        }
        Self(parts)
    }

    /// The parts as a module or a blueprint declares them: modules, resources.
    fn trees(&self, prefix: &str) -> (Tree, Tree) {
        let (mut modules, mut resources) = (Vec::new(), Vec::new());
        for part in &self.0 {
            let mut values: Vec<Tree> = part
                .refers
                .iter()
                .map(|at| text(format!("${{{}}}", self.0[*at].repeat.all(&self.0[*at].name, "id"))))
                .collect();
            if part.given {
                values.push(text("${inputs.given}"));
            }
            let mut entry = match part.module {
                Some(module) => {
                    vec![
                        ("use".to_owned(), text(format!("{prefix}m{module}"))),
                        ("with".to_owned(), map([("given", Tree::List(values))])),
                    ]
                }
                None => {
                    vec![
                        ("kind".to_owned(), plain("local.item")),
                        ("with".to_owned(), map([("value", Tree::List(values))])),
                    ]
                }
            };
            entry.extend(part.repeat.tree().map(|tree| ("for_each".to_owned(), tree)));
            if !part.wanted {
                entry.push(("when".to_owned(), text("${1 > 2}")));
            }
            if part.protect {
                entry.push(("protect".to_owned(), plain("true")));
            }
            if !part.waits.is_empty() {
                let names = part.waits.iter().map(|at| plain(&self.0[*at].name)).collect();
                entry.push(("depends_on".to_owned(), Tree::List(names)));
            }
            let entry = (part.name.clone(), Tree::Map(entry));
            if part.module.is_some() { modules.push(entry) } else { resources.push(entry) }
        }
        (Tree::Map(modules), Tree::Map(resources))
    }
}

/// A blueprint and its modules.
#[derive(Debug, Clone)]
struct World {
    modules: Vec<Body>,
    blueprint: Body,
}

/// What a resource is to be: what it depends on, whether it is protected.
type Model = BTreeMap<String, (BTreeSet<String>, bool)>;

impl World {
    fn random(seed: u64) -> Self {
        let mut dice = Dice(seed | 1);
        let modules: Vec<Body> = (0..1 + dice.roll(4)).map(|below| Body::random(&mut dice, below, true)).collect();
        let blueprint = Body::random(&mut dice, modules.len(), false);
        Self { modules, blueprint }
    }

    /// The documents: the blueprint, and each module by its path.
    fn trees(&self) -> (Tree, Vec<(String, Tree)>) {
        let blueprint = map([
            ("forge", plain("v1")),
            ("name", plain("random")),
            ("target", plain("local")),
            ("modules", self.blueprint.trees("./").0),
        ]);
        let modules = self.modules.iter().enumerate().map(|(index, body)| {
            let (modules, resources) = body.trees("../");
            let target = map([
                ("modules", modules),
                ("resources", resources),
                ("outputs", map([("id", text(format!("${{{}.id}}", body.0[0].name)))])),
            ]);
            let tree = map([
                ("module", plain(format!("m{index}"))),
                ("inputs", map([("given", map([("type", plain("list")), ("default", Tree::List(Vec::new()))]))])),
                ("targets", map([("local", target)])),
            ]);
            (format!("m{index}/module.yaml"), tree)
        });
        (blueprint, modules.collect())
    }

    /// What a body comes to at an address: its resources go into the model; the resources of each part, and those that its
    /// output refers to, come back.
    fn model(
        &self,
        body: &Body,
        at: &str,
        given: &BTreeSet<String>,
        waits: &BTreeSet<String>,
        protect: bool,
        model: &mut Model,
    ) -> BTreeSet<String> {
        // Of each part: all resources in it, and what its output refers to.
        let mut parts: Vec<(BTreeSet<String>, BTreeSet<String>)> = Vec::new();
        for part in &body.0 {
            let (mut all, mut outputs) = (BTreeSet::new(), BTreeSet::new());
            let mut needs: BTreeSet<String> = part.refers.iter().flat_map(|other| parts[*other].1.clone()).collect();
            if part.given {
                needs.extend(given.iter().cloned());
            }
            let mut waiting = waits.clone();
            waiting.extend(part.waits.iter().flat_map(|other| parts[*other].0.clone()));
            for end in part.repeat.ends().iter().filter(|_| part.wanted) {
                let address =
                    if at.is_empty() { format!("{}{end}", part.name) } else { format!("{at}.{}{end}", part.name) };
                let protect = protect || part.protect;
                match part.module {
                    None => {
                        model.insert(address.clone(), (needs.union(&waiting).cloned().collect(), protect));
                        all.insert(address.clone());
                        outputs.insert(address);
                    }
                    Some(module) => {
                        let mut inner = Model::new();
                        outputs.extend(self.model(
                            &self.modules[module],
                            &address,
                            &needs,
                            &waiting,
                            protect,
                            &mut inner,
                        ));
                        all.extend(inner.keys().cloned());
                        model.extend(inner);
                    }
                }
            }
            parts.push((all, outputs));
        }
        parts.first().map(|(_, outputs)| outputs.clone()).unwrap_or_default()
    }
}

fn expand(blueprint: &str, modules: &[(String, String)]) -> Outcome {
    let files: Vec<(&str, &[u8])> = modules.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    outcome_beside(blueprint.as_bytes(), &[], None, &files, &[])
}

fn print((blueprint, modules): &(Tree, Vec<(String, Tree)>), seed: u64) -> (String, Vec<(String, String)>) {
    (blueprint.yaml(seed), modules.iter().map(|(path, tree)| (path.clone(), tree.yaml(seed.rotate_left(7)))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_blueprint_comes_to_what_the_model_says(seed in any::<u64>()) {
        let world = World::random(seed);
        let (blueprint, modules) = print(&world.trees(), seed);
        let outcome = expand(&blueprint, &modules);
        sound(&outcome);
        let shown = format!("{blueprint}\n{modules:#?}\n{}", outcome.text());
        let expanded = outcome.expanded.as_ref().ok_or_else(|| TestCaseError::fail(shown.clone()))?;
        let files: Vec<(&str, &[u8])> = modules.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        again(&setup::kinds, &outcome, Target::Local, &files);
        let found: Model = expanded.desired.resources.iter().map(|resource| {
            let needs = resource.dependencies().iter().map(|address| address.as_str().to_owned()).collect();
            (resource.address.as_str().to_owned(), (needs, resource.protect))
        }).collect();
        let mut wanted = Model::new();
        world.model(&world.blueprint, "", &BTreeSet::new(), &BTreeSet::new(), false, &mut wanted);
        prop_assert_eq!(found, wanted, "{}", shown);
    }

    #[test]
    fn the_order_of_keys_does_not_matter_anywhere(seed in any::<u64>()) {
        let (blueprint, modules) = World::random(seed).trees();
        let plain = print(&(blueprint.clone(), modules.clone()), seed);
        let dice = &mut Dice(seed.rotate_left(17) | 1);
        let shuffled = (blueprint.shuffled(dice), modules.iter().map(|(path, tree)| (path.clone(), tree.shuffled(dice))).collect());
        let other = print(&shuffled, !seed);
        let (ours, theirs) = (expand(&plain.0, &plain.1), expand(&other.0, &other.1));
        prop_assert_eq!(meaning(&ours), meaning(&theirs), "{}\n{}", plain.0, other.0);
        let ids = |outcome: &Outcome| {
            let mut ids: Vec<&str> = outcome.findings.iter().map(|finding| finding.id).collect();
            ids.sort_unstable();
            ids.join(" ")
        };
        prop_assert_eq!(ids(&ours), ids(&theirs));
    }

    #[test]
    fn what_is_damaged_is_said_and_nothing_panics(seed in any::<u64>(), at in any::<prop::sample::Index>(), len in 0_usize..12, put in "\\PC{0,3}|[\\n\t ]{1,3}|[:{}\\[\\]\"'$]{1,2}") {
        let (mut blueprint, mut modules) = print(&World::random(seed).trees(), seed);
        let which = at.index(modules.len() + 1);
        let text = modules.get_mut(which).map_or(&mut blueprint, |(_, text)| text);
        let start = at.index(text.len());
        text.replace_range(start..(start + len).min(text.len()), &put);
        sound(&expand(&blueprint, &modules));
    }
}
