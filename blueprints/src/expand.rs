//! A blueprint in, everything it asks for out.
//!
//! The order: documents are read (the blueprint, variable files, then the modules that are used), then variables, target
//! settings and tags, then everything that is declared ([`crate::body`]), and last the jobs. Every stage reports what it
//! finds and goes on with the rest; names that an error left without a value are marked, so that one mistake is one
//! finding. Nothing is returned but findings when one of them is an error.

use crate::blueprint;
use crate::body::{Built, Frame, World};
use crate::check::unused;
use crate::expr::{Evaluator, refuse_expressions};
use crate::facts::Facts;
use crate::job::{self, Job};
use crate::library::{self, Library};
use crate::module::{self, Body, Definition, ModuleSource, RESERVED, Reader};
use crate::moved;
use crate::order;
use crate::resolved::Use;
use crate::scope::Scope;
use crate::shape::{Findings, Place};
use crate::sources::Sources;
use crate::suggest;
use crate::target::{self, Target};
use crate::uses;
use crate::vars::{self, Given};
use crate::yaml::Node;
use forge_engine::address::{Address, Deployment};
use forge_engine::diag::{At, Diagnostic, DocumentId, Label, Locate, Path, Severity, has_errors};
use forge_engine::kind::Kinds;
use forge_engine::resource::Desired;
use forge_engine::value::Value;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A variable's value from outside the blueprint.
#[derive(Debug, Clone, Copy)]
pub struct Override<'a> {
    /// The variable.
    pub name: &'a str,
    /// Its value as text, read by the variable's type; lists and maps as JSON.
    pub text: &'a str,
    /// Where it comes from, for messages: `--var`, `FORGE_VAR_nodes`.
    pub origin: &'a str,
    /// It was set earlier and still holds. When its variable is gone, that is only warned of.
    pub remembered: bool,
}

/// A file that has been read.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its name in findings, as the user gave it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What to expand, and with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The blueprint's name in findings, as the user gave it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Values of variables from the environment, which everything else overrides. Those of variables that the blueprint
    /// does not have are only warned of.
    pub environment: &'a [Override<'a>],
    /// Files of variables, the weakest first: YAML mappings.
    pub var_files: &'a [Document<'a>],
    /// Values of variables set one by one, the weakest first.
    pub overrides: &'a [Override<'a>],
    /// The target that takes the place of the blueprint's.
    pub target: Option<&'a str>,
    /// Every module that a blueprint may use by name.
    pub modules: &'a [ModuleSource<'a>],
    /// Reads a file by its path relative to the blueprint's directory; the error says why it cannot be read.
    pub files: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The kinds of a target with its settings.
    pub kinds: &'a dyn Fn(Target, &BTreeMap<String, Value>) -> Kinds,
    /// What expressions can ask for that no document says.
    pub facts: &'a Arc<dyn Facts>,
}

/// A variable with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; a secret's reference for a sensitive one.
    pub value: Value,
    /// Where the value comes from: `default`, `FORGE_VAR_nodes`, a variable file's name, `--var`.
    pub origin: String,
    /// The weaker origins that set it as well, the strongest first.
    pub over: Vec<String>,
    /// Whether it is a secret.
    pub sensitive: bool,
}

/// A blueprint with everything worked out.
#[derive(Debug, Clone)]
pub struct Expanded {
    /// The blueprint's name.
    pub name: String,
    /// Where it runs.
    pub target: Target,
    /// Address of the bucket that holds the state; none when it lies beside the blueprint.
    pub state: Option<String>,
    /// The target's settings; those that the blueprint leaves out are null.
    pub settings: BTreeMap<String, Value>,
    /// Tags of every resource that can have them; they are in the specifications already.
    pub tags: BTreeMap<String, String>,
    /// The variables, by name.
    pub variables: Vec<Variable>,
    /// The resources; the deployment goes by the blueprint's name.
    pub desired: Desired,
    /// The outputs of each module, those inside modules included, by its address.
    pub modules: BTreeMap<String, BTreeMap<String, Value>>,
    /// Where each module of the blueprint stands in it, by name.
    pub places: BTreeMap<String, At>,
    /// Which modules each module of the blueprint refers to, by name.
    pub edges: BTreeMap<String, BTreeSet<String>>,
    /// The blueprint's modules with everything that they are given.
    pub(crate) uses: Vec<Use>,
    /// The jobs, by name.
    pub jobs: Vec<Job>,
    /// What modules want said: `gpus: 16 nodes of 8 accelerators run here as 2 nodes with 1 worker each`.
    pub notes: Vec<String>,
}

/// Expands a blueprint. Findings come in the order of the text; with an error among them there is nothing else.
#[must_use]
pub fn expand(request: &Request<'_>) -> (Sources, Option<Expanded>, Vec<Diagnostic>) {
    expand_after(request, &BTreeMap::new())
}

/// The same after some of it could not be had: how often that was so, by the address of the module (`gpus.pool`). Modules see
/// it as `module.attempt` and say what comes next.
#[must_use]
pub fn expand_after(
    request: &Request<'_>,
    attempts: &BTreeMap<String, u32>,
) -> (Sources, Option<Expanded>, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let mut out = Findings::new();
    let document = sources.add(request.name, request.bytes, &mut out);
    let files: Vec<(DocumentId, Option<Value>)> = request
        .var_files
        .iter()
        .map(|file| {
            let id = sources.add(file.name, file.bytes, &mut out);
            (id, sources.root(id).map(Node::to_value))
        })
        .collect();
    // What was refused has no value to check: more would be said about the gap than about the blueprint. Only a key
    // that stands twice leaves none.
    let readable = out.iter().all(|finding| finding.id == "duplicate-key");
    let Some(value) = sources.root(document).filter(|_| readable).map(Node::to_value) else {
        tidy(&mut out, &sources);
        return (sources, None, out);
    };
    let library = library::load(&value, request, &mut sources, &mut out);
    let files: Vec<Place<'_>> =
        files.iter().filter_map(|(id, value)| Some(Place::root(*id, value.as_ref()?))).collect();
    let expander = Expander {
        request,
        attempts,
        root: Place::root(document, &value),
        files: &files,
        library: &library,
        sources: &sources,
        evaluator: Evaluator::new(Arc::clone(request.facts)),
    };
    let mut expanded = expander.run(&mut out);
    if let Some(expanded) = &mut expanded {
        let at = |name: &String| At::key(document, Path::root().key("modules").key(name));
        expanded.places = expanded.edges.keys().map(|name| (name.clone(), at(name))).collect();
    }
    tidy(&mut out, &sources);
    let expanded = expanded.filter(|_| !has_errors(&out));
    (sources, expanded, out)
}

/// The most findings that are reported. Nobody mends more at a time, most of those that follow so many come from one
/// cause, and a report of tens of thousands would take longer to read than a blueprint to write.
const MAX_FINDINGS: usize = 100;

/// The findings in the order of the text, each once, and no more than anybody reads.
fn tidy(out: &mut Findings, sources: &Sources) {
    sort(out, sources);
    // Instances of one thing make one mistake together, and so do expressions that use one wrong value.
    let place = |finding: &Diagnostic| finding.primary.as_ref().map(|label| label.at.clone());
    let others = |finding: &Diagnostic| match finding.id {
        "unknown-value" => Vec::new(),
        _ => finding.secondary.iter().map(|label| label.at.clone()).collect(),
    };
    out.dedup_by(|later, first| {
        let same = (later.id, &later.summary) == (first.id, &first.summary);
        same && place(later) == place(first) && others(later) == others(first)
    });
    let unknown: Vec<_> = out.iter().filter(|finding| finding.id == "unknown-value").map(place).collect();
    // What has to be known before apply waits for nothing.
    out.retain(|finding| finding.id != "check-deferred" || !unknown.contains(&place(finding)));
    if out.len() <= MAX_FINDINGS {
        return;
    }
    let more = out.len() - MAX_FINDINGS;
    let mut worst: Vec<usize> = (0..out.len()).collect();
    worst.sort_by_key(|index| Reverse(out[*index].severity));
    let mut left_out = worst.split_off(MAX_FINDINGS);
    left_out.sort_unstable();
    let errors = left_out.iter().filter(|index| out[**index].severity == Severity::Error).count();
    let mut index = 0..;
    out.retain(|_| index.next().is_some_and(|index| left_out.binary_search(&index).is_err()));
    // A note: whether there are errors or warnings at all is plain from those that are kept.
    let mut note = Diagnostic::warning("more-findings", format!("{more} more are not shown, {errors} of them errors"));
    note.severity = Severity::Note;
    let why = format!("Of errors, warnings and notes, in this order, the first {MAX_FINDINGS} are shown.");
    out.push(note.why(why).help("Mend these first; many of the others may have the same cause."));
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
    attempts: &'a BTreeMap<String, u32>,
    request: &'a Request<'a>,
    root: Place<'a>,
    files: &'a [Place<'a>],
    library: &'a Library,
    sources: &'a Sources,
    evaluator: Evaluator,
}

impl Expander<'_> {
    fn run(&self, out: &mut Findings) -> Option<Expanded> {
        let reserved = |name: &str| RESERVED.contains(&name) || self.evaluator.is_function(name);
        // A blueprint's expressions see its modules and its variables, no more.
        let taken = |name: &str| name == "vars" || name == "each" || self.evaluator.is_function(name);
        let blueprint = blueprint::read(&self.root, &taken, out);
        if let Some(state) = self.root.get("state") {
            refuse_expressions(&state, self.sources, out);
        }
        if !matches!(self.root.value, Value::Map(_)) {
            return None;
        }
        let given =
            Given { environment: self.request.environment, files: self.files, overrides: self.request.overrides };
        let (mut scope, variables) = vars::scope(&self.root, &given, self.sources, out);
        let target = target::choose(&self.root, self.request.target, out);
        let settings = target::settings(&self.root, target, &scope, &self.evaluator, self.sources, out);
        let tags = self.tags(&scope, out);
        let (definitions, broken) = self.definitions(&reserved, out);
        let unreadable = self
            .library
            .iter()
            .filter_map(|(name, loaded)| {
                let why = loaded.document.as_ref().err()?;
                Some((name.clone(), (loaded.file.clone(), why.clone())))
            })
            .collect();
        let name = Value::String(blueprint.name.unwrap_or_default().to_owned());
        let target_name = Value::String(target.map_or("", Target::name).to_owned());
        let deployment = Value::Map([("name".to_owned(), name), ("target".to_owned(), target_name)].into());
        let documents =
            self.library.values().filter_map(|loaded| Some((*loaded.document.as_ref().ok()?, loaded.value.as_ref()?)));
        let world = World {
            definitions: &definitions,
            known: self.request.modules.iter().map(|source| source.name).collect(),
            unreadable: &unreadable,
            broken: &broken,
            target: target.map(|target| (target, (self.request.kinds)(target, &settings.values))),
            settings: Arc::new(Value::Map(settings.values.clone())),
            broken_settings: settings.broken,
            deployment: Arc::new(deployment),
            attempts: self.attempts,
            tags,
            evaluator: &self.evaluator,
            sources: self.sources,
            documents: documents.collect(),
            shapes: RefCell::default(),
            picked: RefCell::default(),
        };
        let body = Body { modules: blueprint.modules, broken: blueprint.broken, ..Body::default() };
        let built = world.build(&body, &Frame::default(), &mut scope, out);
        if !has_errors(out) {
            dangling(&built, world.target.as_ref().map(|(_, kinds)| kinds), out);
        }
        cycles(&built, out);
        let moved = moved::read(&self.root, out);
        if !has_errors(out) {
            let modules = built.modules.keys().map(|address| Address::new(address.as_str()));
            let resources = built.resources.iter().map(|resource| resource.address.clone());
            moved::check(&moved, &modules.chain(resources).collect::<Vec<_>>(), out);
        }
        let jobs = self.jobs(&blueprint.jobs, target, &scope, out);
        if !has_errors(out) {
            let context = unused::Context {
                root: &self.root,
                modules: &body.modules,
                definitions: &definitions,
                evaluator: &self.evaluator,
                picked: &world.picked.borrow(),
            };
            unused::report(&context, out);
        }
        let deployment = Deployment(blueprint.name?.to_owned());
        Some(Expanded {
            name: deployment.0.clone(),
            target: target?,
            state: blueprint.state.map(str::to_owned),
            settings: settings.values,
            tags: world.tags,
            variables,
            desired: Desired {
                deployment,
                resources: built.resources,
                moved: moved.into_iter().map(|said| said.moved).collect(),
            },
            modules: built.modules,
            edges: built.edges,
            places: BTreeMap::new(),
            uses: built.uses,
            jobs,
            notes: built.notes,
        })
    }

    fn tags(&self, vars: &Scope, out: &mut Findings) -> BTreeMap<String, String> {
        let Some(place) = self.root.get("tags") else { return BTreeMap::new() };
        let Some(value) = self.evaluator.evaluate(&place, vars, self.sources, out) else { return BTreeMap::new() };
        blueprint::tags(&Place { value: &value, ..place }, out)
    }

    /// The definitions of the modules in use, by their canonical names, and the names of those that do not fit.
    fn definitions(
        &self,
        reserved: &dyn Fn(&str) -> bool,
        out: &mut Findings,
    ) -> (BTreeMap<String, Definition<'_>>, BTreeSet<String>) {
        let (mut definitions, mut broken) = (BTreeMap::new(), BTreeSet::new());
        let reader = Reader { sources: self.sources, reserved };
        for (name, loaded) in self.library {
            let (Ok(document), Some(value)) = (&loaded.document, &loaded.value) else {
                if loaded.document.is_ok() {
                    broken.insert(name.clone());
                }
                continue;
            };
            let mut found = Findings::new();
            let root = Place::root(*document, value);
            let definition = module::read(&root, name, &reader, &mut found);
            let fits = !has_errors(&found);
            let used = if found.is_empty() { None } else { self.first_use(name) };
            out.extend(found.into_iter().map(|finding| match &used {
                Some(at) => finding.also(at.clone(), "used here"),
                None => finding,
            }));
            match definition.filter(|_| fits) {
                // What did not fit has been left out; checking a use against the rest would blame the blueprint.
                None => {
                    broken.insert(name.clone());
                }
                Some(definition) => {
                    definitions.insert(name.clone(), definition);
                }
            }
        }
        self.implements(&definitions, out);
        (definitions, broken)
    }

    /// Where the blueprint first uses a module.
    fn first_use(&self, canonical: &str) -> Option<At> {
        let modules = self.root.get("modules")?;
        let uses = modules.entries().into_iter().filter_map(|(_, place)| place.get("use"));
        let mut here = uses.filter(|place| match place.value {
            Value::String(name) => uses::canonical("", name) == canonical,
            _ => false,
        });
        here.next().map(|place| place.value_at())
    }

    /// Modules that say that they may stand for another and lack some of its outputs.
    fn implements(&self, definitions: &BTreeMap<String, Definition<'_>>, out: &mut Findings) {
        for definition in definitions.values() {
            for wanted in definition.types.iter().skip(1) {
                let place = definition.root.get("implements").unwrap_or_else(|| definition.root.clone());
                let Some(other) = definitions.get(wanted) else {
                    let mut finding = Diagnostic::error("unknown-module", format!("there is no module `{wanted}`"));
                    finding.help = suggest::help(wanted, self.request.modules.iter().map(|source| source.name));
                    out.push(finding.at(place.value_at(), ""));
                    continue;
                };
                for (target, body) in &definition.targets {
                    let Some(others) = other.targets.get(target) else { continue };
                    let has: BTreeSet<&str> = body.outputs.iter().map(|(name, _)| *name).collect();
                    let lacks: Vec<String> = others
                        .outputs
                        .iter()
                        .filter(|(name, _)| !has.contains(name))
                        .map(|(name, _)| format!("`{name}`"))
                        .collect();
                    if !lacks.is_empty() {
                        let summary =
                            format!("on target {target}, outputs of {wanted} are missing: {}", lacks.join(", "));
                        let finding = Diagnostic::error("missing-output", summary).at(place.value_at(), "");
                        let help = "Add them to the module's `outputs` on that target, or remove this.";
                        out.push(finding.why(format!("It may be passed wherever {wanted} is wanted.")).help(help));
                    }
                }
            }
        }
    }

    fn jobs(&self, jobs: &[(&str, Place<'_>)], target: Option<Target>, scope: &Scope, out: &mut Findings) -> Vec<Job> {
        let context = job::Context { target, scope, evaluator: &self.evaluator, sources: self.sources };
        jobs.iter().filter_map(|(name, place)| job::read(name, place, &context, out)).collect()
    }
}

/// References to outputs that there are not. References by name are checked where they stand; these come from `output()`.
fn dangling(built: &Built, kinds: Option<&Kinds>, out: &mut Findings) {
    let by_address: BTreeMap<&Address, &str> =
        built.resources.iter().map(|resource| (&resource.address, resource.kind.as_str())).collect();
    for resource in &built.resources {
        for output in resource.spec.outputs() {
            let (summary, help) = match by_address.get(&output.address) {
                None => {
                    let near = by_address.keys().filter(|known| known.module() == output.address.module());
                    let known = near.map(|address| address.as_str());
                    (format!("there is no resource {}", output.address), suggest::help(output.address.as_str(), known))
                }
                Some(kind) => {
                    let outputs =
                        kinds.and_then(|kinds| kinds.get(kind)).map(|kind| kind.outputs()).unwrap_or_default();
                    if outputs.contains(&output.name.as_str()) {
                        continue;
                    }
                    let help = suggest::help(&output.name, outputs.iter().copied());
                    (format!("the resource {} has no output `{}`", output.address, output.name), help)
                }
            };
            let mut finding = Diagnostic::error("unknown-reference", summary);
            finding.primary = resource.origin.clone().map(|at| Label { at, text: "needed here".to_owned() });
            finding.why = Some(format!("{} needs {output}, which an `output(…)` asks for.", resource.address));
            finding.help = help;
            out.push(finding);
        }
    }
}

/// Resources that need each other in a circle.
fn cycles(built: &Built, out: &mut Findings) {
    let by_address: BTreeMap<&Address, _> =
        built.resources.iter().map(|resource| (&resource.address, resource)).collect();
    let needs: BTreeMap<String, BTreeSet<String>> = built
        .resources
        .iter()
        .map(|resource| {
            let needs = resource.dependencies().iter().map(|address| address.as_str().to_owned()).collect();
            (resource.address.as_str().to_owned(), needs)
        })
        .collect();
    for cycle in order::order(&needs).cycles {
        let summary = format!("resources need each other in a circle: {}", order::show(&cycle));
        let mut finding = Diagnostic::error("cycle", summary);
        for (index, name) in cycle.iter().enumerate().take(8) {
            let address = Address::new(name.clone());
            if index == 0
                && let Some(origin) = by_address.get(&address).and_then(|resource| resource.origin.clone())
            {
                finding = finding.at(origin, "used here");
            }
            if let Some(at) = built.declared.get(&address) {
                finding = finding.also(at.clone(), name.as_str());
            }
        }
        out.push(finding.why("None of them can be made first.").help("Remove one of these references."));
    }
}
