//! Where a blueprint runs, and the settings that each target has.

use crate::expr::Evaluator;
use crate::language;
use crate::scope::Scope;
use crate::shape::{Findings, Place, brief};
use crate::sources::Sources;
use crate::suggest;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use regex_lite::Regex;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
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

/// The settings of the chosen target.
pub(crate) struct Settings {
    /// Their values; those that the blueprint leaves out are null.
    pub(crate) values: BTreeMap<String, Value>,
    /// Those that have no value because of an error that has been reported.
    pub(crate) broken: BTreeSet<&'static str>,
}

/// The settings of every target, checked; those of the chosen one are returned, absent ones as null.
pub(crate) fn settings(
    blueprint: &Place<'_>,
    chosen: Option<Target>,
    vars: &Scope,
    evaluator: &Evaluator,
    sources: &Sources,
    out: &mut Findings,
) -> Settings {
    let (mut settings, mut broken) = (BTreeMap::new(), BTreeSet::new());
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
            check(&Place { value, ..place.clone() }, out);
            let fits = spares(&Place { value, ..place.clone() }, out);
            if let Value::Map(entries) = value
                && !fits
            {
                // Modules count them too, and would say the same again.
                entries.remove("spares");
            }
        }
        if chosen == Some(target) {
            broken.extend(misread(blueprint, target, evaluated.is_some()));
            settings.extend(target.keys().iter().map(|key| ((*key).to_owned(), Value::Null)));
            if let Some((_, Value::Map(entries))) = evaluated {
                settings.extend(entries);
            }
            let hosts = blueprint.get("hosts");
            let named = |hosts: &Place<'_>| hosts.get("machines").is_some() || !matches!(hosts.value, Value::Map(_));
            if target == Target::Hosts && !hosts.as_ref().is_some_and(named) {
                let finding = Diagnostic::error("missing-key", "the blueprint names no machines")
                    .at(hosts.map_or_else(|| blueprint.value_at(), |place| place.key_at()), "")
                    .help("Add `hosts: { machines: [10.0.0.4, 10.0.0.5] }`.");
                out.push(finding);
            }
        }
    }
    Settings { values: settings, broken }
}

/// Settings that the blueprint says in a way that has been reported: they have no value, and must not be missed again.
fn misread(blueprint: &Place<'_>, target: Target, evaluated: bool) -> BTreeSet<&'static str> {
    let Some(place) = blueprint.get(target.name()) else { return BTreeSet::new() };
    let known = target.keys();
    let said: Vec<&str> = place.entries().into_iter().map(|(key, _)| key).collect();
    let absent = || known.iter().copied().filter(|key| !said.contains(key));
    let meant = said.iter().filter(|key| !known.contains(key)).filter_map(|key| suggest::nearest(key, absent()));
    let mut misread: BTreeSet<&str> = meant.collect();
    if !evaluated {
        misread.extend(known.iter().filter(|key| said.contains(key)));
    }
    misread
}

/// A machine that is a text is its address, and has only the settings that it says.
fn spell_out(value: &mut Value) {
    let Value::Map(entries) = value else { return };
    let Some(Value::List(machines)) = entries.get_mut("machines") else { return };
    for machine in machines {
        match machine {
            Value::String(_) => *machine = Value::Map([("address".to_owned(), machine.clone())].into()),
            // As everywhere, an entry that is null is as good as absent; what lays settings over each other must not see it.
            Value::Map(settings) => settings.retain(|_, setting| *setting != Value::Null),
            _ => {}
        }
    }
}

/// Whether some machine is left beside those that stand by.
fn spares(hosts: &Place<'_>, out: &mut Findings) -> bool {
    let Some(at) = hosts.get("spares") else { return true };
    let Some(spares) = at.count(0, out) else { return false };
    let count = match hosts.get("machines").map(|machines| machines.value) {
        Some(Value::List(machines)) => machines.len(),
        _ => return true,
    };
    if spares == 0 || usize::try_from(spares).is_ok_and(|spares| spares < count) {
        return true;
    }
    let summary = format!("{spares} spares of {count} machines leave none that trains");
    let finding = Diagnostic::error("out-of-range", summary).at(at.value_at(), "");
    out.push(finding.help("Write fewer spares, or add machines."));
    false
}

fn check(place: &Place<'_>, out: &mut Findings) {
    for key in ["region", "profile", "user", "key", "jump", "bucket", "endpoint", "scratch"] {
        if let Some(text) = place.get(key) {
            text.text(out);
        }
    }
    for zone in place.get("zones").and_then(|zones| zones.list(out)).unwrap_or_default() {
        zone.text(out);
    }
    for (key, pattern, help) in [
        ("bucket", language::BUCKET, "Write s3://NAME, or file:///DIRECTORY for one that all machines share."),
        ("endpoint", language::ENDPOINT, "Write a URL, such as http://10.0.0.1:9000."),
        ("scratch", language::ABSOLUTE, "Write the whole path, from / on: /mnt/shared."),
    ] {
        let Some(text) = place.get(key) else { continue };
        if let (Value::String(word), Ok(regex)) = (text.value, Regex::new(&format!("^(?:{pattern})$")))
            && !regex.is_match(word)
        {
            let summary = format!("`{key}` cannot be {:?}", brief(word));
            out.push(Diagnostic::error("not-allowed", summary).at(text.value_at(), "").help(help));
        }
    }
    for key in ["nodes", "workers_per_node"] {
        if let Some(count) = place.get(key) {
            count.count(1, out);
        }
    }
    let port = place.get("port").and_then(|port| port.port(out));
    let mut seen: BTreeMap<(String, u32), Place<'_>> = BTreeMap::new();
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
        let own = machine.get("port").and_then(|port| port.port(out));
        if let Some(Value::String(address)) = machine.get("address").map(|address| address.value) {
            match seen.entry((address.clone(), own.or(port).unwrap_or(22))) {
                Entry::Vacant(entry) => {
                    entry.insert(machine.clone());
                }
                Entry::Occupied(first) => {
                    let summary = format!("the machine {} stands twice", brief(address));
                    let finding = Diagnostic::error("duplicate-machine", summary).at(machine.value_at(), "here again");
                    let finding = finding.also(first.get().value_at(), "first here");
                    out.push(finding.why("Two nodes would be one machine.").help("Remove one of them."));
                }
            }
        }
        if let Some(labels) = machine.get("labels") {
            labels.map(out);
        }
    }
}
