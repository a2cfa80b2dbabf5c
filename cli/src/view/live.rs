//! The line at the bottom of a terminal while an apply runs: how much is done, what is under way, for how long.

use super::alike;
use super::progress::doing;
use forge_engine::address::Address;
use forge_engine::event::Event;
use forge_engine::plan::{Part, Plan};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most characters of the line: the narrowest terminal that people use. A longer line would wrap, and could not be
/// wiped again.
const WIDTH: usize = 79;

/// Less than this is not foretold.
const SOON: Duration = Duration::from_secs(10);

/// How far an apply is.
#[derive(Debug)]
pub(crate) struct Live {
    total: usize,
    done: usize,
    running: BTreeMap<Address, &'static str>,
    /// How long all of it usually takes.
    expected: Duration,
}

impl Live {
    /// Of an apply of `plan`, expected to take so long, that has not begun.
    pub(crate) fn new(plan: &Plan, expected: Duration) -> Self {
        let total = plan.operations.iter().filter(|operation| operation.part != Part::Keep).count();
        Self { total, done: 0, running: BTreeMap::new(), expected }
    }

    /// Takes in what has happened.
    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::StepStarted { address, action, .. } => {
                self.running.insert(address.clone(), doing(*action));
            }
            Event::StepFinished { address, .. } => {
                self.running.remove(address);
                self.done += 1;
            }
            Event::StepFailed { address, .. } => {
                self.running.remove(address);
            }
            _ => {}
        }
    }

    /// The line, once the apply has taken `elapsed`.
    pub(crate) fn line(&self, elapsed: Duration) -> String {
        let mut by_action: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (address, doing) in &self.running {
            by_action.entry(doing).or_default().push(address.as_str());
        }
        let running =
            by_action.iter().map(|(doing, addresses)| format!("{doing} {}", alike::names(addresses).join(", ")));
        let running = running.collect::<Vec<_>>().join("; ");
        let left = self.expected.saturating_sub(elapsed);
        // The last seconds are not to be foretold.
        let left = if left < SOON { String::new() } else { format!(", about {} left", clock(left)) };
        let head = format!("  {} of {} done, {}{left}", self.done, self.total, clock(elapsed));
        let line = if running.is_empty() { head } else { format!("{head}, {running}") };
        if line.chars().count() <= WIDTH {
            return line;
        }
        line.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}

/// `4s`, `1m 05s`, `2h 03m`
pub(crate) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::plan::Action;

    #[test]
    fn the_line_says_what_is_under_way_and_never_wraps() {
        let started = |address: &str, action| Event::StepStarted {
            address: Address::new(address),
            kind: "aws.instance".to_owned(),
            action,
            call: None,
        };
        let expected = Duration::from_secs(60);
        let mut live = Live { total: 40, done: 0, running: BTreeMap::new(), expected };
        assert_eq!(live.line(Duration::from_secs(12)), "  0 of 40 done, 12s, about 48s left");
        assert_eq!(live.line(Duration::from_secs(55)), "  0 of 40 done, 55s");
        for n in 0..12 {
            live.take(&started(&format!("fleet.node[{n}]"), Action::Create));
        }
        live.take(&started("old", Action::Delete));
        live.take(&Event::StepFinished {
            address: Address::new("fleet.node[0]"),
            kind: "aws.instance".to_owned(),
            action: Action::Create,
            call: None,
            id: None,
            took_ms: 9,
        });
        let line = "  1 of 40 done, 1m 05s, creating fleet.node[1..11]; deleting old";
        assert_eq!(live.line(Duration::from_secs(65)), line);
        for n in 0..9 {
            live.take(&started(&format!("a_rather_long_name.{n}"), Action::Update));
        }
        let line = live.line(Duration::from_secs(2 * 3600 + 180));
        assert_eq!((line.chars().count(), line.ends_with('…')), (WIDTH, true), "{line}");
        assert!(line.starts_with("  1 of 40 done, 2h 03m, "), "{line}");
    }
}
