//! A world in memory, for tests: four kinds of things that stand on each other, that refuse what a provider would refuse,
//! that fail on demand, and in which the engine can be stopped at any of the points where a real one could die.

use crate::address::{Address, Deployment, OperationId};
use crate::apply::{Cancel, Limits, Outcome, Run, apply};
use crate::diag::Diagnostic;
use crate::event::{Emitted, Event};
use crate::journal::{Clock, Journal};
use crate::kind::{
    Effect, ErrorClass, Hourly, Kind, KindError, Kinds, Observed, OnIdentifier, Readiness, Recovery, Tags,
};
use crate::observe::{Observations, ObserveOptions, look_and_plan, observe};
use crate::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use crate::resource::{Desired, Resource};
use crate::state::State;
use crate::value::{Output, Value};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What every kind here is made of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Identifiers of what it stands on.
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    size: u64,
    /// Cannot exist in two zones at once.
    #[serde(default = "first_zone")]
    zone: String,
    /// Cannot be changed.
    #[serde(default)]
    sealed: bool,
    /// Cannot be read back.
    #[serde(default)]
    note: String,
}

fn first_zone() -> String {
    "a".to_owned()
}

/// What the kinds differ in.
pub(crate) trait Flavor: Send + Sync + 'static {
    const NAME: &'static str;
    const PARENTS: Effect = Effect::InPlace;
    const HOLDS_DATA: bool = false;
    const HIDDEN: Duration = Duration::ZERO;
    const LOOKS_UNTIL_READY: u32 = 0;
    const RECOVERY: Recovery = Recovery::Tags;
    const READ_BATCH: usize = 1;
    /// Whether it is named by its zone: then reads show it at once, and only lists hide it.
    const NAMED: bool = false;
}

pub(crate) struct Net;
impl Flavor for Net {
    const NAME: &'static str = "sim.net";
}
pub(crate) struct Node;
impl Flavor for Node {
    const NAME: &'static str = "sim.node";
    const PARENTS: Effect = Effect::ReplaceCreateFirst;
    const LOOKS_UNTIL_READY: u32 = 3;
}
pub(crate) struct Slot;
impl Flavor for Slot {
    const NAME: &'static str = "sim.slot";
    const PARENTS: Effect = Effect::ReplaceDeleteFirst;
    const HIDDEN: Duration = Duration::from_secs(4);
}
pub(crate) struct Disk;
impl Flavor for Disk {
    const NAME: &'static str = "sim.disk";
    const HOLDS_DATA: bool = true;
}

/// Takes a client token, and hides what it makes for long.
pub(crate) struct Gate;
impl Flavor for Gate {
    const NAME: &'static str = "sim.gate";
    const HIDDEN: Duration = Duration::from_secs(40);
    const RECOVERY: Recovery = Recovery::Token;
    const LOOKS_UNTIL_READY: u32 = 1;
    const READ_BATCH: usize = 10;
}
/// An entry in the first thing that it stands on, with which it goes; it has no tags.
pub(crate) struct Entry;
impl Flavor for Entry {
    const NAME: &'static str = "sim.entry";
    const PARENTS: Effect = Effect::ReplaceDeleteFirst;
    const HIDDEN: Duration = Duration::from_secs(40);
    const RECOVERY: Recovery = Recovery::Identity;
    const READ_BATCH: usize = 10;
}

/// Named by its zone, takes a client token, and holds data; lists show it late.
pub(crate) struct Bucket;
impl Flavor for Bucket {
    const NAME: &'static str = "sim.bucket";
    const HOLDS_DATA: bool = true;
    const HIDDEN: Duration = Duration::from_secs(40);
    const RECOVERY: Recovery = Recovery::Token;
    const NAMED: bool = true;
}

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) kind: &'static str,
    pub(crate) spec: Spec,
    pub(crate) tags: Tags,
    /// True when what it stands on may not go. What can be moved in place can also hang in the air for a moment.
    firm: bool,
    looks_until_ready: u32,
    seen_from: Instant,
    pub(crate) failed: bool,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) objects: BTreeMap<String, Object>,
    operations: BTreeSet<OperationId>,
    pub(crate) violations: Vec<String>,
    made: u64,
    pub(crate) calls: BTreeMap<&'static str, usize>,
    /// The errors of the next calls with that name.
    pub(crate) faults: Vec<(&'static str, ErrorClass)>,
    /// How many of the next creations work and then say that they failed.
    pub(crate) lost_replies: usize,
    /// The errors of the next creations that stop when there is an identifier: what they make has no size yet.
    pub(crate) part_way: Vec<ErrorClass>,
    /// How many of the next updates are taken back by the time that they return.
    pub(crate) taken_back: usize,
    /// What the next reads still show, and how many of them.
    pub(crate) stale: Option<(usize, Spec)>,
    /// How many reads after the next update still show what was there before.
    pub(crate) shows_late: usize,
    /// Until when everything that changes anything is refused, because of an earlier change.
    pub(crate) busy_until: Option<Instant>,
    /// How many points remain until everything stops.
    pub(crate) crash_in: Option<usize>,
}

/// The world.
#[derive(Clone, Default)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    crashed: Arc<Notify>,
}

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A point at which a real process could die.
    async fn point(&self) {
        let crash = match &mut self.lock().crash_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if crash {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn call(&self, name: &'static str) -> Result<(), KindError> {
        let mut inner = self.lock();
        *inner.calls.entry(name).or_default() += 1;
        match inner.faults.iter().position(|(call, _)| *call == name) {
            Some(position) => Err(failure(inner.faults.remove(position).1, "injected")),
            None => Ok(()),
        }
    }
}

impl Inner {
    fn not_busy(&self) -> Result<(), KindError> {
        match self.busy_until.filter(|until| *until > Instant::now()) {
            Some(_) => Err(failure(ErrorClass::Busy, "an earlier change is on its way")),
            None => Ok(()),
        }
    }
}

fn failure(class: ErrorClass, message: &str) -> KindError {
    KindError { class, message: message.to_owned(), help: Some("try less".to_owned()), source: None }
}

pub(crate) struct Sim<F>(World, PhantomData<F>);

impl<F: Flavor> Sim<F> {
    fn check_parents(inner: &Inner, spec: &Spec) -> Result<(), KindError> {
        match spec.parents.iter().find(|parent| !inner.objects.contains_key(*parent)) {
            Some(parent) => Err(failure(ErrorClass::Terminal, &format!("there is no {parent}"))),
            None => Ok(()),
        }
    }

    fn observed(id: &str, object: &Object) -> Observed {
        let Json::Object(mut spec) = serde_json::to_value(&object.spec).unwrap() else { unreachable!() };
        spec.remove("note");
        let outputs = [("id", json!(id)), ("version", json!(format!("v{}", object.spec.size)))];
        Observed {
            id: id.to_owned(),
            outputs: outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            spec: spec.into_iter().collect(),
            readiness: match (object.failed, object.looks_until_ready) {
                (true, _) => Readiness::Failed("it broke".to_owned()),
                (false, 0) => Readiness::Ready,
                (false, left) => Readiness::Waiting(format!("{left} looks to go")),
            },
            tags: (F::RECOVERY != Recovery::Identity).then(|| object.tags.clone()),
        }
    }
}

impl<F: Flavor> Kind for Sim<F> {
    type Spec = Spec;

    const NAME: &'static str = F::NAME;
    const OUTPUTS: &'static [&'static str] = &["id", "version"];
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    const HOLDS_DATA: bool = F::HOLDS_DATA;
    const VISIBILITY: Duration = F::HIDDEN;
    const RECOVERY: Recovery = F::RECOVERY;
    const READ_BATCH: usize = F::READ_BATCH;
    const READY_DEADLINE: Duration = Duration::from_secs(1800);

    fn identity(&self, spec: &Spec) -> Option<String> {
        if F::NAMED {
            return Some(format!("{}-{}", F::NAME, spec.zone));
        }
        let within = spec.parents.first().filter(|_| F::RECOVERY == Recovery::Identity)?;
        Some(format!("{within}/{}", F::NAME))
    }

    fn hourly(&self, spec: &Spec) -> Option<Hourly> {
        match F::NAME {
            "sim.disk" => Some(Hourly(f64::from(u32::try_from(spec.size).ok()?))),
            "sim.net" => Some(Hourly(0.0)),
            _ => None,
        }
    }

    fn effect(&self, field: &str, _: &Spec, _: &Spec) -> Effect {
        match field {
            "parents" => F::PARENTS,
            "zone" => Effect::ReplaceDeleteFirst,
            "sealed" => Effect::Forbidden("a seal is for ever"),
            _ => Effect::InPlace,
        }
    }

    async fn read(&self, id: &str) -> Result<Option<Observed>, KindError> {
        self.0.call("read")?;
        let mut inner = self.0.lock();
        let is_seen = |object: &&mut Object| F::NAMED || object.seen_from <= Instant::now();
        let Some(object) = inner.objects.get_mut(id).filter(is_seen) else {
            return Ok(None);
        };
        object.looks_until_ready = object.looks_until_ready.saturating_sub(1);
        let mut object = object.clone();
        if let Some((reads, old)) = inner.stale.take().filter(|(reads, _)| *reads > 0) {
            object.spec = old.clone();
            inner.stale = Some((reads - 1, old));
        }
        let mut observed = Self::observed(id, &object);
        if inner.busy_until.is_some_and(|until| until > Instant::now()) {
            observed.readiness = Readiness::Waiting("an earlier change".to_owned());
        }
        Ok(Some(observed))
    }

    async fn create(&self, spec: &Spec, tags: &Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        self.0.point().await;
        self.0.call("create")?;
        let (id, observed, lost, stops) = {
            let mut inner = self.0.lock();
            Self::check_parents(&inner, spec)?;
            let stops = inner.part_way.pop();
            let again = !inner.operations.insert(tags.operation.clone());
            if again && F::RECOVERY == Recovery::Tags {
                inner.violations.push(format!("{} was created twice by one operation", tags.address));
            }
            let first = inner.objects.iter().find(|(_, object)| object.tags.operation == tags.operation);
            let first = first.filter(|_| again).map(|(id, _)| id.clone());
            inner.made += u64::from(first.is_none());
            if F::NAMED && first.is_none() && inner.objects.contains_key(&self.identity(spec).unwrap_or_default()) {
                return Err(failure(ErrorClass::Terminal, "its name is taken"));
            }
            let id = first.or_else(|| self.identity(spec)).unwrap_or_else(|| format!("{}-{}", F::NAME, inner.made));
            let object = Object {
                kind: F::NAME,
                spec: Spec { size: if stops.is_some() { 0 } else { spec.size }, ..spec.clone() },
                tags: tags.clone(),
                firm: F::PARENTS != Effect::InPlace && F::RECOVERY != Recovery::Identity,
                looks_until_ready: F::LOOKS_UNTIL_READY,
                seen_from: Instant::now() + F::HIDDEN,
                failed: false,
            };
            let observed = Self::observed(&id, &object);
            inner.objects.insert(id.clone(), object);
            let lost = inner.lost_replies > 0;
            inner.lost_replies = inner.lost_replies.saturating_sub(1);
            (id, observed, lost, stops)
        };
        self.0.point().await;
        if lost {
            return Err(failure(ErrorClass::Transient, "the connection broke"));
        }
        on_identifier(&id);
        self.0.point().await;
        match stops {
            Some(class) => Err(failure(class, "stopped part-way")),
            None => Ok(observed),
        }
    }

    async fn update(&self, id: &str, _: Option<&Spec>, after: &Spec, tags: &Tags) -> Result<Observed, KindError> {
        self.0.point().await;
        self.0.call("update")?;
        let observed = {
            let mut inner = self.0.lock();
            Self::check_parents(&inner, after)?;
            inner.not_busy()?;
            let (taken_back, shows_late) = (inner.taken_back > 0, std::mem::take(&mut inner.shows_late));
            inner.taken_back = inner.taken_back.saturating_sub(1);
            let gone = || failure(ErrorClass::Terminal, "there is nothing to update");
            let object = inner.objects.get_mut(id).ok_or_else(gone)?;
            let old = object.clone();
            object.tags = tags.clone();
            if !taken_back {
                object.spec = after.clone();
            }
            let observed = Self::observed(id, if shows_late > 0 { &old } else { object });
            inner.stale = (shows_late > 0).then_some((shows_late, old.spec));
            observed
        };
        self.0.point().await;
        Ok(observed)
    }

    async fn delete(&self, id: &str) -> Result<(), KindError> {
        self.0.point().await;
        self.0.call("delete")?;
        {
            let mut inner = self.0.lock();
            inner.not_busy()?;
            let stands_on_it = |object: &&Object| object.firm && object.spec.parents.iter().any(|parent| parent == id);
            if let Some(child) = inner.objects.values().find(stands_on_it) {
                let message = format!("{} still stands on {id}", child.tags.address);
                return Err(failure(ErrorClass::Terminal, &message));
            }
            inner.objects.remove(id);
            inner.objects.retain(|other, _| !other.starts_with(&format!("{id}/")));
        }
        self.0.point().await;
        Ok(())
    }

    async fn list(&self, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        self.0.call("list")?;
        let inner = self.0.lock();
        let ours = inner.objects.iter().filter(|(_, object)| {
            F::RECOVERY != Recovery::Identity
                && object.kind == F::NAME
                && object.tags.deployment == *deployment
                && object.seen_from <= Instant::now()
        });
        Ok(ours.map(|(id, object)| Self::observed(id, object)).collect())
    }
}

/// A deployment in such a world.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) kinds: Kinds,
    pub(crate) directory: TempDir,
    pub(crate) deployment: Deployment,
    pub(crate) cancel: Cancel,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

/// Always the same moment: windows that are measured from it then never close early.
pub(crate) fn clock() -> Clock {
    Arc::new(|| Timestamp::UNIX_EPOCH)
}

impl Site {
    pub(crate) fn new() -> Self {
        let world = World::default();
        let kinds = Kinds::default()
            .with(Sim::<Net>(world.clone(), PhantomData))
            .with(Sim::<Node>(world.clone(), PhantomData))
            .with(Sim::<Slot>(world.clone(), PhantomData))
            .with(Sim::<Disk>(world.clone(), PhantomData))
            .with(Sim::<Gate>(world.clone(), PhantomData))
            .with(Sim::<Entry>(world.clone(), PhantomData))
            .with(Sim::<Bucket>(world.clone(), PhantomData));
        Self {
            world,
            kinds,
            directory: tempfile::tempdir().unwrap(),
            deployment: Deployment("site".to_owned()),
            cancel: Cancel::new(),
            events: Arc::default(),
        }
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::open(self.directory.path(), &self.deployment, clock()).unwrap()
    }

    pub(crate) fn desired(&self, resources: &[Resource]) -> Desired {
        Desired { deployment: self.deployment.clone(), resources: resources.to_vec(), moved: Vec::new() }
    }

    pub(crate) async fn look(&self, journal: &Journal) -> Observations {
        let now = Timestamp::UNIX_EPOCH;
        let options = ObserveOptions::default();
        observe(&self.deployment, &journal.state(), &self.kinds, now, &options).await.unwrap()
    }

    async fn look_and_plan(
        &self,
        state: &State,
        plan: impl Fn(&Observations) -> Result<Plan, Vec<Diagnostic>>,
    ) -> Result<Plan, Vec<Diagnostic>> {
        let (now, options) = (Timestamp::UNIX_EPOCH, ObserveOptions::default());
        look_and_plan(&self.deployment, state, &self.kinds, now, &options, plan).await
    }

    pub(crate) async fn plan(&self, journal: &Journal, resources: &[Resource]) -> Result<Plan, Vec<Diagnostic>> {
        let (state, desired) = (journal.state(), self.desired(resources));
        self.look_and_plan(&state, |seen| plan(&desired, &state, seen, &self.kinds, &PlanOptions::default())).await
    }

    pub(crate) async fn apply(&self, journal: &Journal, plan: &Plan) -> Outcome {
        let events = Arc::clone(&self.events);
        let sink = move |emitted: &Emitted| events.lock().unwrap().push(emitted.event.clone());
        let run = Run {
            journal,
            kinds: &self.kinds,
            sink: &sink,
            cancel: &self.cancel,
            limits: Limits::default(),
            guard: &crate::lock::Unguarded,
            new_operation: &crate::apply::random_operation,
        };
        apply(plan, &run).await.unwrap()
    }

    pub(crate) async fn up(&self, resources: &[Resource]) -> Outcome {
        let journal = self.journal();
        let plan = self.plan(&journal, resources).await.unwrap();
        self.apply(&journal, &plan).await
    }

    pub(crate) async fn plan_destroy(&self, journal: &Journal, options: &DestroyOptions) -> Plan {
        let state = journal.state();
        let planned = |seen: &Observations| plan_destroy(&self.deployment, &state, seen, &self.kinds, options);
        self.look_and_plan(&state, planned).await.unwrap()
    }

    pub(crate) async fn destroy(&self, options: &DestroyOptions) -> Outcome {
        let journal = self.journal();
        let plan = self.plan_destroy(&journal, options).await;
        self.apply(&journal, &plan).await
    }

    /// Runs until the end, or until the world stops at the given point; true when it stopped.
    pub(crate) async fn until_crash(&self, point: usize, work: impl Future<Output = Outcome>) -> bool {
        self.world.lock().crash_in = Some(point);
        let crashed = tokio::select! {
            biased;
            () = self.world.crashed.notified() => true,
            _ = work => false,
        };
        self.world.lock().crash_in = None;
        crashed
    }

    /// Address, kind, size and zone of everything that exists.
    pub(crate) fn census(&self) -> Vec<(String, &'static str, u64, String)> {
        let inner = self.world.lock();
        assert_eq!(inner.violations, Vec::<String>::new());
        let parents = inner.objects.values().flat_map(|object| &object.spec.parents);
        let in_the_air: Vec<_> = parents.filter(|parent| !inner.objects.contains_key(*parent)).collect();
        assert_eq!(in_the_air, Vec::<&String>::new());
        let mut census: Vec<_> = inner
            .objects
            .values()
            .map(|object| (object.tags.address.to_string(), object.kind, object.spec.size, object.spec.zone.clone()))
            .collect();
        census.sort();
        census
    }
}

/// The reference `address.name`.
pub(crate) fn output(address: &str, name: &str) -> Value {
    Value::Output(Output { address: Address::new(address), name: name.to_owned() })
}

/// A resource that stands on `parents`.
pub(crate) fn resource(kind: &str, address: &str, parents: &[&str], size: u64) -> Resource {
    let parents = Value::List(parents.iter().map(|parent| output(parent, "id")).collect());
    let spec = BTreeMap::from([("parents".to_owned(), parents), ("size".to_owned(), Value::from(json!(size)))]);
    Resource {
        address: Address::new(address),
        kind: format!("sim.{kind}"),
        spec: Value::Map(spec),
        depends_on: BTreeSet::new(),
        protect: false,
        origin: None,
    }
}

/// The same resource with a field set.
pub(crate) fn with(mut resource: Resource, field: &str, value: impl Into<Value>) -> Resource {
    let Value::Map(fields) = &mut resource.spec else { unreachable!() };
    fields.insert(field.to_owned(), value.into());
    resource
}

/// What [`Site::census`] is to say of these resources.
pub(crate) fn expected(resources: &[Resource]) -> Vec<(String, String, u64, String)> {
    let mut expected: Vec<_> = resources
        .iter()
        .map(|resource| {
            let Value::Map(fields) = &resource.spec else { unreachable!() };
            let known = |field: &str| fields.get(field).and_then(Value::to_json);
            let size = known("size").and_then(|size| size.as_u64()).unwrap_or(0);
            let zone = known("zone").map_or_else(first_zone, |zone| zone.as_str().unwrap().to_owned());
            (resource.address.to_string(), resource.kind.clone(), size, zone)
        })
        .collect();
    expected.sort();
    expected
}
