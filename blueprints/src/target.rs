//! Where a blueprint runs, and the settings that each target has.

use crate::expr::{Evaluator, Scope};
use crate::language;
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

    /// The keys of its settings.
    fn keys(self) -> Vec<&'static str> {
        match self {
            Self::Aws => language::AWS.names(),
            Self::Hosts => language::HOSTS.names(),
            Self::Local => language::LOCAL.names(),
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
            let fits = place.shape(&target.keys(), out);
            fits.then(|| evaluator.evaluate(&place, vars, sources, out)).flatten().map(|value| (place, value))
        });
        let mut evaluated = evaluated;
        if let Some((place, value)) = &mut evaluated {
            if target == Target::Hosts {
                spell_out(value);
            }
            check(target, &Place { value, ..place.clone() }, out);
        }
        if chosen == Some(target) {
            settings.extend(target.keys().iter().map(|key| ((*key).to_owned(), Value::Null)));
            if let Some((_, Value::Map(entries))) = evaluated {
                settings.extend(entries);
            }
            if target == Target::Hosts && !matches!(settings.get("machines"), Some(Value::List(_))) {
                let finding = Diagnostic::error("missing-key", "the blueprint names no machines")
                    .at(blueprint.get("hosts").map_or_else(|| blueprint.value_at(), |place| place.key_at()), "")
                    .help("Add `hosts: { machines: [10.0.0.4, 10.0.0.5] }`.");
                out.push(finding);
            }
        }
    }
    settings
}

/// A machine that is a text is its address.
fn spell_out(value: &mut Value) {
    let Value::Map(entries) = value else { return };
    let Some(Value::List(machines)) = entries.get_mut("machines") else { return };
    for machine in machines {
        if let Value::String(_) = machine {
            *machine = Value::Map([("address".to_owned(), machine.clone())].into());
        }
    }
}

fn check(target: Target, place: &Place<'_>, out: &mut Findings) {
    for key in ["region", "profile", "user", "key", "jump", "bucket", "endpoint", "scratch"] {
        if let Some(text) = place.get(key) {
            text.text(out);
        }
    }
    for zone in place.get("zones").and_then(|zones| zones.list(out)).unwrap_or_default() {
        zone.text(out);
    }
    let least = |key: &str| if target == Target::Hosts && key == "spares" { 0 } else { 1 };
    for key in ["nodes", "workers_per_node", "port", "spares"] {
        if let Some(count) = place.get(key) {
            count.count(least(key), out);
        }
    }
    for machine in place.get("machines").and_then(|machines| machines.list(out)).unwrap_or_default() {
        if !machine.shape(&language::MACHINE.names(), out) {
            continue;
        }
        for key in ["address", "user", "key"] {
            if let Some(text) = machine.get(key) {
                text.text(out);
            }
        }
        if machine.get("address").is_none() {
            out.push(Diagnostic::error("missing-key", "a machine has no address").at(machine.value_at(), ""));
        }
        if let Some(port) = machine.get("port") {
            port.count(1, out);
        }
        if let Some(labels) = machine.get("labels") {
            labels.map(out);
        }
    }
}
