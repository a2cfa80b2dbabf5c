//! One use of a module: its inputs become resources, outputs and notes.
//!
//! The resources of an entry may refer to each other in any order, because what they refer to is an output, known by its
//! name alone. A finding in here is about two documents: it points at the blueprint, where the reader can act, and
//! shows the place in the module beside it.

use crate::blueprint::Used;
use crate::check::spec;
use crate::expr::{Evaluator, Scope};
use crate::module::{Declared, Definition, Entry};
use crate::order;
use crate::shape::{Findings, Place, describe};
use crate::sources::Sources;
use crate::suggest;
use forge_engine::address::Address;
use forge_engine::diag::{Diagnostic, Label};
use forge_engine::kind::Kinds;
use forge_engine::resource::Resource;
use forge_engine::value::{Output, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What one use of a module comes to.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) resources: Vec<Resource>,
    pub(crate) outputs: BTreeMap<String, Value>,
    /// Outputs without a value, because of errors that have been reported.
    pub(crate) broken: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// What a module is expanded with.
pub(crate) struct Context<'a> {
    pub(crate) name: &'a str,
    pub(crate) used: &'a Used<'a>,
    pub(crate) definition: &'a Definition<'a>,
    pub(crate) entry: &'a Entry<'a>,
    pub(crate) settings: &'a BTreeMap<String, Value>,
    pub(crate) kinds: &'a Kinds,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) sources: &'a Sources,
}

/// Expands one use of a module.
pub(crate) fn expand(context: &Context<'_>, inputs: BTreeMap<&str, Option<Value>>, out: &mut Findings) -> Instance {
    let mut instance = Instance::default();
    let mut scope = context.scope(inputs);
    context.lets(&mut scope, out);
    let wanted: Vec<_> = context
        .entry
        .resources
        .iter()
        .filter(|(name, declared)| context.declare(name, declared, &mut scope, out))
        .collect();
    for (name, declared) in wanted {
        instance.resources.extend(context.resource(name, declared, &scope, out));
    }
    context.cycles(&instance.resources, out);
    for (name, place) in &context.entry.outputs {
        match context.evaluate(place, &scope, out) {
            Some(value) => instance.outputs.insert((*name).to_owned(), value),
            None => {
                instance.broken.push((*name).to_owned());
                instance.outputs.insert((*name).to_owned(), Value::Null)
            }
        };
    }
    for note in &context.entry.notes {
        if note.when.as_ref().is_none_or(|when| context.holds(when, &scope, out) == Some(true))
            && let Some(said) = context.evaluate(&note.say, &scope, out)
        {
            match said {
                Value::String(text) => instance.notes.push(format!("{}: {text}", context.name)),
                other => {
                    let summary = format!("a note must be known text, not {}", describe(&other));
                    let finding = Diagnostic::error("wrong-type", summary).at(note.say.value_at(), "");
                    out.push(context.home(finding, &note.say));
                }
            }
        }
    }
    instance
}

impl Context<'_> {
    fn scope(&self, inputs: BTreeMap<&str, Option<Value>>) -> Scope {
        let mut scope = Scope::default();
        let mut values = BTreeMap::new();
        for (name, value) in inputs {
            if value.is_none() {
                scope.set_broken(format!("inputs.{name}"));
            }
            values.insert(name.to_owned(), value.unwrap_or(Value::Null));
        }
        scope.set("inputs", Value::Map(values), "input");
        scope.set("target", Value::Map(self.settings.clone()), "setting");
        scope.set("data", self.definition.data.clone(), "entry");
        scope
    }

    /// Evaluates the `lets`, each after those that it needs.
    fn lets(&self, scope: &mut Scope, out: &mut Findings) {
        let lets: BTreeMap<&str, &Place<'_>> = self.entry.lets.iter().map(|(name, place)| (*name, place)).collect();
        let needs: BTreeMap<String, BTreeSet<String>> = lets
            .iter()
            .map(|(name, place)| {
                let references = self.evaluator.references(place.value);
                let needed = references.iter().filter_map(|reference| reference.strip_prefix("lets."));
                let needed = needed.map(|rest| crate::expr::root_of(rest).to_owned());
                ((*name).to_owned(), needed.collect())
            })
            .collect();
        let order = order::order(&needs);
        for cycle in &order.cycles {
            let Some(place) = cycle.first().and_then(|first| lets.get(first.as_str())) else { continue };
            let summary = format!("`lets` need each other in a circle: {}", order::show(cycle));
            out.push(self.home(Diagnostic::error("cycle", summary).at(place.value_at(), ""), place));
            cycle.iter().for_each(|name| scope.set_broken(format!("lets.{name}")));
        }
        let mut values: BTreeMap<String, Value> = lets.keys().map(|name| ((*name).to_owned(), Value::Null)).collect();
        for name in order.names {
            let Some(place) = lets.get(name.as_str()) else { continue };
            scope.set("lets", Value::Map(values.clone()), "entry");
            match self.evaluate(place, scope, out) {
                Some(value) => {
                    values.insert(name, value);
                }
                None => scope.set_broken(format!("lets.{name}")),
            }
        }
        scope.set("lets", Value::Map(values), "entry");
    }

    /// Puts a resource's outputs into the scope; false when it is not wanted.
    fn declare(&self, name: &str, declared: &Declared<'_>, scope: &mut Scope, out: &mut Findings) -> bool {
        if let Some(when) = &declared.when {
            match self.holds(when, scope, out) {
                Some(true) => {}
                Some(false) => {
                    scope.set(name, Value::Null, "output");
                    return false;
                }
                None => {
                    scope.set(name, Value::Null, "output");
                    scope.set_broken(name);
                    return false;
                }
            }
        }
        let Some(kind) = self.kinds.get(declared.kind_name) else {
            let summary = format!("there is no kind `{}`", declared.kind_name);
            let mut finding = Diagnostic::error("unknown-kind", summary).at(declared.kind.value_at(), "");
            let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
            finding.help = suggest::help(declared.kind_name, known.iter().copied());
            out.push(self.home(finding, &declared.kind));
            scope.set(name, Value::Null, "output");
            scope.set_broken(name);
            return true;
        };
        let outputs = kind.outputs().iter().map(|output| {
            let value = Value::Output(Output { address: self.address(name), name: (*output).to_owned() });
            ((*output).to_owned(), value)
        });
        scope.set(name, Value::Map(outputs.collect()), "output");
        true
    }

    fn resource(&self, name: &str, declared: &Declared<'_>, scope: &Scope, out: &mut Findings) -> Option<Resource> {
        let with = match &declared.with {
            Some(with) => {
                let fields: Vec<_> =
                    with.entries().into_iter().map(|(key, field)| (key, self.evaluate(&field, scope, out))).collect();
                let fields = fields.into_iter().map(|(key, value)| Some((key.to_owned(), value?)));
                Value::Map(fields.collect::<Option<BTreeMap<_, _>>>()?)
            }
            None => Value::Map(BTreeMap::new()),
        };
        let kind = self.kinds.get(declared.kind_name)?;
        let spec = match spec::normal(&**kind, with) {
            Ok(spec) => spec,
            Err(misfits) => {
                for misfit in misfits {
                    let with = declared.with.as_ref().unwrap_or(&declared.place);
                    let field = misfit.field.as_ref().and_then(|field| with.get(field));
                    let place = field.as_ref().unwrap_or(with);
                    let mut finding = Diagnostic::error("bad-spec", misfit.summary).at(place.key_at(), "");
                    finding.help = misfit.help;
                    out.push(self.home(finding, place));
                }
                return None;
            }
        };
        Some(Resource {
            address: self.address(name),
            kind: declared.kind_name.to_owned(),
            spec,
            depends_on: BTreeSet::new(),
            protect: declared.protect,
            origin: Some(self.used.place.key_at()),
        })
    }

    fn cycles(&self, resources: &[Resource], out: &mut Findings) {
        let needs = resources.iter().map(|resource| {
            let needs = resource.dependencies().iter().map(|address| address.as_str().to_owned()).collect();
            (resource.address.as_str().to_owned(), needs)
        });
        for cycle in order::order(&needs.collect()).cycles {
            let first = cycle.first().and_then(|first| first.rsplit('.').next());
            let Some(declared) = first.and_then(|first| self.entry.resources.get(first)) else { continue };
            let summary = format!("resources need each other in a circle: {}", order::show(&cycle));
            let finding = Diagnostic::error("cycle", summary).at(declared.place.key_at(), "");
            out.push(self.home(finding, &declared.place));
        }
    }

    /// Whether a condition holds; none when it has no value.
    fn holds(&self, place: &Place<'_>, scope: &Scope, out: &mut Findings) -> Option<bool> {
        let value = self.evaluate(place, scope, out)?;
        let (id, summary) = match value {
            Value::Bool(holds) => return Some(holds),
            Value::Output(output) => {
                ("unknown-value", format!("cannot branch on {output}: it is known only after apply"))
            }
            other => ("wrong-type", format!("`when` must be true or false, not {}", describe(&other))),
        };
        out.push(self.home(Diagnostic::error(id, summary).at(place.value_at(), ""), place));
        None
    }

    fn evaluate(&self, place: &Place<'_>, scope: &Scope, out: &mut Findings) -> Option<Value> {
        let mut inner = Findings::new();
        let value = self.evaluator.evaluate(place, scope, self.sources, &mut inner);
        out.extend(inner.into_iter().map(|finding| self.home(finding, place)));
        value
    }

    /// Turns a finding in the module into one in the blueprint: at the input that the place in the module uses, or
    /// else where the module is used.
    fn home(&self, finding: Diagnostic, place: &Place<'_>) -> Diagnostic {
        let references = self.evaluator.references(place.value);
        let passed = references
            .iter()
            .filter_map(|reference| reference.strip_prefix("inputs."))
            .find_map(|rest| self.used.with.get(crate::expr::root_of(rest)));
        let (at, here) = match passed {
            Some(passed) => (passed.value_at(), format!("passed to `{}` here", self.name)),
            None => (self.used.place.key_at(), "used here".to_owned()),
        };
        let mut finding = finding;
        if let Some(Label { at, text }) = finding.primary.take() {
            let text = match text.is_empty() {
                true => format!("in module {}", self.used.use_name),
                false => format!("in module {}: {text}", self.used.use_name),
            };
            finding = finding.also(at, text);
        }
        finding.at(at, here)
    }

    fn address(&self, resource: &str) -> Address {
        Address::new(format!("{}.{resource}", self.name))
    }
}
