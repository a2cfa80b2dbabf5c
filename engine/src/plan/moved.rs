//! What goes by another address than before.
//!
//! A thing is moved when the blueprint says so, its new address is asked for with the same kind, and nothing else lives
//! there. Everything that stood on it stands on the new address from then on. What cannot move stays where it was, and is
//! deleted there like all that nobody asks for.

use super::survey::{Source, Thing};
use super::up::choose;
use crate::address::Address;
use crate::resource::{Desired, destination};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Attributes what has moved to where it stands now.
pub(super) fn relocate(things: &mut BTreeMap<Address, Vec<Thing<'_>>>, desired: &Desired) {
    if desired.moved.is_empty() {
        return;
    }
    let kinds: BTreeMap<&Address, &str> =
        desired.resources.iter().map(|resource| (&resource.address, resource.kind.as_str())).collect();
    let mut moves = BTreeMap::new();
    for from in things.keys().cloned().collect::<Vec<_>>() {
        let Some(to) = destination(&desired.moved, &from).filter(|to| *to != from) else { continue };
        let Some(kind) = kinds.get(&to).filter(|_| !kinds.contains_key(&from)) else { continue };
        let there = things.get(&to).into_iter().flatten();
        let taken = there.into_iter().any(|thing| !thing.gone && thing.source != Source::Superseded);
        let standing = things.entry(from.clone()).or_default();
        let Some(position) = choose(standing, kind).filter(|_| !taken) else {
            let why = if taken { "something else stands there".to_owned() } else { format!("that is a {kind}") };
            standing.iter_mut().for_each(|thing| thing.stays = Some(format!("it cannot move to `{to}`: {why}")));
            continue;
        };
        let mut thing = standing.remove(position);
        thing.address = to.clone();
        thing.moved_from = Some(from.clone());
        things.entry(to.clone()).or_default().push(thing);
        moves.insert(from, to);
    }
    for thing in things.values_mut().flatten() {
        let now = |address: &Address| moves.get(address).unwrap_or(address).clone();
        thing.dependencies = Cow::Owned(thing.dependencies.iter().map(now).collect());
    }
}
