//! Working out what a blueprint, or a module on its target, declares.
//!
//! Lets, modules and resources may refer to each other in any order; each is worked out after those that it needs.
//! A resource needs nothing but what its own `when` and `for_each` say, because what others refer to is an output, known by
//! its name alone; the specifications are evaluated last. Modules are worked out in the same way, one inside the other.
//!
//! A finding in a module is about two documents: it points at the place where the module is used, where the reader can
//! act, and shows the place in the module beside it; and so on outwards, for modules inside modules.

mod home;
mod resources;

use crate::check::cycle::{self, Item};
use crate::check::inputs::{self, Bound};
use crate::check::spec::Shape;
use crate::expr::{Evaluator, INSTANCE};
use crate::module::{Body, Default, Definition};
use crate::order::Graph;
use crate::resolved::{Argument, Origin, Use};
use crate::scope::{Items, Key, Scope, Whole};
use crate::shape::{Findings, Place, describe, written};
use crate::sources::Sources;
use crate::suggest;
use crate::target::Target;
use crate::uses::Used;
use forge_engine::address::Address;
use forge_engine::diag::{At, Diagnostic, DocumentId};
use forge_engine::kind::Kinds;
use forge_engine::resource::Resource;
use forge_engine::value::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// The most modules that an input without a value is held to need, since one of them may be what it is. A message that
/// asks to choose between more would help nobody.
const MAX_CHOICES: usize = 20;

/// What everything is worked out with.
pub(crate) struct World<'a> {
    pub(crate) definitions: &'a BTreeMap<String, Definition<'a>>,
    /// Everything that `use:` may say.
    pub(crate) known: Vec<&'a str>,
    /// Why directories that `use:` names could not be read.
    pub(crate) unreadable: &'a BTreeMap<String, (String, String)>,
    /// Modules with errors of their own, which have been reported.
    pub(crate) broken: &'a BTreeSet<String>,
    pub(crate) target: Option<(Target, Kinds)>,
    pub(crate) settings: Arc<Value>,
    /// Those that have no value because of an error that has been reported.
    pub(crate) broken_settings: BTreeSet<&'static str>,
    pub(crate) deployment: Arc<Value>,
    /// How often a module could not have what it wanted, by its address.
    pub(crate) attempts: &'a BTreeMap<String, u32>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) sources: &'a Sources,
    /// The values of the documents that findings may be in.
    pub(crate) documents: BTreeMap<DocumentId, &'a Value>,
    /// The shape of each kind's specification, read once.
    pub(crate) shapes: RefCell<BTreeMap<String, Rc<Shape>>>,
    /// Modules that were passed without being named.
    pub(crate) picked: RefCell<BTreeSet<String>>,
}

/// What a body comes to.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) resources: Vec<Resource>,
    /// Where each resource is declared.
    pub(crate) declared: BTreeMap<Address, At>,
    pub(crate) outputs: BTreeMap<String, Value>,
    /// Outputs without a value, because of errors that have been reported.
    pub(crate) broken: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// The outputs of each module in it, by its address.
    pub(crate) modules: BTreeMap<String, BTreeMap<String, Value>>,
    /// The modules that each module in it refers to.
    pub(crate) edges: BTreeMap<String, BTreeSet<String>>,
    /// The modules of the blueprint itself, as it comes to use them.
    pub(crate) uses: Vec<Use>,
}

/// Where a body stands.
#[derive(Clone, Default)]
pub(crate) struct Frame {
    /// The address of the module; empty for the blueprint.
    pub(crate) path: String,
    /// The modules around it, outermost first, by their canonical names.
    stack: Vec<String>,
    /// Where the blueprint asks for it.
    origin: Option<At>,
    protect: bool,
}

/// What the instances of a name are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    List,
    Map,
}

impl Form {
    /// What goes over these items is.
    fn over(items: &Items) -> Self {
        match items {
            Items::List(_) => Self::List,
            Items::Map(_) => Self::Map,
        }
    }
}

impl<'a> World<'a> {
    /// Works out a body; its names join the scope.
    pub(crate) fn build(&self, body: &Body<'a>, frame: &Frame, scope: &mut Scope, out: &mut Findings) -> Built {
        let mut built = Built::default();
        for name in body.modules.values().map(|used| used.name).chain(body.resources.keys().copied()) {
            scope.set(name, Value::Map(BTreeMap::new()), "output");
            scope.set_broken(name);
        }
        for used in body.modules.values().filter(|used| used.key.is_none() && used.for_each.is_none()) {
            if let Some(definition) = self.definitions.get(&used.canonical) {
                let whole = Whole { address: address(frame, used.name, None), types: definition.types.clone() };
                scope.set_module(used.name, Arc::new(whole));
            }
        }
        for name in &body.broken {
            scope.set(name, Value::Null, "output");
            scope.set_broken(*name);
        }
        // A blueprint has none.
        if !frame.path.is_empty() {
            let nothing = body.lets.keys().map(|name| ((*name).to_owned(), Value::Null)).collect();
            scope.set("lets", Value::Map(nothing), "entry");
        }
        body.lets.keys().for_each(|name| scope.set_broken(format!("lets.{name}")));
        let Graph { needs, order } = body.graph.get_or_init(|| Graph::of(self.needs(body)));
        if !order.cycles.is_empty() {
            cycle::report(&order.cycles, &items(body), self.evaluator, out);
        }
        let circular: BTreeSet<&str> = order.cycles.iter().flatten().map(String::as_str).collect();
        let mut wanted = Vec::new();
        // All names are there from the start: what stands in a circle, or is broken, has been reported.
        let names = body.modules.values().map(|used| used.name).chain(body.resources.keys().copied());
        let mut addresses: BTreeMap<&str, Vec<Address>> =
            names.chain(body.broken.iter().copied()).map(|name| (name, Vec::new())).collect();
        let mut groups: BTreeMap<&str, Vec<&Used<'a>>> = BTreeMap::new();
        for used in body.modules.values() {
            groups.entry(used.name).or_default().push(used);
        }
        // As text, `m[10]` comes before `m[2]`.
        groups.values_mut().for_each(|group| group.sort_by(|one, other| one.key.cmp(&other.key)));
        for name in &order.names {
            if let Some((key, place)) = name.strip_prefix("lets.").and_then(|key| body.lets.get_key_value(key)) {
                self.let_(key, place, scope, out);
            } else if let Some((name, declared)) = body.resources.get_key_value(name.as_str()) {
                let instances = self.declare(name, declared, frame, scope, out);
                addresses.entry(name).or_default().extend(instances.iter().map(|wanted| wanted.address.clone()));
                wanted.extend(instances);
            } else if let Some((name, group)) = groups.get_key_value(name.as_str()) {
                let (made, value) = self.group(group, frame, scope, &addresses, out);
                if let Some(value) = value.filter(|_| !circular.contains(name)) {
                    scope.mend(name, value, "output");
                }
                addresses.entry(name).or_default().extend(made.resources.iter().map(|r| r.address.clone()));
                if frame.path.is_empty() {
                    built.edges.insert((*name).to_owned(), needs.get(*name).cloned().unwrap_or_default());
                }
                built.take(made);
            }
        }
        for wanted in wanted {
            if let Some(resource) = self.resource(&wanted, frame, scope, &addresses, out) {
                built.declared.insert(resource.address.clone(), wanted.declared.place.key_at());
                built.resources.push(resource);
            }
        }
        self.outputs(body, frame, scope, &mut built, out);
        built
    }

    fn outputs(&self, body: &Body<'_>, frame: &Frame, scope: &Scope, built: &mut Built, out: &mut Findings) {
        for (name, place) in &body.outputs {
            match self.evaluate(place, scope, out) {
                Some(value) => built.outputs.insert((*name).to_owned(), value),
                None => {
                    built.broken.push((*name).to_owned());
                    built.outputs.insert((*name).to_owned(), Value::Null)
                }
            };
        }
        for note in &body.notes {
            if note.when.as_ref().is_none_or(|when| self.holds(when, scope, out) == Some(true))
                && let Some(said) = self.evaluate(&note.say, scope, out)
            {
                match said {
                    Value::String(text) => built.notes.push(format!("{}: {text}", frame.path)),
                    other => {
                        let summary = format!("a note must be known text, not {}", describe(&other));
                        out.push(Diagnostic::error("wrong-type", summary).at(note.say.value_at(), ""));
                    }
                }
            }
        }
    }

    fn evaluate(&self, place: &Place<'_>, scope: &Scope, out: &mut Findings) -> Option<Value> {
        self.evaluator.evaluate(place, scope, self.sources, out)
    }

    fn holds(&self, place: &Place<'_>, scope: &Scope, out: &mut Findings) -> Option<bool> {
        self.evaluator.holds(place, scope, self.sources, out)
    }

    /// What each let, module and resource needs.
    fn needs(&self, body: &Body<'_>) -> BTreeMap<String, BTreeSet<String>> {
        let needs = items(body).into_iter().map(|(name, item)| {
            let references = item.parts.iter().flat_map(|part| self.evaluator.references(part.value));
            (name, references.map(|reference| cycle::node_of(&reference)).collect())
        });
        let mut needs: BTreeMap<String, BTreeSet<String>> = needs.collect();
        // `lets[inputs.size]` may be any of them.
        let lets: Vec<String> = body.lets.keys().map(|name| format!("lets.{name}")).collect();
        needs.values_mut().filter(|needs| needs.contains("lets.")).for_each(|needs| needs.extend(lets.iter().cloned()));
        let of_type = self.of_type(body);
        for used in body.modules.values() {
            let Some(needs) = needs.get_mut(used.name) else { continue };
            needs.extend(used.depends_on.iter().map(|(name, _)| (*name).to_owned()));
            let Some(definition) = self.definitions.get(&used.canonical) else { continue };
            for (key, input) in &definition.inputs {
                if !matches!(input.default, Default::Only) || used.with.contains_key(key) {
                    continue;
                }
                let fits = input.modules.iter().filter_map(|wanted| of_type.get(wanted)).flatten();
                // Of very many none can be chosen, and needing them all would make a graph as large as their square.
                let fits: BTreeSet<&str> = fits.copied().take(MAX_CHOICES).collect();
                self.picked.borrow_mut().extend(fits.iter().map(|name| (*name).to_owned()));
                needs.extend(fits.into_iter().map(str::to_owned));
            }
        }
        needs
    }

    /// The modules of a body that may stand for each type, without those of several instances: they are chosen by hand.
    fn of_type<'b>(&'b self, body: &Body<'b>) -> BTreeMap<&'b str, BTreeSet<&'b str>> {
        let mut of_type: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for used in body.modules.values().filter(|used| used.key.is_none() && used.for_each.is_none()) {
            for name in self.definitions.get(&used.canonical).iter().flat_map(|definition| &definition.types) {
                of_type.entry(name).or_default().insert(used.name);
            }
        }
        of_type
    }

    fn let_(&self, name: &str, place: &Place<'_>, scope: &mut Scope, out: &mut Findings) {
        let path = format!("lets.{name}");
        if let Some((value, whole)) = self.evaluator.evaluate_whole(place, scope, self.sources, out) {
            scope.put("lets", name, value);
            scope.unbreak(&path);
            if let Some((_, whole)) = whole {
                scope.set_module(path, whole);
            }
        }
    }

    /// All instances of one name, and their outputs as one value; none when an error took some of them.
    fn group(
        &self,
        group: &[&Used<'a>],
        frame: &Frame,
        scope: &mut Scope,
        addresses: &BTreeMap<&str, Vec<Address>>,
        out: &mut Findings,
    ) -> (Built, Option<Value>) {
        let mut all = Built::default();
        let mut instances: Vec<(Option<Key>, Value)> = Vec::new();
        let mut complete = true;
        let mut form = Form::One;
        for used in group {
            let name = used.name;
            let mut each: Vec<(Option<Key>, Option<Value>)> = vec![(used.key.clone(), None)];
            match used.key {
                Some(Key::Index(_)) => form = Form::List,
                Some(Key::Name(_)) => form = Form::Map,
                None => {}
            }
            if let Some(place) = &used.for_each {
                match self.evaluator.instances(place, scope, self.sources, out) {
                    Some(items) => {
                        form = Form::over(&items);
                        each = items.each().into_iter().map(|(key, value)| (Some(key), Some(value))).collect();
                    }
                    None => {
                        complete = false;
                        continue;
                    }
                }
            }
            for (key, value) in each {
                if !self.evaluator.affords(INSTANCE, &|| used.place.key_at(), out) {
                    complete = false;
                    break;
                }
                let own = match (&key, value) {
                    (Some(key), Some(value)) => scope.with_each(key, value),
                    _ => scope.clone(),
                };
                match used.when.as_ref().map(|when| self.holds(when, &own, out)) {
                    None | Some(Some(true)) => {}
                    Some(Some(false)) => {
                        if key.is_none() {
                            instances.push((None, Value::Null));
                        }
                        continue;
                    }
                    Some(None) => {
                        complete = false;
                        continue;
                    }
                }
                let depends_on = self.depends_on(&used.depends_on, addresses, out);
                let made = self.one(used, key.as_ref(), frame, &own, out);
                // The scope changes now, and would copy all names if it still had a clone.
                drop(own);
                let Some(mut built) = made else {
                    complete = false;
                    continue;
                };
                for resource in &mut built.resources {
                    resource.depends_on.extend(depends_on.iter().cloned());
                }
                let path = match &key {
                    None => name.to_owned(),
                    Some(Key::Index(_)) => format!("{name}[{}]", instances.len()),
                    Some(Key::Name(key)) => format!("{name}.{key}"),
                };
                built.broken.iter().for_each(|output| scope.set_broken(format!("{path}.{output}")));
                let types = self.definitions.get(&used.canonical).map(|found| found.types.clone());
                let whole = Whole { address: address(frame, name, key.as_ref()), types: types.unwrap_or_default() };
                all.modules.insert(whole.address.clone(), built.outputs.clone());
                scope.set_module(path, Arc::new(whole));
                instances.push((key, Value::Map(std::mem::take(&mut built.outputs))));
                all.take(built);
            }
        }
        (all, complete.then(|| together(instances, form)))
    }

    /// One instance of a module; none when it has no outputs to offer because of an error that has been reported.
    fn one(
        &self,
        used: &Used<'a>,
        key: Option<&Key>,
        frame: &Frame,
        scope: &Scope,
        out: &mut Findings,
    ) -> Option<Built> {
        let Some(definition) = self.definitions.get(&used.canonical) else {
            self.unknown_module(used, out);
            // An unknown module's inputs are unknown too; the references in them are checked all the same.
            for place in used.with.values() {
                self.evaluate(place, scope, out);
            }
            return None;
        };
        if frame.stack.contains(&used.canonical) {
            let mut circle: Vec<&str> = frame.stack.iter().map(String::as_str).collect();
            circle.push(&used.canonical);
            let finding =
                Diagnostic::error("module-recursion", format!("a module uses itself: {}", circle.join(" -> ")))
                    .at(used.use_place.value_at(), "")
                    .why("There would be no end of it.");
            out.push(finding);
            return None;
        }
        let context = inputs::Context { scope, evaluator: self.evaluator, sources: self.sources };
        let bound = inputs::bind(used, definition, &context, out);
        let (target, _) = self.target.as_ref()?;
        let Some(body) = definition.targets.get(target.name()) else {
            let summary = format!("the module {} does not run on {target}", used.use_name);
            let has: Vec<&str> = definition.targets.keys().copied().collect();
            let finding = Diagnostic::error("wrong-target", summary)
                .at(used.use_place.value_at(), "")
                .help(format!("It runs on: {}.", if has.is_empty() { "nothing".to_owned() } else { has.join(", ") }));
            out.push(finding);
            return None;
        };
        let mut inside = frame.clone();
        inside.path = address(frame, used.name, key);
        inside.stack.push(used.canonical.clone());
        inside.origin = Some(inside.origin.unwrap_or_else(|| used.place.key_at()));
        inside.protect |= used.protect;
        let as_used = frame.path.is_empty().then(|| as_used(used, key, definition, &bound));
        let mut own = self.scope(definition, bound, &inside.path);
        let mut found = Findings::new();
        let mut homed = Findings::new();
        let mut built = self.build(body, &inside, &mut own, &mut found);
        built.uses.extend(as_used);
        for check in definition.checks.iter().chain(&body.checks) {
            self.check(check, used, &own, &mut found, &mut homed);
        }
        out.extend(found.into_iter().map(|finding| match self.unknown_input(&finding, used, body, &own) {
            Some(told) => self.home(told.finding(finding), used, Some(told.input)),
            None => self.home(finding, used, None),
        }));
        out.extend(homed);
        Some(built)
    }

    fn unknown_module(&self, used: &Used<'_>, out: &mut Findings) {
        if self.broken.contains(&used.canonical) {
            return;
        }
        if let Some((file, why)) = self.unreadable.get(&used.canonical) {
            let finding = Diagnostic::error("module-path", format!("{file} cannot be read"))
                .at(used.use_place.value_at(), "")
                .why(format!("{why}."))
                .help("`use: ./dir` means the directory beside this file that holds the module's module.yaml.");
            out.push(finding);
            return;
        }
        if used.use_name.starts_with('/') {
            let summary = format!("`{}` is no path of a module", written(used.use_name));
            let finding = Diagnostic::error("module-path", summary).at(used.use_place.value_at(), "");
            let finding =
                finding.why("A blueprint holds wherever it lies; a path from the root of one machine does not.");
            out.push(finding.help("Write the way from this file: ./mine or ../mine."));
            return;
        }
        let summary = format!("there is no module `{}`", written(used.use_name));
        let mut finding = Diagnostic::error("unknown-module", summary).at(used.use_place.value_at(), "");
        finding.help = match used.use_name.contains('/') {
            true => Some("A module of your own is named by a path that starts with ./ or ../".to_owned()),
            false => suggest::help(used.use_name, self.known.iter().copied()),
        };
        out.push(finding);
    }

    fn scope(&self, definition: &Definition<'_>, bound: BTreeMap<&str, Option<Bound>>, path: &str) -> Scope {
        let mut scope = Scope::default();
        let mut values = BTreeMap::new();
        for (name, bound) in bound {
            let path = format!("inputs.{name}");
            match bound {
                Some(Bound { value, whole }) => {
                    values.insert(name.to_owned(), value);
                    if let Some((_, whole)) = whole {
                        scope.set_module(path, whole);
                    }
                }
                None => {
                    values.insert(name.to_owned(), Value::Null);
                    scope.set_broken(path);
                }
            }
        }
        scope.set("inputs", Value::Map(values), "input");
        scope.set("target", Arc::clone(&self.settings), "setting");
        self.broken_settings.iter().for_each(|key| scope.set_broken(format!("target.{key}")));
        scope.set("deployment", Arc::clone(&self.deployment), "part");
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let attempt = self.attempts.get(path).copied().unwrap_or(0);
        let parts = [("name".to_owned(), Value::String(name)), ("attempt".to_owned(), Value::Number(attempt.into()))];
        scope.set("module", Value::Map(parts.into()), "part");
        scope.set("data", Arc::clone(&definition.data), "entry");
        scope
    }
}

impl Built {
    fn take(&mut self, other: Self) {
        self.resources.extend(other.resources);
        self.declared.extend(other.declared);
        self.notes.extend(other.notes);
        self.modules.extend(other.modules);
        self.uses.extend(other.uses);
    }
}

/// What a use of a module comes to.
fn as_used(
    used: &Used<'_>,
    key: Option<&Key>,
    definition: &Definition<'_>,
    bound: &BTreeMap<&str, Option<Bound>>,
) -> Use {
    let inputs = definition.root.get("inputs");
    let argument = |(name, bound): (&&str, &Option<Bound>)| {
        let bound = bound.as_ref()?;
        let origin = match used.with.get(name).filter(|place| *place.value != Value::Null) {
            Some(place) => Origin::Given(place.value_at()),
            None if bound.whole.is_some() => Origin::Only,
            None => Origin::Default,
        };
        Some(Argument {
            name: (*name).to_owned(),
            value: bound.value.clone(),
            whole: bound.whole.as_ref().map(|(_, whole)| whole.address.clone()),
            declared: inputs.as_ref().and_then(|inputs| inputs.get(name)).unwrap_or(definition.root.clone()).key_at(),
            origin,
        })
    };
    Use {
        name: used.name.to_owned(),
        key: key.cloned(),
        module: used.use_name.to_owned(),
        declared: used.place.key_at(),
        protect: used.protect,
        depends_on: used.depends_on.iter().map(|(name, _)| (*name).to_owned()).collect(),
        inputs: bound.iter().filter_map(argument).collect(),
    }
}

/// Everything that can need something, by the name that the graph knows it by.
fn items<'b, 'a>(body: &'b Body<'a>) -> BTreeMap<String, Item<'b, 'a>> {
    let mut items: BTreeMap<String, Item<'b, 'a>> = body
        .lets
        .iter()
        .map(|(name, place)| (format!("lets.{name}"), Item { place, parts: vec![place], after: Vec::new() }))
        .collect();
    for (name, declared) in &body.resources {
        let parts = declared.when.iter().chain(&declared.for_each).collect();
        items.insert((*name).to_owned(), Item { place: &declared.place, parts, after: Vec::new() });
    }
    for used in body.modules.values() {
        let item = items.entry(used.name.to_owned()).or_insert(Item {
            place: &used.place,
            parts: Vec::new(),
            after: Vec::new(),
        });
        item.parts.extend(used.places());
        item.after.extend(&used.depends_on);
    }
    items
}

/// What several instances are as one value; a single one is itself.
fn together(instances: Vec<(Option<Key>, Value)>, form: Form) -> Value {
    match form {
        Form::One => instances.into_iter().next().map_or(Value::Null, |(_, value)| value),
        Form::List => Value::List(instances.into_iter().map(|(_, value)| value).collect()),
        Form::Map => {
            let named = instances.into_iter().filter_map(|(key, value)| match key? {
                Key::Name(name) => Some((name, value)),
                Key::Index(_) => None,
            });
            Value::Map(named.collect())
        }
    }
}

/// The address of something in a body.
fn address(frame: &Frame, name: &str, key: Option<&Key>) -> String {
    let dot = if frame.path.is_empty() { "" } else { "." };
    let key = key.map(ToString::to_string).unwrap_or_default();
    format!("{}{dot}{name}{key}", frame.path)
}
