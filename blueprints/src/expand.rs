//! A blueprint in, everything it asks for out.
//!
//! The order: documents are read (the blueprint, then the modules that it uses), then variables, target settings, the
//! graph of modules by their references, each module after those that it needs, and last the jobs. Every stage reports
//! what it finds and goes on with the rest; names that an error left without a value are marked, so that one mistake
//! is one finding. Nothing is returned but findings when one of them is an error.

use crate::blueprint::{self, Blueprint, Used};
use crate::check::{cycle, inputs};
use crate::expr::{Evaluator, Scope, root_of};
use crate::instance::{self, Instance};
use crate::job::{self, Job};
use crate::module::{self, Default, Definition, ModuleSource};
use crate::order;
use crate::shape::{Findings, Place};
use crate::sources::Sources;
use crate::suggest;
use crate::target::{self, Target};
use crate::vars;
use crate::yaml::Node;
use forge_engine::address::Deployment;
use forge_engine::diag::{At, Diagnostic, DocumentId, Label, Locate, has_errors};
use forge_engine::kind::Kinds;
use forge_engine::resource::{Desired, Resource};
use forge_engine::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A variable's value from outside the blueprint.
#[derive(Debug, Clone, Copy)]
pub struct Override<'a> {
    /// The variable.
    pub name: &'a str,
    /// Its value as text, read by the variable's type; lists and maps as JSON.
    pub text: &'a str,
    /// Where it comes from, for messages: `--var`, `FORGE_VAR_nodes`.
    pub origin: &'a str,
}

/// What to expand, and with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The blueprint's name in findings, as the user gave it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Values of variables, the weakest first.
    pub overrides: &'a [Override<'a>],
    /// The target that takes the place of the blueprint's.
    pub target: Option<&'a str>,
    /// Every module that a blueprint may use.
    pub modules: &'a [ModuleSource<'a>],
    /// The kinds of each target.
    pub kinds: &'a dyn Fn(Target) -> Kinds,
}

/// A blueprint with everything worked out.
#[derive(Debug, Clone)]
pub struct Expanded {
    /// The blueprint's name.
    pub name: String,
    /// Where it runs.
    pub target: Target,
    /// The target's settings; those that the blueprint leaves out are null.
    pub settings: BTreeMap<String, Value>,
    /// The resources; the deployment goes by the blueprint's name.
    pub desired: Desired,
    /// The outputs of each module.
    pub modules: BTreeMap<String, BTreeMap<String, Value>>,
    /// The jobs, by name.
    pub jobs: Vec<Job>,
    /// What modules want said: `gpus: 16 nodes of 8 accelerators run here as 2 nodes with 1 worker each`.
    pub notes: Vec<String>,
}

/// Expands a blueprint. Findings come in the order of the text; with an error among them there is nothing else.
#[must_use]
pub fn expand(request: &Request<'_>) -> (Sources, Option<Expanded>, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let mut out = Findings::new();
    let document = sources.add(request.name, request.bytes, &mut out);
    // What was refused has no value to check: more would be said about the gap than about the blueprint. Only a key
    // that stands twice leaves none.
    let readable = out.iter().all(|finding| finding.id == "duplicate-key");
    let Some(value) = sources.root(document).filter(|_| readable).map(Node::to_value) else {
        sort(&mut out, &sources);
        return (sources, None, out);
    };
    let library = library(&value, request.modules, &mut sources, &mut out);
    let expanded = Expander::new(request, document, &value, &library, &sources).run(&mut out);
    sort(&mut out, &sources);
    let expanded = expanded.filter(|_| !has_errors(&out));
    (sources, expanded, out)
}

/// The documents of the modules that a blueprint uses, by what `use:` says.
fn library(
    blueprint: &Value,
    modules: &[ModuleSource<'_>],
    sources: &mut Sources,
    out: &mut Findings,
) -> BTreeMap<String, (DocumentId, Option<Value>)> {
    let root = Place::root(DocumentId(0), blueprint);
    let used = root.get("modules").map(|modules| modules.entries()).unwrap_or_default();
    let names: BTreeSet<&str> = used
        .iter()
        .filter_map(|(_, place)| match place.get("use")?.value {
            Value::String(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    names
        .into_iter()
        .filter_map(|name| {
            let source = modules.iter().find(|source| source.name == name)?;
            let document = sources.add(source.document, source.text.as_bytes(), out);
            Some((name.to_owned(), (document, sources.root(document).map(Node::to_value))))
        })
        .collect()
}

/// Puts findings into the order of the text; those without a place come first.
fn sort(out: &mut Findings, sources: &Sources) {
    out.sort_by_cached_key(|finding| {
        let place = finding.primary.as_ref().map(|Label { at, .. }| {
            let (At::Node { document, .. } | At::Text { document, .. }) = at;
            (*document, sources.locate(at).map(|located| (located.range.start, located.range.end)))
        });
        (place, finding.id, finding.summary.clone())
    });
}

struct Expander<'a> {
    request: &'a Request<'a>,
    root: Place<'a>,
    library: &'a BTreeMap<String, (DocumentId, Option<Value>)>,
    sources: &'a Sources,
    evaluator: Evaluator,
}

/// What the modules of a blueprint come to.
#[derive(Default)]
struct Built {
    resources: Vec<Resource>,
    outputs: BTreeMap<String, BTreeMap<String, Value>>,
    notes: Vec<String>,
}

impl<'a> Expander<'a> {
    fn new(
        request: &'a Request<'a>,
        document: DocumentId,
        value: &'a Value,
        library: &'a BTreeMap<String, (DocumentId, Option<Value>)>,
        sources: &'a Sources,
    ) -> Self {
        Self { request, root: Place::root(document, value), library, sources, evaluator: Evaluator::new() }
    }

    fn run(&self, out: &mut Findings) -> Option<Expanded> {
        let blueprint = blueprint::read(&self.root, out);
        if !matches!(self.root.value, Value::Map(_)) {
            return None;
        }
        let mut scope = vars::scope(&self.root, self.request.overrides, self.sources, out);
        let target = target::choose(&self.root, self.request.target, out);
        let settings = target::settings(&self.root, target, &scope, &self.evaluator, self.sources, out);
        let definitions = self.definitions(&blueprint, out);
        for name in blueprint.modules.keys().chain(&blueprint.broken) {
            scope.set(name, Value::Map(BTreeMap::new()), "output");
            scope.set_broken(*name);
        }
        let needs = self.needs(&blueprint.modules, &definitions);
        let order = order::order(&needs);
        cycle::report(&order.cycles, &blueprint.modules, &self.evaluator, out);
        let circular: BTreeSet<&str> = order.cycles.iter().flatten().map(String::as_str).collect();
        let kinds = target.map(self.request.kinds);
        let mut built = Built::default();
        for name in &order.names {
            let Some(used) = blueprint.modules.get(name.as_str()) else { continue };
            let context = inputs::Context {
                modules: &blueprint.modules,
                scope: &scope,
                evaluator: &self.evaluator,
                sources: self.sources,
            };
            let Some(definition) = definitions.get(used.use_name) else {
                // An unknown module's inputs are unknown too; the references in them are checked all the same.
                for place in used.with.values() {
                    self.evaluator.evaluate(place, &scope, self.sources, out);
                }
                continue;
            };
            let bound = inputs::bind(name, used, definition, &context, out);
            let Some((target, kinds)) = target.zip(kinds.as_ref()) else { continue };
            if let Some(instance) = self.instance(name, used, definition, (target, kinds, &settings), bound, out)
                && !circular.contains(name.as_str())
            {
                built.take(name, instance, &mut scope);
            }
        }
        let jobs = self.jobs(&blueprint, &scope, out);
        let deployment = Deployment(blueprint.name?.to_owned());
        Some(Expanded {
            name: deployment.0.clone(),
            target: target?,
            settings,
            desired: Desired { deployment, resources: built.resources },
            modules: built.outputs,
            jobs,
            notes: built.notes,
        })
    }

    /// The definitions of the modules in use, by what `use:` says.
    fn definitions(&self, blueprint: &Blueprint<'a>, out: &mut Findings) -> BTreeMap<&'a str, Definition<'a>> {
        let mut definitions = BTreeMap::new();
        let mut read: BTreeSet<&str> = BTreeSet::new();
        for used in blueprint.modules.values() {
            let Some((document, value)) = self.library.get(used.use_name) else {
                let summary = format!("there is no module `{}`", used.use_name);
                let mut finding = Diagnostic::error("unknown-module", summary).at(used.use_place.value_at(), "");
                let known: Vec<&str> = self.request.modules.iter().map(|source| source.name).collect();
                finding.help = suggest::help(used.use_name, known.iter().copied());
                out.push(finding);
                continue;
            };
            let Some(value) = value else { continue };
            if !read.insert(used.use_name) {
                continue;
            }
            let mut found = Findings::new();
            let root = Place::root(*document, value);
            let definition = module::read(&root, used.use_name, self.sources, &mut found);
            // What did not fit has been left out; checking a use against the rest would blame the blueprint.
            let definition = definition.filter(|_| !has_errors(&found));
            out.extend(found.into_iter().map(|finding| finding.also(used.use_place.value_at(), "used here")));
            definitions.extend(definition.map(|definition| (used.use_name, definition)));
        }
        definitions
    }

    /// Which modules each module needs: those that it refers to and those that it is given without asking.
    fn needs(
        &self,
        modules: &BTreeMap<&'a str, Used<'a>>,
        definitions: &BTreeMap<&'a str, Definition<'a>>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let needs_of = |used: &Used<'_>| {
            let written = used.with.values().flat_map(|place| self.evaluator.references(place.value));
            let mut needs: BTreeSet<String> = written.map(|reference| root_of(&reference).to_owned()).collect();
            for (key, input) in definitions.get(used.use_name).into_iter().flat_map(|found| &found.inputs) {
                if matches!(input.default, Default::Only) && !used.with.contains_key(key) {
                    let fits = modules.iter().filter(|(_, used)| input.modules.contains(&used.use_name));
                    needs.extend(fits.map(|(name, _)| (*name).to_owned()));
                }
            }
            needs
        };
        modules.iter().map(|(name, used)| ((*name).to_owned(), needs_of(used))).collect()
    }

    fn instance(
        &self,
        name: &str,
        used: &Used<'a>,
        definition: &Definition<'a>,
        (target, kinds, settings): (Target, &Kinds, &BTreeMap<String, Value>),
        bound: BTreeMap<&str, Option<Value>>,
        out: &mut Findings,
    ) -> Option<Instance> {
        let Some(entry) = definition.targets.get(target.name()) else {
            let summary = format!("the module {} does not run on {target}", used.use_name);
            let has: Vec<&str> = definition.targets.keys().copied().collect();
            let finding = Diagnostic::error("wrong-target", summary)
                .at(used.use_place.value_at(), "")
                .help(format!("It runs on: {}.", if has.is_empty() { "nothing".to_owned() } else { has.join(", ") }));
            out.push(finding);
            return None;
        };
        let context = instance::Context {
            name,
            used,
            definition,
            entry,
            settings,
            kinds,
            evaluator: &self.evaluator,
            sources: self.sources,
        };
        Some(instance::expand(&context, bound, out))
    }

    fn jobs(&self, blueprint: &Blueprint<'a>, scope: &Scope, out: &mut Findings) -> Vec<Job> {
        let context =
            job::Context { modules: &blueprint.modules, scope, evaluator: &self.evaluator, sources: self.sources };
        blueprint.jobs.iter().filter_map(|(name, place)| job::read(name, place, &context, out)).collect()
    }
}

impl Built {
    fn take(&mut self, name: &str, instance: Instance, scope: &mut Scope) {
        scope.mend(name, Value::Map(instance.outputs.clone()), "output");
        for output in &instance.broken {
            scope.set_broken(format!("{name}.{output}"));
        }
        self.resources.extend(instance.resources);
        self.outputs.insert(name.to_owned(), instance.outputs);
        self.notes.extend(instance.notes);
    }
}
