//! Jobs: what to train on which nodes, and how it is kept going.

use crate::expr::Evaluator;
use crate::language;
use crate::rule::show;
use crate::scope::Scope;
use crate::shape::{Findings, Place, describe, label, written};
use crate::sources::Sources;
use crate::target::Target;
use forge_engine::diag::Diagnostic;
use forge_engine::value::{Secret, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A job of a blueprint, with everything that it leaves out filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The module whose nodes it runs on.
    pub module: String,
    /// That module's outputs; parts may be known only after apply.
    pub nodes: BTreeMap<String, Value>,
    /// The command of one worker, program first; never empty.
    pub command: Vec<String>,
    /// Environment variables that each worker gets besides forge's own.
    pub env: BTreeMap<String, String>,
    /// And those that are secrets, by reference; whoever starts the worker reads them.
    pub secrets: BTreeMap<String, Secret>,
    /// The directory that workers start in, relative to the packed working directory; its root when absent.
    pub workdir: Option<String>,
    /// When checkpoints are taken and which are kept.
    pub checkpoint: Checkpoint,
    /// How often the gang may restart.
    pub restarts: Restarts,
    /// For how long no worker may finish a step before the gang counts as hung. Default 10 minutes: longer than the
    /// compilation of a large model, shorter than the patience of who pays for it.
    pub hang_after: Duration,
}

/// When checkpoints are taken and which are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// A checkpoint every so many steps; no checkpoints when absent.
    pub every_steps: Option<u32>,
    /// Which are kept.
    pub keep: Keep,
}

/// Which checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest, at least one. Default 2: should the newest turn out damaged, there is one to fall back to.
    pub last: u32,
    /// And those whose number (step / every_steps) is a power of two. Default true: a history at logarithmic cost.
    pub powers_of_two: bool,
}

/// How often the gang may restart before forge gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarts {
    /// So many times. Default 10.
    pub max: u32,
    /// Within this time. Default one hour: failures of hardware are rarer, those of the user's code are not.
    pub window: Duration,
}

/// What jobs are read with.
pub(crate) struct Context<'a> {
    pub(crate) target: Option<Target>,
    pub(crate) scope: &'a Scope,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) sources: &'a Sources,
}

/// A word of a command or an environment.
enum Word {
    Text(String),
    Secret(Secret),
}

/// Reads a job; none when something in it does not fit, which has then been reported.
pub(crate) fn read(name: &str, place: &Place<'_>, context: &Context<'_>, out: &mut Findings) -> Option<Job> {
    let before = out.len();
    if !label(name) {
        let finding = Diagnostic::error("bad-name", format!("`{}` cannot be a job's name", written(name)))
            .at(place.key_at(), "")
            .help("Use at most 40 lower-case letters, digits and -, a letter first.");
        out.push(finding);
    }
    if !place.shape(&language::JOB.names(), out) {
        return None;
    }
    let nodes = context.nodes(name, place, out);
    let command = context.command(name, place, out);
    let env = context.env(place, out);
    let workdir = context.value(place, "workdir", out, |place, out| place.text(out).map(str::to_owned));
    let checkpoint = context.value(place, "checkpoint", out, checkpoint);
    let restarts = context.value(place, "restarts", out, restarts);
    let hang_after = context.value(place, "hang_after", out, |place, out| place.duration(out));
    let (module, nodes) = nodes?;
    let job = Job {
        name: name.to_owned(),
        module,
        nodes,
        command: command?,
        secrets: env.as_ref()?.1.clone(),
        env: env?.0,
        workdir,
        checkpoint: checkpoint.unwrap_or(Checkpoint { every_steps: None, keep: Keep { last: 2, powers_of_two: true } }),
        restarts: restarts.unwrap_or(Restarts { max: 10, window: Duration::from_secs(3600) }),
        hang_after: hang_after.unwrap_or(Duration::from_secs(600)),
    };
    (out.len() == before).then_some(job)
}

fn checkpoint(place: &Place<'_>, out: &mut Findings) -> Option<Checkpoint> {
    if !place.shape(&language::CHECKPOINT.names(), out) {
        return None;
    }
    let every_steps = place.get("every_steps").and_then(|place| place.count(1, out));
    let mut keep = Keep { last: 2, powers_of_two: true };
    if let Some(place) = place.get("keep")
        && place.shape(&language::KEEP.names(), out)
    {
        keep.last = place.get("last").and_then(|place| place.count(1, out)).unwrap_or(keep.last);
        keep.powers_of_two = place.get("powers_of_two").and_then(|place| place.bool(out)).unwrap_or(keep.powers_of_two);
    }
    Some(Checkpoint { every_steps, keep })
}

fn restarts(place: &Place<'_>, out: &mut Findings) -> Option<Restarts> {
    if !place.shape(&language::RESTARTS.names(), out) {
        return None;
    }
    let max = place.get("max").and_then(|place| place.count(0, out)).unwrap_or(10);
    let window = place.get("window").and_then(|place| place.duration(out)).unwrap_or(Duration::from_secs(3600));
    Some(Restarts { max, window })
}

impl Context<'_> {
    /// Evaluates what stands under a key and reads it.
    fn value<T>(
        &self,
        job: &Place<'_>,
        key: &str,
        out: &mut Findings,
        read: impl FnOnce(&Place<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        let place = job.get(key)?;
        let value = self.evaluator.evaluate(&place, self.scope, self.sources, out)?;
        let place = Place { document: place.document, path: place.path, value: &value };
        read(&place, out)
    }

    fn nodes(&self, name: &str, job: &Place<'_>, out: &mut Findings) -> Option<(String, BTreeMap<String, Value>)> {
        let help = || {
            let with_nodes = self.scope.modules().filter(|path| self.has_nodes(path));
            let names: Vec<String> = with_nodes.take(20).map(|name| format!("`nodes: ${{{name}}}`")).collect();
            match names.as_slice() {
                [] => "Add a module that has nodes, such as `use: gpu-nodes`, and refer to it: `nodes: ${gpus}`."
                    .to_owned(),
                names => format!("Write {}.", names.join(" or ")),
            }
        };
        let Some(place) = job.get("nodes") else {
            let summary = format!("the job `{name}` does not say which nodes it runs on");
            out.push(Diagnostic::error("missing-key", summary).at(job.key_at(), "").help(help()));
            return None;
        };
        let (value, whole) = self.evaluator.evaluate_whole(&place, self.scope, self.sources, out)?;
        match (whole, value) {
            (Some((_, whole)), Value::Map(outputs)) if outputs.contains_key("nodes") => {
                Some((whole.address.clone(), outputs))
            }
            (Some((path, _)), _) => {
                let summary = format!("`{path}` has no nodes to run on");
                out.push(Diagnostic::error("wrong-module", summary).at(place.value_at(), "").help(help()));
                None
            }
            (None, _) => {
                let summary = "`nodes` must be a module that has nodes, as a whole";
                out.push(Diagnostic::error("wrong-module", summary).at(place.value_at(), "").help(help()));
                None
            }
        }
    }

    fn has_nodes(&self, module: &str) -> bool {
        matches!(self.scope.look_up(module), Some(Value::Map(outputs)) if outputs.contains_key("nodes"))
    }

    fn command(&self, name: &str, job: &Place<'_>, out: &mut Findings) -> Option<Vec<String>> {
        let Some(place) = job.get("command") else {
            let finding = Diagnostic::error("missing-key", format!("the job `{name}` has no command"))
                .at(job.key_at(), "")
                .help("Add `command: [python, train.py]`.");
            out.push(finding);
            return None;
        };
        if let Value::String(line) = place.value {
            let words: Vec<&str> = line.split_whitespace().collect();
            let finding = Diagnostic::error("wrong-type", "`command` must be a list, not one string")
                .at(place.value_at(), "expected a list")
                .why("No shell takes it apart, so no quoting can go wrong.")
                .help(match line.starts_with('-') {
                    true => "In a list a space stands after each dash: `- python`.".to_owned(),
                    false => format!("Write `command: [{}]`.", words.join(", ")),
                });
            out.push(finding);
            return None;
        }
        let items = place.list(out)?;
        if items.is_empty() {
            out.push(Diagnostic::error("wrong-type", "`command` names no program").at(place.value_at(), ""));
            return None;
        }
        let words: Vec<Option<String>> = items
            .iter()
            .map(|item| match self.word(item, out)? {
                Word::Text(text) => Some(text),
                Word::Secret(secret) => {
                    let finding = Diagnostic::error("secret-in-text", format!("{secret} cannot be an argument"))
                        .at(item.value_at(), "")
                        .why("Every user of a machine can read the arguments of its programs.")
                        .help("Put it into `env:` and let the program read it there.");
                    out.push(finding);
                    None
                }
            })
            .collect();
        words.into_iter().collect()
    }

    fn env(&self, job: &Place<'_>, out: &mut Findings) -> Option<(BTreeMap<String, String>, BTreeMap<String, Secret>)> {
        let Some(place) = job.get("env") else { return Some(Default::default()) };
        if !place.map(out) {
            return None;
        }
        let (mut words, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        let mut complete = true;
        for (name, item) in place.entries() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let summary = format!("`{}` cannot be an environment variable's name", name.escape_debug());
                out.push(Diagnostic::error("bad-name", summary).at(item.key_at(), ""));
            }
            match self.word(&item, out) {
                Some(Word::Text(text)) => {
                    words.insert(name.to_owned(), text);
                }
                Some(Word::Secret(secret)) => {
                    self.readable(&secret, &item, out);
                    secrets.insert(name.to_owned(), secret);
                }
                None => complete = false,
            }
        }
        complete.then_some((words, secrets))
    }

    /// Reports a secret that cannot be read on this target.
    fn readable(&self, secret: &Secret, place: &Place<'_>, out: &mut Findings) {
        let aws = secret.secret.starts_with("aws-sm:") || secret.secret.starts_with("ssm:");
        if let Some(target) = self.target.filter(|target| aws && *target != Target::Aws) {
            let finding = Diagnostic::error("unknown-secret", format!("{secret} cannot be read on target {target}"))
                .at(place.value_at(), "")
                .why("Its nodes have no role in AWS.")
                .help("Use env: or file: there; a variable can choose between the two.");
            out.push(finding);
        }
    }

    /// Text known at plan time. Numbers and bools are taken as they are written: `1e-3` stays `1e-3`.
    fn word(&self, place: &Place<'_>, out: &mut Findings) -> Option<Word> {
        if let Value::Number(_) | Value::Bool(_) = place.value {
            return Some(Word::Text(self.sources.source(place.document, &place.path.path())?.to_owned()));
        }
        match self.evaluator.evaluate(place, self.scope, self.sources, out)? {
            value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Some(Word::Text(show(&value))),
            Value::Secret(secret) => Some(Word::Secret(secret)),
            value => {
                let finding = match value.outputs().first() {
                    Some(output) => {
                        let summary = format!("a job cannot use {output} here: it is known only after apply");
                        Diagnostic::error("unknown-value", summary)
                            .why("Commands and environments are fixed when the plan is.")
                    }
                    None => {
                        let summary = format!("`{}` must be text, not {}", place.name(), describe(&value));
                        Diagnostic::error("wrong-type", summary)
                    }
                };
                out.push(finding.at(place.value_at(), ""));
                None
            }
        }
    }
}
