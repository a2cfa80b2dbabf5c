//! Where a blueprint runs, and the settings that each target has.

use crate::expr::{Evaluator, Scope};
use crate::shape::{Findings, Place};
use crate::sources::Sources;
use crate::suggest;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Where a blueprint runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Amazon Web Services.
    Aws,
    /// Machines reachable by SSH.
    Hosts,
    /// This machine.
    Local,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Hosts, Self::Local];

    /// The name in blueprints and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Hosts => "hosts",
            Self::Local => "local",
        }
    }

    /// The target of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The keys of its settings; none for those that are open still.
    fn keys(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Aws => Some(&["region"]),
            // The inventory of machines; its shape comes with the target.
            Self::Hosts => None,
            Self::Local => Some(&["nodes", "workers_per_node"]),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The target that the command line or the blueprint names; none when neither does, which is then reported.
pub(crate) fn choose(blueprint: &Place<'_>, override_: Option<&str>, out: &mut Findings) -> Option<Target> {
    let named = blueprint.get("target");
    let in_blueprint = named.as_ref().and_then(|named| {
        let word = named.text(out)?;
        let target = Target::parse(word);
        if target.is_none() {
            out.push(unknown(word).at(named.value_at(), ""));
        }
        target
    });
    if let Some(word) = override_ {
        let target = Target::parse(word);
        if target.is_none() {
            out.push(unknown(word));
        }
        return target;
    }
    if named.is_none() {
        let finding = Diagnostic::error("missing-key", "the blueprint names no target")
            .at(blueprint.value_at(), "")
            .help("Add `target: local`, `target: hosts` or `target: aws`, or give --target.");
        out.push(finding);
    }
    in_blueprint
}

fn unknown(word: &str) -> Diagnostic {
    let mut finding = Diagnostic::error("unknown-target", format!("there is no target `{word}`"));
    finding.help = suggest::help(word, Target::ALL.map(Target::name));
    finding
}

/// The settings of every target, checked; those of the chosen one are returned, absent ones as null.
pub(crate) fn settings(
    blueprint: &Place<'_>,
    chosen: Option<Target>,
    vars: &Scope,
    evaluator: &Evaluator,
    sources: &Sources,
    out: &mut Findings,
) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    for target in Target::ALL {
        let evaluated = blueprint.get(target.name()).and_then(|place| {
            let fits = match target.keys() {
                Some(keys) => place.shape(keys, out),
                None => place.map(out),
            };
            fits.then(|| evaluator.evaluate(&place, vars, sources, out)).flatten().map(|value| (place, value))
        });
        if let Some((place, value)) = &evaluated {
            let place = Place { value, ..place.clone() };
            if let Some(region) = place.get("region").filter(|_| target == Target::Aws) {
                region.text(out);
            }
            for key in ["nodes", "workers_per_node"] {
                if let Some(count) = place.get(key).filter(|_| target == Target::Local) {
                    count.count(1, out);
                }
            }
        }
        if chosen == Some(target) {
            settings.extend(target.keys().into_iter().flatten().map(|key| ((*key).to_owned(), Value::Null)));
            if let Some((_, Value::Map(entries))) = evaluated {
                settings.extend(entries);
            }
        }
    }
    settings
}
