//! Kills `forge` at one request after the other, and says what that left.
//!
//! An undisturbed `up` and `destroy` are counted first. Each of their requests that may change something is a point, twice:
//! killed before it has reached AWS, and killed when AWS has done it and forge has not heard so. After each kill forge is
//! only run again, as the point's [`Then`] says; whatever that does not mend is a manual step.
//!
//! Requests that only read are no points of their own: the world is the same before and after them.
//!
//! `FORGE_MATRIX` says how much of it is done: `all`, or `sample`, `sample:SEED` or `sample:SEED:POINTS`. Several points are
//! played at once, each in an account of its own, for most of the time is spent waiting for what EC2 may hide;
//! `FORGE_MATRIX_LANES` says how many.

use super::rules::{Moment, mixed};
use super::site::{DESTROY, UP};
use super::{Held, Recorded, Rules, Site};
use crate::Ran;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Tag of the address of a resource in its deployment.
pub const ADDRESS: &str = "forge:address";
/// Tag of the deployment that a resource belongs to.
pub const DEPLOYMENT: &str = "forge:deployment";
/// Points of a sample that does not say how many.
const POINTS: usize = 6;
/// Lines of what a failed command said that go into the outcome: its end, where forge says what went wrong.
const SAID: usize = 12;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// `forge up`, of nothing.
    Up,
    /// `forge destroy`, of everything.
    Destroy,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Destroy => "destroy",
        })
    }
}

/// What is done after the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Then {
    /// `up`, `plan --check`, which must find nothing, and `destroy`.
    Up,
    /// `destroy` at once.
    Destroy,
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Destroy => "destroy",
        })
    }
}

/// Where forge is killed, and what then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// In which command.
    pub phase: Phase,
    /// At which of its requests that may change something, from 1.
    pub n: usize,
    /// Before or after that has had its effect.
    pub moment: Moment,
    /// What is done then.
    pub then: Then,
}

/// Which points are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    All,
    /// So many, drawn with this seed.
    Sample {
        /// Another seed draws others.
        seed: u64,
        /// How many at most.
        points: usize,
    },
}

impl Extent {
    /// What `FORGE_MATRIX` says; a sample when it is not set.
    ///
    /// # Panics
    /// When it says what this does not understand.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::parse(std::env::var("FORGE_MATRIX").as_deref().unwrap_or("sample"))
    }

    /// Reads `all`, `sample`, `sample:SEED`, `sample:SEED:POINTS`.
    ///
    /// # Panics
    /// When it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words = text.split(':');
        let kind = words.next();
        let numbers: Option<Vec<u64>> = words.map(|word| word.parse().ok()).collect();
        match (kind, numbers.as_deref()) {
            (Some("all"), Some([])) => Self::All,
            (Some("sample"), Some([])) => Self::Sample { seed: 1, points: POINTS },
            (Some("sample"), Some([seed])) => Self::Sample { seed: *seed, points: POINTS },
            (Some("sample"), Some([seed, points])) => {
                Self::Sample { seed: *seed, points: usize::try_from(*points).unwrap_or(usize::MAX) }
            }
            _ => panic!("FORGE_MATRIX is all or sample[:seed[:points]], and not {text:?}"),
        }
    }

    /// The points to play of two commands that send so many requests which may change something, in order.
    #[must_use]
    pub fn points(self, up: usize, destroy: usize) -> Vec<Point> {
        let mut all = Vec::new();
        for (phase, last) in [(Phase::Up, up), (Phase::Destroy, destroy)] {
            for n in 1..=last {
                for moment in [Moment::Before, Moment::After] {
                    all.extend([Then::Up, Then::Destroy].map(|then| Point { phase, n, moment, then }));
                }
            }
        }
        if let Self::Sample { seed, points } = self {
            all.sort_by_cached_key(|point| mixed(seed, &format!("{point:?}")));
            all.truncate(points);
            all.sort();
        }
        all
    }
}

/// What a kill at one point led to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Where it was.
    pub point: Point,
    /// The request at which forge died; none when this run sent fewer, which is possible when it sends several at once.
    pub at: Option<Recorded>,
    /// What the next `up` did: steps by action, `2 create, 1 adopt, 5 unchanged`. Empty when there was none.
    pub next_up: String,
    /// Resources that are left after the last `destroy` and were not there before.
    pub orphans: Vec<Held>,
    /// Addresses that two living resources of one type had at some time after the kill.
    pub duplicates: Vec<String>,
    /// What a person would have had to do or look at: commands that failed, and plans that found something to do.
    pub manual_steps: Vec<String>,
}

impl Outcome {
    /// Whether this is what is promised: nothing left, nothing twice, nothing to do by hand.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.orphans.is_empty() && self.duplicates.is_empty() && self.manual_steps.is_empty()
    }

    fn row(&self) -> [String; 8] {
        let Point { phase, n, moment, then } = self.point;
        let operation = self.at.as_ref().map(|at| &at.operation);
        let left: BTreeSet<_> = self.orphans.iter().map(|held| format!("{} {}", held.kind, held.id)).collect();
        let twice = self.duplicates.iter().map(|address| format!("twice: {address}"));
        let by_hand = self.manual_steps.iter().map(|step| step.lines().next().unwrap_or_default().to_owned());
        let left: Vec<_> = left.into_iter().chain(twice).chain(by_hand).collect();
        [
            format!("{phase}"),
            format!("{n}"),
            operation.map_or("not reached".to_owned(), |operation| operation.service.clone()),
            operation.map_or(String::new(), |operation| operation.action.clone()),
            format!("{moment}"),
            format!("{then}"),
            self.next_up.clone(),
            if left.is_empty() { "-".to_owned() } else { left.join("; ") },
        ]
    }
}

/// What all kills led to.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests that may change something, of an undisturbed `up`.
    pub up: Vec<Recorded>,
    /// The same of an undisturbed `destroy`.
    pub destroy: Vec<Recorded>,
    /// One for each point that was played.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Fails with the table unless every outcome is what is promised.
    ///
    /// # Panics
    /// When one is not.
    pub fn assert_holds(&self) {
        let broken: Vec<_> = self.outcomes.iter().filter(|outcome| !outcome.holds()).collect();
        assert!(broken.is_empty(), "{self}\n{broken:#?}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["phase", "n", "service", "action", "killed", "then", "next up", "left behind"].map(str::to_owned);
        table(f, std::iter::once(header).chain(self.outcomes.iter().map(Outcome::row)).collect())?;
        let broken = self.outcomes.iter().filter(|outcome| !outcome.holds()).count();
        let (played, up, destroy) = (self.outcomes.len(), self.up.len(), self.destroy.len());
        writeln!(
            f,
            "{played} kills, {broken} of them not mended; up changes things {up} times, destroy {destroy} times"
        )
    }
}

fn table<const N: usize>(f: &mut fmt::Formatter<'_>, rows: Vec<[String; N]>) -> fmt::Result {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// How many points are played at once where nothing says it.
const LANES: usize = 4;

fn lanes() -> usize {
    let lanes = std::env::var("FORGE_MATRIX_LANES")
        .map_or(LANES, |lanes| lanes.parse().expect("FORGE_MATRIX_LANES is a number"));
    lanes.max(1)
}

/// Plays the points of [`Extent::of_environment`] on sites that `make` makes, and prints a line for each and the table.
///
/// `make` is told the number of the lane, from 0: sites of one lane come one after the other, and may share an emulator. What is
/// there when a site is made is not counted as left.
///
/// # Panics
/// When an undisturbed `up` or `destroy` fails or leaves something.
#[must_use]
pub fn matrix(make: impl Fn(usize) -> Site + Sync) -> Report {
    matrix_of(Extent::of_environment(), make, |point, outcome| {
        let outcome = if outcome.holds() { "mended".to_owned() } else { format!("{outcome:#?}") };
        say(&format!("killed at {point:?}: {outcome}"));
    })
}

/// Plays these points, and tells of each as soon as it is over.
///
/// # Panics
/// When an undisturbed `up` or `destroy` fails or leaves something.
#[must_use]
pub fn matrix_of(extent: Extent, make: impl Fn(usize) -> Site + Sync, told: impl Fn(Point, &Outcome) + Sync) -> Report {
    let (up, destroy) = undisturbed(&make(0));
    let points = extent.points(up.len(), destroy.len());
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let play_on = &|lane: usize| {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = play(&make(lane), *point);
            told(*point, &outcome);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
    };
    std::thread::scope(|scope| {
        for lane in 0..lanes().min(points.len()) {
            scope.spawn(move || play_on(lane));
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.point);
    let report = Report { up, destroy, outcomes };
    say(&report.to_string());
    report
}

#[allow(clippy::print_stdout, reason = "a failure shows at which request it was")]
fn say(text: &str) {
    println!("{text}");
}

/// Requests that may change something, of `up` and of `destroy`.
fn undisturbed(site: &Site) -> (Vec<Recorded>, Vec<Recorded>) {
    let before = site.emulator.dump();
    let counted = |ran: Ran| {
        ran.with_code(0);
        let record = site.proxy.record();
        site.proxy.play(Rules::none());
        record.into_iter().filter(|request| request.nth_mutation.is_some()).collect::<Vec<_>>()
    };
    let up = counted(site.up());
    site.plan_check().with_code(0);
    let twice = duplicates(&site.emulator.dump());
    assert!(twice.is_empty(), "undisturbed, these are there twice: {twice:?}");
    site.proxy.play(Rules::none());
    let destroy = counted(site.destroy());
    let left = left(&before, site.emulator.dump());
    assert!(left.is_empty(), "undisturbed, these are left: {left:?}");
    (up, destroy)
}

fn play(site: &Site, point: Point) -> Outcome {
    let before = site.emulator.dump();
    let mut outcome = Outcome {
        point,
        at: None,
        next_up: String::new(),
        orphans: Vec::new(),
        duplicates: Vec::new(),
        manual_steps: Vec::new(),
    };
    let command = match point.phase {
        Phase::Up => UP,
        Phase::Destroy => {
            site.up().with_code(0);
            DESTROY
        }
    };
    outcome.at = site.run_killed_at(point.n, point.moment, command).at;
    let watched = |outcome: &mut Outcome, name: &str, ran: &Ran| {
        outcome.must_succeed(name, ran);
        let twice = duplicates(&site.emulator.dump());
        outcome.duplicates.extend(twice);
    };
    if point.then == Then::Up {
        let up = site.up();
        outcome.next_up = steps(&up.stdout);
        watched(&mut outcome, "up", &up);
        if up.code != 0 {
            watched(&mut outcome, "up once more", &site.up());
        }
        outcome.must_succeed("plan --check", &site.plan_check());
    }
    let destroyed = site.destroy();
    watched(&mut outcome, "destroy", &destroyed);
    if destroyed.code != 0 {
        watched(&mut outcome, "destroy once more", &site.destroy());
    }
    outcome.duplicates.sort();
    outcome.duplicates.dedup();
    outcome.orphans = left(&before, site.emulator.dump());
    outcome
}

impl Outcome {
    fn must_succeed(&mut self, command: &str, ran: &Ran) {
        if ran.code == 0 {
            return;
        }
        let said: Vec<_> = ran.stdout.lines().chain(ran.stderr.lines()).collect();
        let end = said[said.len().saturating_sub(SAID)..].join("\n");
        self.manual_steps.push(format!("{command} ended with {}:\n{end}", ran.code));
    }
}

/// What lives and was not there before.
fn left(before: &[Held], now: Vec<Held>) -> Vec<Held> {
    let same =
        |one: &Held, other: &Held| (&one.service, &one.kind, &one.id) == (&other.service, &other.kind, &other.id);
    now.into_iter().filter(|held| held.lives() && !before.iter().any(|was| same(was, held))).collect()
}

/// Addresses that more than one living resource of a type has in a deployment.
///
/// What AWS makes itself for a group (its instances, which carry the tags of the group as well as tags of AWS) is not
/// counted: there may be as many as the group wants.
#[must_use]
pub fn duplicates(held: &[Held]) -> Vec<String> {
    let mut by_address: BTreeMap<(&str, &str, &str, &str), Vec<&str>> = BTreeMap::new();
    for held in held.iter().filter(|held| held.lives() && !held.tags.keys().any(|key| key.starts_with("aws:"))) {
        if let Some(address) = held.tags.get(ADDRESS) {
            let deployment = held.tags.get(DEPLOYMENT).map_or("", String::as_str);
            by_address.entry((deployment, address, &held.service, &held.kind)).or_default().push(&held.id);
        }
    }
    let twice = by_address.into_iter().filter(|(_, ids)| ids.len() > 1);
    let text = |((deployment, address, service, kind), ids): ((&str, &str, &str, &str), Vec<&str>)| {
        format!("{deployment}/{address}: {service} {kind} {}", ids.join(", "))
    };
    twice.map(text).collect()
}

/// What `forge up --json` did, in few words.
fn steps(stdout: &str) -> String {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    let mut unchanged = 0;
    for line in stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let event = &line["event"];
        if let Some(count) = event["plan_made"]["counts"]["unchanged"].as_u64() {
            unchanged = count;
        }
        for (kind, note) in [("step_finished", ""), ("step_failed", "failed ")] {
            if let Some(action) = event[kind]["action"].as_str() {
                *done.entry(format!("{note}{action}")).or_default() += 1;
            }
        }
    }
    let mut words: Vec<_> = done.into_iter().map(|(action, count)| format!("{count} {action}")).collect();
    if unchanged > 0 {
        words.push(format!("{unchanged} unchanged"));
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests;
