//! The things of a simulated cloud, found by whatever somebody asks for them by: nothing here looks at all of them.

use super::outputs::synthesize;
use super::world::Object;
use crate::kind::Recovery;
use crate::value::collect_texts;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that exists, by identifier. What it is found by does not change but here.
#[derive(Default)]
pub(super) struct Objects {
    by_id: BTreeMap<String, Object>,
    by_kind: BTreeMap<&'static str, BTreeSet<String>>,
    /// What has a text in its specification.
    by_text: BTreeMap<String, BTreeSet<String>>,
    /// What is identified by its specification: it may lie within something.
    identified: BTreeSet<String>,
    /// What is going, and when it is gone; one that was told twice to go is in it twice.
    going: BTreeSet<(Duration, String)>,
}

impl Objects {
    pub(super) fn get(&self, id: &str) -> Option<&Object> {
        self.by_id.get(id)
    }

    /// For changing what it is not found by.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Object> {
        self.by_id.get_mut(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Object> {
        self.by_id.values()
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Object> {
        self.by_kind.get(kind).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// What names another in its specification, by identifier.
    pub(super) fn naming(&self, other: &Object) -> impl Iterator<Item = &Object> {
        let ids: BTreeSet<&String> = other.handles().filter_map(|handle| self.by_text.get(handle)).flatten().collect();
        ids.into_iter().filter_map(|id| self.by_id.get(id))
    }

    /// The identifiers of what lies within another.
    pub(super) fn within(&self, other: &Object) -> Vec<String> {
        let identified = self.identified.iter().filter_map(|id| self.by_id.get(id));
        identified.filter(|object| object.lies_within(other)).map(|object| object.id.clone()).collect()
    }

    /// The identifiers of what is gone by `now`, in their order.
    pub(super) fn due(&mut self, now: Duration) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        while self.going.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.going.pop_first().map(|(_, id)| id));
        }
        // Another thing with the same identifier may have come since, or it was to go at another time.
        due.retain(|id| self.by_id.get(id).and_then(|object| object.gone_at).is_some_and(|at| at <= now));
        due
    }

    /// Puts something there, unless something with its identifier is.
    pub(super) fn insert(&mut self, object: Object) {
        if self.by_id.contains_key(&object.id) {
            return;
        }
        self.name(&object);
        self.by_kind.entry(object.kind.name()).or_default().insert(object.id.clone());
        if object.kind.recovery() == Recovery::Identity {
            self.identified.insert(object.id.clone());
        }
        self.by_id.insert(object.id.clone(), object);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Object> {
        let object = self.by_id.remove(id)?;
        self.unname(&object);
        self.identified.remove(id);
        if let Some(ids) = self.by_kind.get_mut(object.kind.name()) {
            ids.remove(id);
        }
        Some(object)
    }

    /// Gives it another specification.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Json)) {
        let Some(mut object) = self.by_id.remove(id) else { return };
        self.unname(&object);
        change(&mut object.spec);
        object.revision += 1;
        let outputs = synthesize(object.kind.as_ref(), &object.id, &object.spec, object.revision);
        let volatile = object.kind.volatile_outputs();
        object.outputs.extend(outputs.into_iter().filter(|(name, _)| volatile.contains(&name.as_str())));
        self.name(&object);
        self.by_id.insert(object.id.clone(), object);
    }

    /// From now on it is on its way out, and may show for a while after it is gone.
    pub(super) fn goes(&mut self, id: &str, gone_at: Duration, lingers: Duration) {
        let Some(object) = self.by_id.get_mut(id) else { return };
        object.gone_at = Some(gone_at);
        object.seen_until = (!lingers.is_zero()).then_some(gone_at + lingers);
        self.going.insert((gone_at, id.to_owned()));
    }

    fn name(&mut self, object: &Object) {
        let mut texts = BTreeSet::new();
        collect_texts(&object.spec, &mut texts);
        for text in texts {
            match self.by_text.get_mut(text) {
                Some(ids) => ids.insert(object.id.clone()),
                None => self.by_text.insert(text.to_owned(), BTreeSet::from([object.id.clone()])).is_some(),
            };
        }
    }

    fn unname(&mut self, object: &Object) {
        let mut texts = BTreeSet::new();
        collect_texts(&object.spec, &mut texts);
        for text in texts {
            if let Some(ids) = self.by_text.get_mut(text) {
                ids.remove(&object.id);
                if ids.is_empty() {
                    self.by_text.remove(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::AnyKind;
    use crate::simulate::{Random, flavors};
    use serde_json::json;
    use std::sync::Arc;

    fn ids<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<&'a str> {
        objects.map(|object| object.id.as_str()).collect()
    }

    /// What is found is what looking at everything would find.
    fn check(objects: &Objects) {
        for kind in objects.all().map(|object| object.kind.name()) {
            let all = objects.all().filter(|object| object.kind.name() == kind);
            assert_eq!(ids(objects.of_kind(kind)), ids(all));
        }
        for one in objects.all() {
            let standing = |objects: &mut dyn Iterator<Item = &Object>| -> Vec<String> {
                objects.filter(|other| other.stands_on(one)).map(|other| other.id.clone()).collect()
            };
            assert_eq!(standing(&mut objects.naming(one)), standing(&mut objects.all()));
            let within = objects.all().filter(|other| other.lies_within(one));
            assert_eq!(objects.within(one), ids(within));
        }
    }

    #[test]
    fn whatever_becomes_of_things_they_are_found() {
        let kinds: Vec<Arc<dyn AnyKind>> = flavors::kinds().iter().cloned().collect();
        let mut chance = Random::new(1);
        let mut objects = Objects::default();
        let mut living: Vec<String> = Vec::new();
        for round in 0..600_u64 {
            let parents: Vec<&String> =
                (0..chance.index(3)).filter_map(|_| living.get(chance.index(living.len()))).collect();
            let spec = json!({"parents": parents, "zone": format!("z{}", chance.below(3)), "sealed": false});
            let at = chance.index(living.len());
            match chance.below(8) {
                0..=3 => {
                    let kind = &kinds[chance.index(kinds.len())];
                    let id = match kind.recovery() {
                        Recovery::Identity => format!("{}/{round}", parents.first().map_or("", |parent| parent)),
                        Recovery::Tags | Recovery::Token => format!("o-{round}"),
                    };
                    objects.insert(Object::new(Arc::clone(kind), id.clone(), spec, None));
                    living.push(id);
                }
                4 | 5 if !living.is_empty() => objects.change(&living[at], |own| *own = spec),
                6 if !living.is_empty() => {
                    let removed = objects.remove(&living.swap_remove(at));
                    assert!(removed.is_some());
                }
                7 if !living.is_empty() => objects.goes(&living[at], Duration::from_secs(round), Duration::ZERO),
                _ => {}
            }
            check(&objects);
            if round % 10 == 0 {
                let now = Duration::from_secs(round);
                let due = objects.due(now);
                let all = objects.all().filter(|object| object.gone_at.is_some_and(|at| at <= now));
                assert_eq!(due.iter().map(String::as_str).collect::<Vec<_>>(), ids(all));
                for id in due {
                    objects.remove(&id);
                    living.retain(|other| *other != id);
                }
            }
        }
        for id in living {
            objects.remove(&id);
        }
        assert!(objects.by_text.is_empty() && objects.identified.is_empty() && objects.by_id.is_empty());
    }
}
