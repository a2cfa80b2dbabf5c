//! Random histories of a deployment, each from one number, and what must hold after each.
//!
//! A scenario begins with a random blueprint in an empty cloud in which other people have things too. Then, a few times
//! over: the blueprint changes, somebody else deletes, edits or wrecks something, the weather is bad, and `up` or
//! `destroy` runs, mostly until it is killed: before or after an effect, between the effect and its entry in the journal,
//! in the middle of a write, or simply after a while. With the process, the machine may die, and what was appended and
//! not made durable is lost. Sometimes the whole journal is. Some deployments are kept in a bucket, with a lease; there,
//! two write at once, and the first is stopped in the middle, for longer than its lease lasts or not, and goes on.
//!
//! After every run ([`check`]): the journal loads; whatever exists and is ours is known to it; nothing protected is gone,
//! and no data without consent; nothing that is not ours was touched; no operation created two things; a run that says that all is done has done all of it; nobody had an effect
//! after somebody else had taken the lease. At the end, in
//! fair weather: one `up` makes the world as desired, or is refused for a reason that holds, and then nothing has
//! changed; the next one has nothing to do; `destroy` leaves nothing.
//!
//! What a run is *not* asked to survive, beside what the model of the cloud says of requests on their way:
//!
//! 1. A journal that is lost is lost for longer than anything can be hidden: with it goes all that says for what to wait.
//!    What it alone knew (protection, things without tags) is forgotten: nothing that only it protected is protected,
//!    and things without tags stay until what they lie within goes.
//! 2. What somebody else changes has settled before the next run: no provider says what it will show next.
//! 3. After a failure that says "run the command again", the command is run again.

mod blueprint;
mod check;
mod desk;
mod relent;
mod tests;

use crate::address::{Address, Deployment, OperationId};
use crate::apply::Limits;
use crate::bucket::memory::{Fault, MemoryBucket};
use crate::journal::MemoryStore;
use crate::kind::Tags;
use crate::plan::PlanOptions;
use crate::resource::{Resource, destination};
use crate::simulate::{Cloud, Object, Random, Rate, Weather};
use crate::state::State;
use blueprint::Draft;
use check::Foreign;
use desk::{Desk, Kill, Ran, Storage, TTL, Wish};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

/// Longer than anything is hidden, lingers, or takes to go.
const SETTLED: Duration = Duration::from_secs(120);

/// What must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation(String);

impl Violation {
    fn new(what: String) -> Self {
        Self(what)
    }
}

/// How often what happened: shows that scenarios do what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }
}

fn print(line: &str) {
    println!("{line}");
}

/// Plays one scenario in a runtime of its own, whose clock is its own as well.
fn play(seed: u64, told: bool) -> (Tally, Result<(), Violation>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut scenario = Scenario::new(seed, told);
        let result = scenario.play().await;
        scenario.sum_up();
        (scenario.tally, result)
    })
}

struct Scenario {
    chance: Random,
    desk: Desk,
    draft: Draft,
    weather: Weather,
    foreign: Foreign,
    /// What existed when the journal was lost.
    adrift: BTreeSet<String>,
    /// What the journal said after the last run.
    state: State,
    tally: Tally,
}

fn weather(seed: u64, chance: &mut Random) -> Weather {
    let mut often = |per_mille: u64| if chance.chance(400) { chance.below(per_mille) } else { 0 };
    let (lost_requests, lost_replies, hangs) = (often(80), often(120), often(20));
    let (no_capacity, refusals, stillborn, stray_lists) = (often(60), often(40), often(60), often(1000));
    let (part_way, taken_back) = (often(200), often(100));
    let tight = chance.chance(200);
    let rate = if tight { Rate { per_second: 2, burst: 4 } } else { Rate { per_second: 200, burst: 1000 } };
    Weather {
        seed,
        latency: Duration::from_millis(50 + chance.below(1000)),
        spread: chance.below(60),
        rate,
        eventual: true,
        lost_requests,
        lost_replies,
        hangs,
        no_capacity,
        refusals,
        stillborn,
        part_way,
        taken_back,
        stray_lists,
    }
}

impl Scenario {
    fn new(seed: u64, told: bool) -> Self {
        let mut chance = Random::new(seed);
        let weather = weather(chance.draw(), &mut chance);
        let cloud = Cloud::new(weather.clone());
        let calls = [1, 2, 4, 32][chance.index(4)];
        let limits = Limits { calls, ..Limits::default() };
        let storage = if chance.chance(250) {
            let bucket = MemoryBucket::new();
            bucket.set_latency(Duration::from_millis(20 + chance.below(200)));
            Storage::Bucket(bucket)
        } else {
            Storage::Disk(MemoryStore::new())
        };
        let mut desk = Desk::new(cloud, limits, storage);
        desk.told = told;
        let draft = Draft::new(&mut chance);
        let (foreign, adrift, state, tally) = Default::default();
        Self { chance, desk, draft, weather, foreign, adrift, state, tally }
    }

    async fn play(&mut self) -> Result<(), Violation> {
        self.plant();
        for _ in 0..=self.chance.index(5) {
            self.chapter().await?;
        }
        self.ending().await
    }

    /// What other people have there: things without tags, and another deployment's at the same addresses.
    fn plant(&mut self) {
        for name in ["sim.net", "sim.disk", "sim.farm"] {
            let Some(kind) = self.desk.real.get(name) else { continue };
            let mut owners = vec![None];
            owners.extend(self.draft.items.iter().take(2).map(|item| {
                let operation = OperationId("theirs".to_owned());
                let address = Address::new(&item.name);
                Some(Tags { deployment: Deployment("theirs".to_owned()), address, operation })
            }));
            for tags in owners {
                let spec = kind.normalize(&json!({"size": 7})).unwrap();
                let id = self.desk.cloud.plant(kind, &spec, tags.clone()).unwrap();
                self.foreign.remember(id, spec, tags);
            }
        }
    }

    fn ours(&self) -> Vec<Object> {
        let objects = self.desk.cloud.objects();
        objects.into_iter().filter(|object| !self.foreign.contains(&object.id)).collect()
    }

    /// One change of everything, and one run.
    async fn chapter(&mut self) -> Result<(), Violation> {
        for _ in 0..self.chance.index(4) {
            let what = self.draft.change(&mut self.chance);
            self.desk.tell(|| what);
        }
        if self.chance.chance(60) {
            self.lose_the_journal().await;
        }
        if self.chance.chance(200) {
            self.drift().await;
        }
        if self.chance.chance(200) {
            sleep(self.chance.up_to(SETTLED)).await;
        }
        let delete_data = self.chance.chance(600);
        let wish = if self.chance.chance(150) {
            Wish::Destroy { delete_data, modules: self.modules(500) }
        } else {
            let mut replace = BTreeSet::new();
            if self.chance.chance(80) {
                let item = self.draft.items.get(self.chance.index(self.draft.items.len()));
                replace.extend(item.map(|item| Address::new(&item.name)));
            }
            let options = PlanOptions { replace, only: self.modules(80) };
            Wish::Up { resources: self.draft.resources(), moved: self.draft.moves(), options, delete_data }
        };
        self.stumble();
        if matches!(self.desk.storage, Storage::Bucket(_)) && self.chance.chance(500) {
            return self.duel(&wish).await;
        }
        let kill = self.kill();
        self.run(&wish, kill).await.map(|_| ())
    }

    /// Some of the modules, once in a while.
    fn modules(&mut self, per_mille: u64) -> Option<BTreeSet<String>> {
        if !self.chance.chance(per_mille) {
            return None;
        }
        self.tally.count("parts of deployments");
        Some(BTreeSet::from([["base", "top"][self.chance.index(2)].to_owned()]))
    }

    /// The bucket is about to stumble: it refuses what it is too busy for, or does something and does not say so.
    fn stumble(&mut self) {
        let Storage::Bucket(bucket) = &self.desk.storage else { return };
        for _ in 0..self.chance.index(4) {
            let fault = [Fault::Throttled, Fault::LostReply][self.chance.index(2)];
            bucket.fail(["journal/", "lock"][self.chance.index(2)], fault);
            self.tally.count("faults of buckets");
        }
    }

    /// Two writers: the first is stopped somewhere, for longer than its lease lasts or not, and then goes on.
    async fn duel(&mut self, wish: &Wish) -> Result<(), Violation> {
        let (first, second) = (self.desk.cloud.client(), self.desk.cloud.client());
        first.sleeps_after(self.chance.below(4 * self.draft.items.len() as u64 + 12));
        let asleep = self.chance.up_to(3 * TTL);
        let later = self.draft.change(&mut self.chance);
        let other = Wish::up(self.draft.resources(), self.draft.moves(), true);
        if self.chance.chance(300) {
            second.dies_after(self.chance.below(4 * self.draft.items.len() as u64 + 12));
        }
        self.desk.tell(|| format!("{} is put to sleep for {asleep:?}; {later}, and {}", told(wish), told(&other)));
        let owners = self.desk.owners.lock().unwrap().len();
        self.tally.count("duels");
        let desk = &self.desk;
        let mut work = Box::pin(desk.write(&first, wish));
        let ran = tokio::select! {
            biased;
            () = first.falls_asleep() => None,
            ran = &mut work => Some(ran),
        };
        let one = async {
            match ran {
                Some(ran) => ran,
                None => {
                    sleep(asleep).await;
                    desk.tell(|| "  the first wakes up".to_owned());
                    first.wakes_up();
                    work.await
                }
            }
        };
        let two = async {
            tokio::select! {
                biased;
                () = second.died() => Ok(Ran::Killed),
                ran = desk.write(&second, &other) => ran,
            }
        };
        let (one, two) = tokio::join!(one, two);
        for ran in [one?, two?] {
            self.desk.tell(|| format!("  {}", shown(&ran)));
            self.count(&ran);
        }
        let taken = self.desk.owners.lock().unwrap()[owners..].to_vec();
        if taken.first().is_some_and(|(owner, _)| *owner == first.number()) && taken.len() > 1 {
            self.tally.count("takeovers and handovers");
        }
        check::one_writer_at_a_time(&self.desk, &taken)?;
        self.state = self.desk.state().await?;
        self.whole()
    }

    /// What holds after whatever was done.
    fn whole(&self) -> Result<(), Violation> {
        if let Some(violation) = self.desk.cloud.violations().first() {
            return Err(Violation::new(violation.clone()));
        }
        check::nothing_is_orphaned(&self.desk, &self.state, &self.ours(), &self.adrift)?;
        self.foreign.untouched(&self.desk.cloud.objects())
    }

    fn kill(&mut self) -> Kill {
        match self.chance.below(10) {
            0..=6 => Kill::AtPoint(self.chance.below(4 * self.draft.items.len() as u64 + 8)),
            7 => Kill::After(self.chance.up_to(SETTLED)),
            _ => Kill::Never,
        }
    }

    async fn lose_the_journal(&mut self) {
        sleep(SETTLED).await;
        self.desk.tell(|| "the journal is lost".to_owned());
        self.tally.count("journals lost");
        self.desk.storage.lose();
        self.state = State::default();
        self.adrift.extend(self.ours().into_iter().map(|object| object.id));
    }

    /// Somebody else does something to what is ours.
    async fn drift(&mut self) {
        let ours = self.ours();
        let Some(object) = ours.get(self.chance.index(ours.len())) else { return };
        match self.chance.below(5) {
            0 | 1 => {
                self.desk.tell(|| format!("somebody deletes {object:?}"));
                self.tally.count("deleted by others");
                self.desk.cloud.remove(&object.id);
            }
            2 | 3 => {
                self.desk.tell(|| format!("somebody edits {object:?}"));
                self.tally.count("edited by others");
                self.desk.cloud.edit(&object.id, "size", json!(90 + self.chance.below(5)));
            }
            _ => {
                self.desk.tell(|| format!("somebody wrecks {object:?}"));
                self.tally.count("wrecked by others");
                self.desk.cloud.wreck(&object.id, "somebody broke it");
            }
        }
        sleep(SETTLED).await;
    }

    /// One run, and what must hold after it.
    async fn run(&mut self, wish: &Wish, kill: Kill) -> Result<Ran, Violation> {
        let before = std::mem::take(&mut self.state);
        let deeds = self.desk.cloud.deeds_done();
        self.desk.tell(|| format!("{} until {kill:?}", told(wish)));
        let ran = self.desk.run(wish, kill).await?;
        self.desk.tell(|| format!("  {}", shown(&ran)));
        if matches!(ran, Ran::Killed) {
            self.tally.count("kills");
            self.fall();
        }
        self.count(&ran);
        self.state = self.desk.state().await?;
        self.whole()?;
        let (consent, lifted) = match wish {
            Wish::Up { resources, delete_data, .. } => {
                let lifted = resources.iter().filter(|resource| !resource.protect);
                (*delete_data, lifted.map(|resource| resource.address.clone()).collect())
            }
            Wish::Destroy { delete_data, .. } => (*delete_data, BTreeSet::new()),
        };
        let moved = if let Wish::Up { moved, .. } = wish { moved.as_slice() } else { &[] };
        let now = |address: &Address| destination(moved, address).unwrap_or_else(|| address.clone());
        let is_lifted = |address: &Address| lifted.contains(address) || lifted.contains(&now(address));
        check::nothing_precious_is_gone(&self.desk, deeds, &before, is_lifted, consent)?;
        if let Ran::Applied(plan, outcome) = &ran
            && outcome.is_complete()
        {
            check::what_is_done_is_done(plan, &self.state, &self.ours())?;
        }
        if matches!(ran, Ran::Refused(_) | Ran::NoConsent | Ran::Blind(_)) {
            self.nothing_happened(deeds, &before, &self.state)?;
        }
        Ok(ran)
    }

    fn nothing_happened(&self, deeds: usize, before: &State, after: &State) -> Result<(), Violation> {
        if self.desk.cloud.deeds_done() > deeds || before != after {
            return Err(Violation::new("a plan was refused, and yet something happened".to_owned()));
        }
        Ok(())
    }

    /// With the process the machine may fall: then what was not made durable is lost, or part of it.
    fn fall(&mut self) {
        let Storage::Disk(store) = &self.desk.storage else { return };
        let length = || store.bytes().map_or(0, |bytes| bytes.len());
        if self.chance.chance(500) {
            let before = length();
            store.crash(self.chance.index(400));
            if length() < before {
                self.desk.tell(|| "  what was not durable is lost".to_owned());
                self.tally.count("appends lost");
            }
        }
        if store.bytes().is_some_and(|bytes| bytes.last().is_some_and(|byte| *byte != b'\n')) {
            self.tally.count("torn writes");
        }
    }

    fn count(&mut self, ran: &Ran) {
        match ran {
            Ran::Killed => {}
            Ran::Refused(_) => self.tally.count("plans refused"),
            Ran::NoConsent => self.tally.count("plans without consent"),
            Ran::Blind(_) => self.tally.count("could not look"),
            Ran::Fenced(_) => self.tally.count("fenced"),
            Ran::Applied(plan, outcome) => {
                let counts = outcome.done;
                self.tally.count(if outcome.fenced.is_some() { "fenced" } else { "runs to the end" });
                self.tally.add("created", counts.create as u64);
                self.tally.add("updated", counts.update as u64);
                self.tally.add("replaced", counts.replace as u64);
                self.tally.add("deleted", counts.delete as u64);
                self.tally.add("adopted", counts.adopt as u64);
                self.tally.add("forgotten", counts.forget as u64);
                self.tally.add("steps failed", outcome.failed.len() as u64);
                self.tally.add("never happened", plan.never_happened.len() as u64);
            }
        }
    }

    /// From now on nothing goes wrong any more.
    async fn ending(&mut self) -> Result<(), Violation> {
        let fair = Weather { eventual: true, spread: self.weather.spread, ..Weather::fair() };
        let generous = Rate { per_second: 200, burst: 1000 };
        self.desk.cloud.set_weather(Weather { rate: generous, latency: self.weather.latency, ..fair });
        self.desk.tell(|| "the weather is fair".to_owned());
        let mut resources = self.draft.resources();
        let mut ran = self.run(&Wish::up(resources.clone(), self.draft.moves(), true), Kill::Never).await?;
        if let Ran::Refused(findings) = &ran {
            resources = self.relent(findings).await?;
            ran = self.run(&Wish::up(resources.clone(), self.draft.moves(), true), Kill::Never).await?;
        }
        if is_to_be_repeated(&ran) {
            self.tally.count("repeated as told");
            ran = self.run(&Wish::up(resources.clone(), self.draft.moves(), true), Kill::Never).await?;
            // What the first run found broken may be protected: it is not replaced before that is lifted.
            if let Ran::Refused(findings) = &ran {
                resources = self.relent(findings).await?;
                ran = self.run(&Wish::up(resources.clone(), self.draft.moves(), true), Kill::Never).await?;
            }
        }
        self.complete(&ran)?;
        let state = self.state.clone();
        check::world_is_as_desired(&self.desk, &resources, &state, &self.ours(), &self.adrift)?;
        self.nothing_is_left_to_do(&resources).await?;
        self.destroy().await
    }

    fn complete(&self, ran: &Ran) -> Result<(), Violation> {
        match ran {
            Ran::Applied(_, outcome) if outcome.is_complete() => Ok(()),
            other => Err(Violation::new(format!("in fair weather: {}", shown(other)))),
        }
    }

    async fn nothing_is_left_to_do(&mut self, resources: &[Resource]) -> Result<(), Violation> {
        let deeds = self.desk.cloud.deeds_done();
        let ran = self.run(&Wish::up(resources.to_vec(), self.draft.moves(), false), Kill::Never).await?;
        let Ran::Applied(plan, _) = &ran else {
            return Err(Violation::new(format!("nothing was to be done: {}", shown(&ran))));
        };
        let rewrites = plan.steps.iter().any(|step| step.rewrites_record);
        if plan.has_changes() || rewrites || self.desk.cloud.deeds_done() > deeds {
            return Err(Violation::new(format!("there is still something to do: {}", shown(&ran))));
        }
        Ok(())
    }

    async fn destroy(&mut self) -> Result<(), Violation> {
        let state = self.state.clone();
        if state.records.values().any(|record| record.protect) {
            let ran = self.run(&Wish::destroy(true), Kill::Never).await?;
            if !matches!(&ran, Ran::Refused(findings) if findings.iter().all(|finding| finding.id == "protected")) {
                return Err(Violation::new(format!("something is protected, and yet: {}", shown(&ran))));
            }
            self.lift(&state).await?;
        }
        if self.chance.chance(300) {
            self.run(&Wish::destroy(false), Kill::Never).await?;
        }
        if self.chance.chance(500) {
            let kill = self.kill();
            self.run(&Wish::destroy(true), kill).await?;
        }
        let ran = self.run(&Wish::destroy(true), Kill::Never).await?;
        self.complete(&ran)?;
        let left = self.ours();
        if !left.is_empty() {
            return Err(Violation::new(format!("left behind: {left:?}")));
        }
        let state = &self.state;
        if state.is_empty() { Ok(()) } else { Err(Violation::new(format!("remembered after a destroy: {state:?}"))) }
    }

    fn sum_up(&mut self) {
        let calls = self.desk.cloud.calls();
        self.tally.add("calls", calls.values().map(super::Calls::total).sum());
        self.tally.add("throttled", calls.values().map(|calls| calls.throttled).sum());
        self.tally.add("calls failed", calls.values().map(|calls| calls.failed).sum());
        self.tally.add("effects", self.desk.cloud.deeds_done() as u64);
        self.tally.add("tokens replayed", self.desk.cloud.replays());
    }
}

fn is_to_be_repeated(ran: &Ran) -> bool {
    let again = |help: &Option<String>| help.as_ref().is_some_and(|help| help.starts_with("run the command again"));
    matches!(ran, Ran::Applied(_, outcome) if outcome.failed.iter().any(|failure| again(&failure.help)))
}

fn told(wish: &Wish) -> String {
    match wish {
        Wish::Destroy { delete_data, modules } => format!("destroy {modules:?} (data: {delete_data})"),
        Wish::Up { resources, moved, options, delete_data } => {
            let of = |resource: &Resource| {
                let protect = if resource.protect { ", protected" } else { "" };
                format!("\n      {}: {} {:?}{protect}", resource.address, resource.kind, resource.spec)
            };
            format!(
                "up (data: {delete_data}, {options:?}, {moved:?}){}\n   ",
                resources.iter().map(of).collect::<String>()
            )
        }
    }
}

fn shown(ran: &Ran) -> String {
    match ran {
        Ran::Applied(plan, outcome) => {
            let steps =
                plan.changed().map(|step| format!(" {} {} {:?}", step.action.symbol(), step.address, step.reasons));
            format!("applied{}; {outcome:?}", steps.collect::<String>())
        }
        other => format!("{other:?}"),
    }
}
