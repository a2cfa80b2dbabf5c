//! A blueprint with everything worked out, as a blueprint again: what `forge expand` prints.
//!
//! Every input of every module is there with its value, defaults included; instances stand by their keys in place of
//! `for_each`; what `when` leaves out is gone, and so are the variables. What only apply will know is referred to: by the
//! name of a module's output where the module it comes from has one, else as `output(address, name)`. A secret stays a
//! reference. Expanding the result changes nothing: the resources are the same, their addresses as well, and so is the text.

use crate::emit::{self, Entry, Tree};
use crate::expand::Expanded;
use crate::expr::is_repetition;
use crate::job::Job;
use crate::scope::Key;
use crate::sources::Sources;
use forge_engine::diag::{At, DocumentId, Locate, Path};
use forge_engine::value::{Output, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// A module as the blueprint comes to use it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) key: Option<Key>,
    /// What `use:` says.
    pub(crate) module: String,
    /// Where the blueprint declares it.
    pub(crate) declared: At,
    pub(crate) protect: bool,
    pub(crate) depends_on: Vec<String>,
    pub(crate) inputs: Vec<Argument>,
}

/// An input of a module with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// The address of the module that it is as a whole.
    pub(crate) whole: Option<String>,
    /// Where the module declares the input.
    pub(crate) declared: At,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    /// The blueprint says it.
    Given(At),
    /// The module's default.
    Default,
    /// There is only one module that fits.
    Only,
}

impl Use {
    fn address(&self) -> String {
        format!("{}{}", self.name, self.key.as_ref().map(Key::to_string).unwrap_or_default())
    }
}

/// The blueprint as YAML; with `origins`, comments say where each value comes from.
///
/// `sources` are those that the expansion came with.
#[must_use]
pub fn yaml(expanded: &Expanded, sources: &Sources, origins: bool) -> String {
    let resolver = Resolver::new(expanded, sources, origins);
    let body = emit::document(&resolver.blueprint(), |key| matches!(key, "modules" | "moved" | "jobs"));
    let mut text = String::new();
    if origins {
        resolver.variables().iter().for_each(|line| text.extend(["# ", line.trim_end(), "\n"]));
    }
    text.push_str(&body);
    text
}

/// The same as JSON.
#[must_use]
pub fn json(expanded: &Expanded, sources: &Sources) -> serde_json::Value {
    Tree::Map(Resolver::new(expanded, sources, false).blueprint()).to_json()
}

struct Resolver<'a> {
    expanded: &'a Expanded,
    sources: &'a Sources,
    origins: bool,
    /// The modules in the order of the text.
    uses: Vec<&'a Use>,
    /// The names that some module has.
    present: BTreeSet<&'a str>,
    /// What expressions call each module, by its address.
    names: BTreeMap<String, String>,
    /// What expressions call an output of a resource, when the module that it belongs to gives it out.
    outputs: HashMap<&'a Output, String>,
    /// Lists and mappings with such outputs that modules give out, by the first of them.
    collections: HashMap<&'a Output, Vec<(String, &'a Value)>>,
}

impl<'a> Resolver<'a> {
    fn new(expanded: &'a Expanded, sources: &'a Sources, origins: bool) -> Self {
        let mut uses: Vec<&Use> = expanded.uses.iter().collect();
        uses.sort_by_cached_key(|used| (start(sources, &used.declared), used.key.clone()));
        let mut of_name: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for used in &expanded.uses {
            of_name.entry(&used.name).or_default().extend(&used.key);
        }
        of_name.values_mut().for_each(|keys| keys.sort());
        let name = |used: &Use| match &used.key {
            None => used.name.clone(),
            Some(Key::Name(key)) => format!("{}[{}]", used.name, literal(key)),
            // Instances make a list, whatever `when` has left out of it.
            Some(key) => {
                let position = of_name.get(used.name.as_str()).and_then(|keys| keys.binary_search(&key).ok());
                format!("{}[{}]", used.name, position.unwrap_or_default())
            }
        };
        let names = expanded.uses.iter().map(|used| (used.address(), name(used))).collect();
        let present = of_name.into_keys().collect();
        let mut resolver = Self {
            expanded,
            sources,
            origins,
            uses,
            present,
            names,
            outputs: HashMap::new(),
            collections: HashMap::new(),
        };
        for used in &expanded.uses {
            let address = used.address();
            let (Some(name), Some(outputs)) = (resolver.names.get(&address), expanded.modules.get(&address)) else {
                continue;
            };
            let (name, own) = (name.clone(), format!("{address}."));
            for (output, value) in outputs {
                resolver.output(format!("{name}.{output}"), value, &own);
            }
            for (output, value) in outputs {
                resolver.parts(&format!("{name}.{output}"), value, &own);
            }
        }
        resolver
    }

    /// Remembers what a module gives out of its own resources.
    fn output(&mut self, name: String, value: &'a Value, own: &str) {
        let is_own = |output: &Output| output.address.as_str().starts_with(own);
        match value {
            Value::Output(output) if is_own(output) => {
                self.outputs.entry(output).or_insert(name);
            }
            Value::List(_) | Value::Map(_) => {
                if let Some(first) = value.outputs().first().filter(|first| is_own(first)) {
                    self.collections.entry(first).or_default().push((name, value));
                }
            }
            _ => {}
        }
    }

    fn parts(&mut self, name: &str, value: &'a Value, own: &str) {
        let parts: Vec<(String, &Value)> = match value {
            Value::List(items) => {
                items.iter().enumerate().map(|(index, item)| (format!("{name}[{index}]"), item)).collect()
            }
            Value::Map(entries) => {
                entries.iter().map(|(key, item)| (format!("{name}[{}]", literal(key)), item)).collect()
            }
            _ => return,
        };
        for (name, part) in parts {
            self.output(name.clone(), part, own);
            self.parts(&name, part, own);
        }
    }

    fn blueprint(&self) -> Vec<Entry> {
        let expanded = self.expanded;
        let mut entries = vec![
            Entry::new("forge", Tree::text("v1")),
            Entry::new("name", Tree::text(expanded.name.as_str())),
            Entry::new("target", Tree::text(expanded.target.name())),
        ];
        entries.extend(expanded.state.iter().map(|state| Entry::new("state", Tree::text(state.as_str()))));
        let map = |entries: Vec<Entry>| (!entries.is_empty()).then_some(Tree::Map(entries));
        let tags = expanded.tags.iter().map(|(key, text)| {
            let path = Path::root().key("tags").key(key);
            self.given(Entry::new(key, self.tree(&Value::String(text.clone()))), &path)
        });
        entries.extend(map(tags.collect()).map(|tags| Entry::new("tags", tags)));
        let settings = expanded.settings.iter().filter(|(_, value)| **value != Value::Null).map(|(key, value)| {
            let path = Path::root().key(expanded.target.name()).key(key);
            self.given(Entry::new(key, self.tree(value)), &path)
        });
        entries.extend(map(settings.collect()).map(|settings| Entry::new(expanded.target.name(), settings)));
        let modules = self.uses.iter().map(|used| Entry::new(used.address(), Tree::Map(self.used(used))));
        entries.extend(map(modules.collect()).map(|modules| Entry::new("modules", modules)));
        let moved = expanded.desired.moved.iter().map(|moved| {
            let ends = [("from", &moved.from), ("to", &moved.to)];
            Tree::Map(ends.into_iter().map(|(key, address)| Entry::new(key, Tree::text(address.as_str()))).collect())
        });
        let moved: Vec<Tree> = moved.collect();
        entries.extend((!moved.is_empty()).then(|| Entry::new("moved", Tree::List(moved))));
        let mut jobs: Vec<&Job> = expanded.jobs.iter().collect();
        let root = Path::root().key("jobs");
        jobs.sort_by_cached_key(|job| start(self.sources, &At::key(BLUEPRINT, root.key(&job.name))));
        let jobs = jobs.into_iter().map(|job| Entry::new(job.name.as_str(), Tree::Map(self.job(job))));
        entries.extend(map(jobs.collect()).map(|jobs| Entry::new("jobs", jobs)));
        entries
    }

    fn used(&self, used: &Use) -> Vec<Entry> {
        let mut entries = vec![Entry::new("use", Tree::text(used.module.as_str()))];
        // What is null is as good as absent.
        let mut inputs: Vec<&Argument> = used.inputs.iter().filter(|input| input.value != Value::Null).collect();
        inputs.sort_by_cached_key(|input| start(self.sources, &input.declared));
        let inputs = inputs.into_iter().map(|input| {
            let value = match input.whole.as_ref().and_then(|address| self.names.get(address)) {
                Some(name) => Tree::text(format!("${{{name}}}")),
                None => self.tree(&input.value),
            };
            let comment = match &input.origin {
                Origin::Given(at) => self.comment(at, &value),
                Origin::Default => Some(format!("default of {}", used.module)),
                Origin::Only => Some("the only one".to_owned()),
            };
            Entry { comment: comment.filter(|_| self.origins), ..Entry::new(input.name.as_str(), value) }
        });
        let inputs: Vec<Entry> = inputs.collect();
        if !inputs.is_empty() {
            entries.push(Entry::new("with", Tree::Map(inputs)));
        }
        if used.protect {
            entries.push(Entry::new("protect", Tree::Scalar(Value::Bool(true))));
        }
        // Of what has no instances nothing is left to wait for.
        let there = |name: &&String| self.present.contains(name.as_str());
        let names: Vec<Tree> = used.depends_on.iter().filter(there).map(Tree::text).collect();
        if !names.is_empty() {
            entries.push(Entry::new("depends_on", Tree::List(names)));
        }
        entries
    }

    fn job(&self, job: &Job) -> Vec<Entry> {
        let path = Path::root().key("jobs").key(&job.name);
        let number = |number: u32| Tree::Scalar(Value::Number(number.into()));
        let text = |text: &String| self.tree(&Value::String(text.clone()));
        let nodes = self.names.get(&job.module).unwrap_or(&job.module);
        let mut env: Vec<Entry> = job.env.iter().map(|(name, value)| Entry::new(name, text(value))).collect();
        env.extend(
            job.secrets.iter().map(|(name, secret)| Entry::new(name, self.tree(&Value::Secret(secret.clone())))),
        );
        env.sort_by(|a, b| a.key.cmp(&b.key));
        let mut checkpoint = Vec::new();
        checkpoint.extend(job.checkpoint.every_steps.map(|steps| Entry::new("every_steps", number(steps))));
        let keep = &job.checkpoint.keep;
        let keep = vec![
            Entry::new("last", number(keep.last)),
            Entry::new("powers_of_two", Tree::Scalar(Value::Bool(keep.powers_of_two))),
        ];
        checkpoint.push(Entry::new("keep", Tree::Map(keep)));
        let restarts = vec![
            Entry::new("max", number(job.restarts.max)),
            Entry::new("window", Tree::text(duration(job.restarts.window))),
        ];
        let mut entries = vec![
            Entry::new("nodes", Tree::text(format!("${{{nodes}}}"))),
            Entry::new("command", Tree::List(job.command.iter().map(text).collect())),
        ];
        if !env.is_empty() {
            entries.push(Entry::new("env", Tree::Map(env)));
        }
        entries.extend(job.workdir.as_ref().map(|workdir| Entry::new("workdir", text(workdir))));
        entries.push(Entry::new("checkpoint", Tree::Map(checkpoint)));
        entries.push(Entry::new("restarts", Tree::Map(restarts)));
        entries.push(Entry::new("hang_after", Tree::text(duration(job.hang_after))));
        entries
            .into_iter()
            .map(|entry| {
                let path = path.key(&entry.key);
                self.given(entry, &path)
            })
            .collect()
    }

    /// A value that expressions give back as it is.
    fn tree(&self, value: &Value) -> Tree {
        match value {
            Value::List(_) | Value::Map(_) if let Some(name) = self.collection(value) => {
                Tree::text(format!("${{{name}}}"))
            }
            Value::List(items) => Tree::List(items.iter().map(|item| self.tree(item)).collect()),
            Value::Map(entries) => {
                let plain = |entries: &BTreeMap<String, Value>| -> Vec<Entry> {
                    entries.iter().map(|(key, item)| Entry::new(key, self.tree(item))).collect()
                };
                if !is_repetition(entries) {
                    return Tree::Map(plain(entries));
                }
                // As it stands it would be read as repetition; so it is one that makes it.
                let mut items = plain(entries);
                items.push(Entry::new("_", Tree::Scalar(Value::Null)));
                Tree::Map(vec![
                    Entry::new("for_each", Tree::Map(items)),
                    Entry::new("value", Tree::text("${each.value}")),
                    Entry::new("when", Tree::text("${each.key != '_'}")),
                ])
            }
            Value::Output(output) => Tree::text(self.reference(output)),
            Value::Secret(secret) => Tree::text(format!("${{secret({})}}", literal(&secret.secret))),
            Value::String(text) => Tree::text(escape(text)),
            Value::Concat(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Value::Output(output) => {
                            // Two dollars would be read as one that is meant.
                            let dollars = text.len() - text.trim_end_matches('$').len();
                            text.truncate(text.len() - dollars);
                            if dollars > 0 {
                                text.push_str(&format!("${{'{}'}}", "$".repeat(dollars)));
                            }
                            text.push_str(&self.reference(output));
                        }
                        Value::String(part) if part.is_empty() => text.push_str("${''}"),
                        other => text.push_str(&escape(&crate::rule::show(other))),
                    }
                }
                Tree::text(text)
            }
            plain => Tree::Scalar(plain.clone()),
        }
    }

    fn reference(&self, output: &Output) -> String {
        match self.outputs.get(output) {
            Some(name) => format!("${{{name}}}"),
            None => format!("${{output({}, {})}}", literal(output.address.as_str()), literal(&output.name)),
        }
    }

    fn collection(&self, value: &Value) -> Option<String> {
        let outputs = value.outputs();
        let known = self.collections.get(outputs.first()?)?;
        known.iter().find(|(_, other)| *other == value).map(|(name, _)| name.clone())
    }

    /// A line on each variable: its value, where that comes from, and what it won over.
    fn variables(&self) -> Vec<String> {
        let variables = &self.expanded.variables;
        if variables.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["Variables, the strongest origin first:".to_owned()];
        for variable in variables {
            let value = match &variable.value {
                Value::Secret(secret) => secret.to_string(),
                other => other.to_json().unwrap_or_default().to_string(),
            };
            let over: String = variable.over.iter().map(|origin| format!(", {origin}")).collect();
            let line = format!("  {} = {value}: {}{over}", variable.name, variable.origin);
            lines.push(emit::one_line(&line));
        }
        lines
    }

    /// An entry that the blueprint may give, with where it does.
    fn given(&self, entry: Entry, path: &Path) -> Entry {
        if !self.origins {
            return entry;
        }
        let comment = match self.sources.node(BLUEPRINT, path) {
            Some(_) => self.comment(&At::value(BLUEPRINT, path.clone()), &entry.value),
            None => Some("default".to_owned()),
        };
        Entry { comment, ..entry }
    }

    /// Where something is given; of an expression, what it says and where its variables come from.
    fn comment(&self, at: &At, value: &Tree) -> Option<String> {
        let located = self.sources.locate(at)?;
        let line = located.text[..located.range.start].matches('\n').count() + 1;
        let mut comment = format!("{}:{line}", located.name);
        let written = located.text[located.range].trim_matches(['"', '\'']);
        if written.contains("${") && written.chars().count() <= 80 && *value != Tree::text(written) {
            comment.push_str(&format!(": {written}"));
            for variable in &self.expanded.variables {
                let name = format!("vars.{}", variable.name);
                let is_word = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                if written.match_indices(&name).any(|(start, _)| !is_word(&written[start + name.len()..])) {
                    comment.push_str(&format!(" ({}: {})", variable.name, variable.origin));
                }
            }
        }
        Some(comment)
    }
}

/// The blueprint is the first document that is read.
const BLUEPRINT: DocumentId = DocumentId(0);

fn start(sources: &Sources, at: &At) -> Option<(DocumentId, usize)> {
    let (At::Node { document, .. } | At::Text { document, .. }) = at;
    sources.locate(at).map(|located| (*document, located.range.start))
}

/// Text as an expression writes it.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text in which no expression is read.
fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// `1h30m`
fn duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        for (text, wanted) in [("90m", "1h30m"), ("0s", "0s"), ("1500ms", "1s500ms"), ("48h", "2d"), ("10m", "10m")] {
            let parsed = crate::shape::duration(text).unwrap();
            assert_eq!(duration(parsed), wanted);
            assert_eq!(crate::shape::duration(wanted), Some(parsed));
        }
    }
}
