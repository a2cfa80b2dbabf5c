//! What exists in a simulated cloud, and what each request does to it.
//!
//! Nothing here waits, and nothing here is chance: a [`World`] is told what time it is and whether something goes wrong.

use super::objects::Objects;
use super::outputs::{short, synthesize};
use super::random::Random;
use crate::address::{Address, OperationId};
use crate::kind::{AnyKind, Effect, ErrorClass, KindError, Observed, Readiness, Recovery, Tags};
use crate::state::Call;
use crate::value::collect_texts;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What takes no longer is done when its call returns; everything else goes on after it.
const DONE_ON_RETURN: Duration = Duration::from_secs(1);

/// Something that exists in a simulated cloud. Times are counted from the cloud's beginning.
#[derive(Clone)]
pub struct Object {
    /// Its kind.
    pub kind: Arc<dyn AnyKind>,
    /// Its identifier.
    pub id: String,
    /// Its specification in normal form.
    pub spec: Json,
    /// Its tags; none for what nobody tagged, and for kinds whose resources carry none.
    pub tags: Option<Tags>,
    /// Its outputs.
    pub outputs: BTreeMap<String, Json>,
    /// Why it will never be ready.
    pub broken: Option<String>,
    /// When it is gone, once its deletion has begun.
    pub gone_at: Option<Duration>,
    pub(super) revision: u64,
    seen_from: Duration,
    /// From when on lists show it.
    listed_from: Duration,
    pub(super) seen_until: Option<Duration>,
    ready_at: Duration,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.tags.as_ref().map_or("nobody", |tags| tags.address.as_str());
        write!(f, "{} of {whose}: {}", self.id, self.spec)?;
        if self.gone_at.is_some() { write!(f, " (being deleted)") } else { Ok(()) }
    }
}

impl Object {
    /// One that was just made, and is seen and ready.
    pub(super) fn new(kind: Arc<dyn AnyKind>, id: String, spec: Json, tags: Option<Tags>) -> Self {
        let outputs = synthesize(kind.as_ref(), &id, &spec, 1);
        Self {
            kind,
            id,
            spec,
            tags,
            outputs,
            broken: None,
            gone_at: None,
            revision: 1,
            seen_from: Duration::ZERO,
            listed_from: Duration::ZERO,
            seen_until: None,
            ready_at: Duration::ZERO,
        }
    }

    fn is_seen(&self, now: Duration) -> bool {
        self.seen_from <= now && self.seen_until.is_none_or(|until| now < until)
    }

    fn readiness(&self, now: Duration) -> Readiness {
        match (&self.broken, self.gone_at) {
            (_, Some(_)) => Readiness::Waiting("being deleted".to_owned()),
            (Some(why), None) => Readiness::Failed(why.clone()),
            (None, None) if self.ready_at > now => Readiness::Waiting("being made ready".to_owned()),
            (None, None) => Readiness::Ready,
        }
    }

    /// The texts by which others name it.
    pub(super) fn handles(&self) -> impl Iterator<Item = &str> {
        let outputs = self.outputs.values().filter_map(Json::as_str);
        std::iter::once(self.id.as_str()).chain(outputs.filter(|text| text.contains(&self.id)))
    }

    /// True when `other` cannot go while this exists: a field that cannot be pointed elsewhere names it.
    pub(super) fn stands_on(&self, other: &Self) -> bool {
        let Some(fields) = self.spec.as_object() else { return false };
        fields.iter().any(|(name, value)| {
            other.handles().any(|handle| names(value, handle))
                && self.kind.effect(name, &self.spec, &self.spec) != Ok(Effect::InPlace)
        })
    }

    /// True when its identifier is made of the other's.
    pub(super) fn lies_within(&self, other: &Self) -> bool {
        self.kind.recovery() == Recovery::Identity && other.handles().any(|handle| self.id.contains(handle))
    }
}

fn names(value: &Json, text: &str) -> bool {
    match value {
        Json::String(found) => found == text,
        Json::Array(items) => items.iter().any(|item| names(item, text)),
        Json::Object(entries) => entries.values().any(|item| names(item, text)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// A call that changes something, as it reaches the cloud.
#[derive(Clone)]
pub(super) struct Request {
    /// Who sent it.
    pub(super) client: u64,
    pub(super) kind: Arc<dyn AnyKind>,
    pub(super) what: What,
    /// When it was sent. From then on counts the time for which its effect may be hidden.
    pub(super) sent: Duration,
    /// Whether what it makes will never be ready.
    pub(super) stillborn: bool,
    /// Whether what it creates is not all done, or what it updates is taken back.
    pub(super) in_part: bool,
}

#[derive(Clone)]
pub(super) enum What {
    Create { spec: Json, tags: Tags },
    Update { id: String, spec: Json, tags: Tags },
    Delete { id: String },
}

/// Something that was done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who did it, by [`super::Client::number`].
    pub client: u64,
    /// When, counted from the cloud's beginning.
    pub at: Duration,
    /// What was done.
    pub call: Call,
    /// The kind.
    pub kind: &'static str,
    /// The identifier.
    pub id: String,
    /// The address by its tags, where it has any.
    pub address: Option<Address>,
    /// True when a user's data went with it.
    pub destroyed_data: bool,
}

/// Everything that exists.
#[derive(Default)]
pub(super) struct World {
    objects: Objects,
    /// What is gone and still shows.
    lingering: BTreeMap<String, Object>,
    /// What each token has made, of which specification.
    tokens: BTreeMap<(&'static str, OperationId), (String, Json)>,
    /// What each operation has created, where no token prevents it from doing so twice.
    created: BTreeMap<(&'static str, OperationId), String>,
    /// Every text by which something was ever named, and what.
    handles: BTreeMap<String, String>,
    /// Fields that cannot be read back.
    pub(super) unreadable: BTreeSet<(String, String)>,
    pub(super) deeds: Vec<Deed>,
    pub(super) violations: Vec<String>,
    /// Whose request is being executed.
    at_work: u64,
    made: u64,
    pub(super) replays: u64,
    /// Whether things show late and linger.
    pub(super) eventual: bool,
    /// Durations off by so many percent.
    pub(super) spread: u64,
}

fn error(class: ErrorClass, message: String) -> KindError {
    KindError { class, message, help: None, source: None }
}

fn refused(message: String) -> KindError {
    error(ErrorClass::Terminal, message)
}

impl World {
    pub(super) fn new(eventual: bool, spread: u64) -> Self {
        Self { eventual, spread, ..Self::default() }
    }

    /// Lets everything happen that was to happen until `now`.
    pub(super) fn settle(&mut self, now: Duration) {
        for id in self.objects.due(now) {
            self.remove(&id);
        }
        self.lingering.retain(|_, object| object.is_seen(now));
    }

    /// Takes a thing out of the world, and what lies within it.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(object) = self.objects.remove(id) else { return };
        for id in self.objects.within(&object) {
            self.remove(&id);
        }
        if object.seen_until.is_some() {
            self.lingering.insert(id.to_owned(), object);
        }
    }

    fn new_id(&mut self, kind: &dyn AnyKind, spec: &Json, random: &mut Random) -> String {
        self.made += 1;
        match kind.recovery() {
            Recovery::Identity => {
                kind.identity(spec).unwrap_or_else(|| format!("{}-{}", short(kind.name()), self.made))
            }
            Recovery::Token if kind.identity(spec).is_some() => kind.identity(spec).unwrap_or_default(),
            // The count makes it unique, the rest looks like an identifier; both come in the same order each time.
            Recovery::Tags | Recovery::Token => {
                format!("{}-{:08x}{:04x}", short(kind.name()), random.draw() >> 32, self.made)
            }
        }
    }

    /// Puts something there, whoever asks.
    pub(super) fn insert(
        &mut self,
        kind: &Arc<dyn AnyKind>,
        spec: Json,
        tags: Option<Tags>,
        random: &mut Random,
    ) -> String {
        let id = self.new_id(kind.as_ref(), &spec, random);
        let tags = tags.filter(|_| kind.recovery() != Recovery::Identity);
        let object = Object::new(Arc::clone(kind), id.clone(), spec, tags);
        for handle in object.handles() {
            self.handles.insert(handle.to_owned(), id.clone());
        }
        self.lingering.remove(&id);
        self.objects.insert(object);
        id
    }

    /// Everything that exists, by identifier.
    pub(super) fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects.all()
    }

    /// Somebody else gives it another specification.
    pub(super) fn edit(&mut self, id: &str, change: impl FnOnce(&mut Json)) {
        self.objects.change(id, change);
    }

    /// Somebody else breaks it.
    pub(super) fn wreck(&mut self, id: &str, why: &str) {
        if let Some(object) = self.objects.get_mut(id) {
            object.broken = Some(why.to_owned());
        }
    }

    /// Its deletion by somebody else: nobody sees it go. `lingers` is drawn for what is there.
    pub(super) fn vanish(&mut self, id: &str, now: Duration, lingers: impl FnOnce(&Object) -> Duration) {
        if let Some(object) = self.objects.get(id) {
            let lingers = lingers(object);
            self.objects.goes(id, now, lingers);
        }
        self.settle(now);
    }

    /// Does what was asked for.
    pub(super) fn execute(
        &mut self,
        request: &Request,
        now: Duration,
        random: &mut Random,
    ) -> Result<Option<Observed>, KindError> {
        self.settle(now);
        self.at_work = request.client;
        let kind = request.kind.as_ref();
        match &request.what {
            What::Create { spec, tags } => {
                let spec = kind.normalize(spec).map_err(refused)?;
                self.create(request, &spec, tags, now, random).map(Some)
            }
            What::Update { id, spec, tags } => {
                let spec = kind.normalize(spec).map_err(refused)?;
                self.update(request, id, spec, tags, now, random).map(Some)
            }
            What::Delete { id } => self.delete(kind, id, now, random).map(|()| None),
        }
    }

    fn create(
        &mut self,
        request: &Request,
        spec: &Json,
        tags: &Tags,
        now: Duration,
        random: &mut Random,
    ) -> Result<Observed, KindError> {
        let kind = &request.kind;
        if let Some(observed) = self.repeated(kind.as_ref(), spec, tags, now)? {
            return Ok(observed);
        }
        self.check_names(spec, now)?;
        let key = (kind.name(), tags.operation.clone());
        let unreadable = self.unreadable_of(kind.name());
        let named = kind.identity(spec).filter(|_| kind.recovery() == Recovery::Token);
        if let Some(id) = named.as_ref().filter(|id| self.objects.get(id).is_some()) {
            return Err(refused(format!("there is a {id} already")));
        }
        let made = if request.in_part { first_part(kind.as_ref(), spec, &unreadable) } else { spec.clone() };
        let id = self.insert(kind, made, Some(tags.clone()), random);
        if let Some(first) = self.created.insert(key.clone(), id.clone())
            && kind.recovery() != Recovery::Identity
        {
            self.violations.push(format!("operation {} of {} created {first} and {id}", key.1, tags.address));
        }
        if kind.recovery() == Recovery::Token {
            self.tokens.insert(key, (id.clone(), spec.clone()));
        }
        self.did(Call::Create, kind.as_ref(), &id, Some(tags.address.clone()), now, false);
        let hidden = if self.eventual {
            random.up_to((request.sent + kind.visibility()).saturating_sub(now))
        } else {
            Duration::ZERO
        };
        let ready_at = now + remaining(kind.typical().create, self.spread, random);
        let object = self.objects.get_mut(&id).ok_or_else(|| refused("it vanished".to_owned()))?;
        object.listed_from = now + hidden;
        // Who knows its name need not wait for lists.
        object.seen_from = if named.is_some() { now } else { now + hidden };
        object.ready_at = ready_at;
        object.broken = request.stillborn.then(|| "it could not be started".to_owned());
        Ok(observe(object, &unreadable, now))
    }

    /// What an earlier attempt at the same creation has made, where the provider knows that it is the same.
    fn repeated(
        &mut self,
        kind: &dyn AnyKind,
        spec: &Json,
        tags: &Tags,
        now: Duration,
    ) -> Result<Option<Observed>, KindError> {
        let unreadable = self.unreadable_of(kind.name());
        match kind.recovery() {
            Recovery::Tags => Ok(None),
            Recovery::Token => {
                let Some((id, first)) = self.tokens.get(&(kind.name(), tags.operation.clone())) else {
                    return Ok(None);
                };
                if first != spec {
                    return Err(refused(format!("token {} was used with another specification", tags.operation)));
                }
                self.replays += 1;
                match self.objects.get(id) {
                    Some(object) => Ok(Some(observe(object, &unreadable, now))),
                    None => Err(refused(format!("token {} was used for {id}, which is gone", tags.operation))),
                }
            }
            Recovery::Identity => {
                let Some(id) = kind.identity(spec) else { return Ok(None) };
                let Some(object) = self.objects.get(&id).filter(|object| object.gone_at.is_none()) else {
                    // One that is on its way out makes room.
                    self.remove(&id);
                    return Ok(None);
                };
                self.replays += 1;
                if object.spec != *spec {
                    self.objects.change(&id, |own| own.clone_from(spec));
                }
                Ok(self.objects.get(&id).map(|object| observe(object, &unreadable, now)))
            }
        }
    }

    fn update(
        &mut self,
        request: &Request,
        id: &str,
        spec: Json,
        tags: &Tags,
        now: Duration,
        random: &mut Random,
    ) -> Result<Observed, KindError> {
        let kind = request.kind.as_ref();
        self.check_names(&spec, now)?;
        let ready_at = now + remaining(kind.typical().update, self.spread, random);
        let unreadable = self.unreadable_of(kind.name());
        let missing = || refused(format!("there is no {id} to update"));
        let object = self.objects.get(id).filter(|object| object.gone_at.is_none()).ok_or_else(missing)?;
        if object.seen_from > now {
            return Err(error(ErrorClass::NotYetVisible, format!("there is no {id} yet")));
        }
        if object.ready_at > now && object.broken.is_none() {
            return Err(error(ErrorClass::Busy, format!("{id} is busy with an earlier change")));
        }
        if let Some(field) = forbidden(kind, &object.spec, &spec) {
            self.violations.push(format!("{id} was updated in `{field}`, which no update can change"));
            return Err(refused(format!("`{field}` of {id} cannot be updated")));
        }
        let spec = if request.in_part { taken_back(&object.spec, spec, &unreadable) } else { spec };
        // One that only changes its tags leaves it as it is, and so what it says of itself.
        if object.spec != spec {
            self.objects.change(id, |own| *own = spec);
        }
        let object = self.objects.get_mut(id).ok_or_else(missing)?;
        object.ready_at = ready_at;
        if object.tags.is_some() {
            object.tags = Some(tags.clone());
        }
        let observed = observe(object, &unreadable, now);
        self.did(Call::Update, kind, id, Some(tags.address.clone()), now, false);
        Ok(observed)
    }

    fn delete(&mut self, kind: &dyn AnyKind, id: &str, now: Duration, random: &mut Random) -> Result<(), KindError> {
        let living = |object: &&Object| object.gone_at.is_none() && object.seen_from <= now;
        // What is not seen yet cannot be deleted either, and says nothing else than what is gone already.
        let Some(object) = self.objects.get(id).filter(living) else { return Ok(()) };
        let holds = |other: &&Object| other.id != id && other.stands_on(object) && !other.lies_within(object);
        if let Some(other) = self.objects.naming(object).find(holds) {
            return Err(refused(format!("{} still stands on {id}", other.id)));
        }
        let address = object.tags.as_ref().map(|tags| tags.address.clone());
        let gone_at = now + remaining(kind.typical().delete, self.spread, random);
        let lingers = if self.eventual { random.up_to(kind.visibility()) } else { Duration::ZERO };
        self.did(Call::Delete, kind, id, address, now, kind.holds_data());
        self.objects.goes(id, gone_at, lingers);
        self.settle(now);
        Ok(())
    }

    /// Whatever the specification names must be there, and be seen.
    fn check_names(&self, spec: &Json, now: Duration) -> Result<(), KindError> {
        let mut texts = BTreeSet::new();
        collect_texts(spec, &mut texts);
        for text in texts {
            let Some(id) = self.handles.get(text) else { continue };
            match self.objects.get(id) {
                Some(object) if object.gone_at.is_some() => return Err(refused(format!("{text} is being deleted"))),
                Some(object) if object.seen_from > now => {
                    return Err(error(ErrorClass::NotYetVisible, format!("there is no {text} yet")));
                }
                Some(_) => {}
                None => return Err(refused(format!("there is no {text}"))),
            }
        }
        Ok(())
    }

    fn did(
        &mut self,
        call: Call,
        kind: &dyn AnyKind,
        id: &str,
        address: Option<Address>,
        at: Duration,
        destroyed_data: bool,
    ) {
        self.deeds.push(Deed {
            client: self.at_work,
            at,
            call,
            kind: kind.name(),
            id: id.to_owned(),
            address,
            destroyed_data,
        });
    }

    fn unreadable_of(&self, kind: &str) -> BTreeSet<String> {
        self.unreadable.iter().filter(|(of, _)| of == kind).map(|(_, field)| field.clone()).collect()
    }

    pub(super) fn read(&mut self, kind: &dyn AnyKind, id: &str, now: Duration) -> Option<Observed> {
        self.settle(now);
        let object = self.objects.get(id).or_else(|| self.lingering.get(id))?;
        (object.kind.name() == kind.name() && object.is_seen(now))
            .then(|| observe(object, &self.unreadable_of(kind.name()), now))
    }

    /// Everything of a kind that is tagged as `wanted` says.
    pub(super) fn list(&mut self, kind: &dyn AnyKind, wanted: impl Fn(&Tags) -> bool, now: Duration) -> Vec<Observed> {
        self.settle(now);
        let unreadable = self.unreadable_of(kind.name());
        let lingering = self.lingering.values().filter(|object| object.kind.name() == kind.name());
        let listed = self.objects.of_kind(kind.name()).chain(lingering);
        let listed = listed.filter(|object| {
            object.listed_from <= now && object.is_seen(now) && object.tags.as_ref().is_some_and(&wanted)
        });
        listed.map(|object| observe(object, &unreadable, now)).collect()
    }
}

/// What a creation makes that stops after its first call: nothing of what can be set later and be read back.
fn first_part(kind: &dyn AnyKind, spec: &Json, unreadable: &BTreeSet<String>) -> Json {
    let mut part = spec.clone();
    let fields = spec.as_object().into_iter().flat_map(Map::keys).filter(|field| !unreadable.contains(*field));
    for field in fields {
        let mut less = part.clone();
        less.as_object_mut().map(|fields| fields.remove(field));
        if let Ok(less) = kind.normalize(&less)
            && kind.effect(field, &less, spec) == Ok(Effect::InPlace)
        {
            part = less;
        }
    }
    part
}

/// What is left of an update that was taken back: what cannot be read back, or else nobody could ever know.
fn taken_back(before: &Json, after: Json, unreadable: &BTreeSet<String>) -> Json {
    let Json::Object(mut fields) = after else { return before.clone() };
    fields.retain(|field, _| unreadable.contains(field));
    let readable = before.as_object().into_iter().flatten().filter(|(field, _)| !unreadable.contains(*field));
    fields.extend(readable.map(|(field, value)| (field.clone(), value.clone())));
    Json::Object(fields)
}

/// The first field in which two specifications differ although no update can change it.
fn forbidden(kind: &dyn AnyKind, before: &Json, after: &Json) -> Option<String> {
    let (before_fields, after_fields) = (before.as_object()?, after.as_object()?);
    let differing = after_fields.iter().filter(|(field, value)| before_fields.get(*field) != Some(value));
    differing
        .map(|(field, _)| field)
        .find(|field| !matches!(kind.effect(field, before, after), Ok(Effect::InPlace) | Err(_)))
        .cloned()
}

/// For how long something goes on after its call has returned.
fn remaining(typical: Duration, spread: u64, random: &mut Random) -> Duration {
    if typical <= DONE_ON_RETURN { Duration::ZERO } else { random.around(typical, spread) }
}

fn observe(object: &Object, unreadable: &BTreeSet<String>, now: Duration) -> Observed {
    let empty = Map::new();
    let fields = object.spec.as_object().unwrap_or(&empty);
    let readable = fields.iter().filter(|(field, _)| !unreadable.contains(*field));
    Observed {
        id: object.id.clone(),
        outputs: object.outputs.clone(),
        spec: readable.map(|(field, value)| (field.clone(), value.clone())).collect(),
        readiness: object.readiness(now),
        tags: object.tags.clone(),
    }
}
