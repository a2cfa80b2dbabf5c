//! Following a run: its events, and the output of its ranks.

use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{JSON_VERSION, Paint, Ui};
use crate::view;
use forge_agent::bucket::Documents;
use forge_agent::wire::{Event, Phase, Rank, RunId, RunState, key};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Soon enough to feel live; two listings of a store that is not far away.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Agents ship four times a second, and at once when a worker ends.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_millis(600);
/// Lines that are shown of a rank that was not followed, when a run fails.
const LAST_LINES: usize = 12;
/// Ranks whose last lines are shown then.
const LAST_RANKS: usize = 4;

/// Which ranks' output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranks {
    All,
    One(Rank),
}

impl std::str::FromStr for Ranks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::One).map_err(|_| "a rank is a number, or `all`".to_owned()),
        }
    }
}

/// What has been shown of a run so far.
pub(crate) struct Follower<'a> {
    bus: &'a Bus,
    ui: Ui,
    run: RunId,
    ranks: Option<Ranks>,
    events: bool,
    seen: BTreeSet<String>,
    /// Unfinished lines, by generation and rank.
    open: BTreeMap<(String, Rank), Vec<u8>>,
}

impl<'a> Follower<'a> {
    /// Follows the output of some ranks, or of none, and perhaps events.
    pub(crate) fn new(bus: &'a Bus, ui: Ui, run: RunId, ranks: Option<Ranks>, events: bool) -> Self {
        Self { bus, ui, run, ranks, events, seen: BTreeSet::new(), open: BTreeMap::new() }
    }

    /// Shows what is new.
    pub(crate) async fn look(&mut self) -> Result<(), Failure> {
        if self.events {
            self.look_at_events().await?;
        }
        if let Some(ranks) = self.ranks {
            for chunk in self.bus.bucket.list(&key::logs(&self.run)).await? {
                let Some((generation, rank)) = chunk_of(&self.run, &chunk) else { continue };
                if !matches!(ranks, Ranks::One(wanted) if wanted != rank) && self.seen.insert(chunk.clone()) {
                    let bytes = self.bus.bucket.get(&chunk).await?.map(|object| object.bytes).unwrap_or_default();
                    self.print(ranks, (generation.to_owned(), rank), &bytes);
                }
            }
        }
        Ok(())
    }

    async fn look_at_events(&mut self) -> Result<(), Failure> {
        for event in self.bus.bucket.list(&key::events(&self.run)).await? {
            if self.seen.insert(event.clone())
                && let Some((event, _)) = self.bus.bucket.read::<Event>(&event).await?
            {
                show_event(self.ui, &event);
            }
        }
        Ok(())
    }

    fn print(&mut self, ranks: Ranks, of: (String, Rank), bytes: &[u8]) {
        let mut open = self.open.remove(&of).unwrap_or_default();
        open.extend_from_slice(bytes);
        let mut lines = open.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && !line.ends_with(b"\n") {
                self.open.insert(of, line.to_vec());
                return;
            }
            self.print_line(ranks, of.1, line);
        }
    }

    fn print_line(&self, ranks: Ranks, rank: Rank, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        if self.ui.json {
            self.ui.document(&json!({"v": JSON_VERSION, "log": {"run": self.run, "rank": rank, "line": line}}));
        } else if ranks == Ranks::All {
            self.ui.data(format!("[{rank}] {line}"));
        } else {
            self.ui.data(line);
        }
    }

    /// Shows lines that never got their end.
    pub(crate) fn finish(&mut self) {
        let Some(ranks) = self.ranks else { return };
        for ((_, rank), line) in std::mem::take(&mut self.open) {
            self.print_line(ranks, rank, &line);
        }
    }

    /// Follows to the end of the run; none when Ctrl-C came first.
    pub(crate) async fn until_over(&mut self) -> Result<Option<RunState>, Failure> {
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        loop {
            // The state first: what was written before its end is then seen below.
            let state = self.bus.state(&self.run).await?;
            self.look().await?;
            if state.phase.is_over() {
                if state.phase != Phase::Succeeded {
                    // Success waits for all output to be in the bucket; other ends do not.
                    tokio::time::sleep(LAST_OUTPUT_WITHIN).await;
                    self.look().await?;
                }
                self.finish();
                return Ok(Some(state));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = &mut interrupt => return Ok(None),
            }
        }
    }

    /// After a failure: the last lines of ranks whose output has not been shown.
    pub(crate) async fn last_words(&self) -> Result<(), Failure> {
        let mut tails: BTreeMap<Rank, Vec<u8>> = BTreeMap::new();
        let mut newest: BTreeMap<Rank, String> = BTreeMap::new();
        for chunk in self.bus.bucket.list(&key::logs(&self.run)).await? {
            if let Some((_, rank)) = chunk_of(&self.run, &chunk).filter(|_| !self.seen.contains(&chunk)) {
                newest.insert(rank, chunk);
            }
        }
        for (rank, chunk) in newest.into_iter().take(LAST_RANKS) {
            tails.insert(rank, self.bus.bucket.get(&chunk).await?.map(|object| object.bytes).unwrap_or_default());
        }
        for (rank, bytes) in tails {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<_> = text.lines().collect();
            self.ui.say(format!("last lines of rank {rank}:"));
            for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                self.ui.say(format!("  [{rank}] {line}"));
            }
        }
        Ok(())
    }
}

/// Generation and rank of a chunk's key.
fn chunk_of<'k>(run: &RunId, chunk: &'k str) -> Option<(&'k str, Rank)> {
    let mut parts = chunk.strip_prefix(&key::logs(run))?.split('/');
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// An event for people goes to stderr, beside the output; as JSON it is data.
pub(crate) fn show_event(ui: Ui, event: &Event) {
    if ui.json {
        return ui.document(&json!({"v": JSON_VERSION, "event": event}));
    }
    let paint = match event.kind.as_str() {
        "restart" | "injected" | "damaged" => Paint::Change,
        "committed" | "started" => Paint::Faint,
        _ => Paint::Strong,
    };
    let kind = format!("{:>9}", event.kind);
    ui.say(format!("{} {}  {}", ui.paint(Paint::Faint, view::time(event.at)), ui.paint(paint, kind), event.message));
}

/// The exit code that a run's end means.
pub(crate) fn exit_of(phase: Phase) -> Exit {
    if phase == Phase::Succeeded { Exit::Done } else { Exit::Fixable }
}
