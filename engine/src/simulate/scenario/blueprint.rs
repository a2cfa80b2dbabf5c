//! Blueprints by chance, and changes to them.

use crate::address::Address;
use crate::resource::{Moved, Resource};
use crate::simulate::Random;
use crate::value::{Output, Value};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds by how often they are wanted. Containers come first and often, for everything stands on something.
const KINDS: &[&str] =
    &["net", "net", "node", "slot", "disk", "host", "vault", "farm", "farm", "slot", "route", "node"];

const LARGEST: usize = 9;

/// One resource as somebody would write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) kind: &'static str,
    parents: Vec<String>,
    depends_on: Option<String>,
    /// Whose version its note tells.
    tells: Option<String>,
    size: u64,
    zone: String,
    pub(super) sealed: bool,
    pub(super) protect: bool,
}

/// A blueprint. Whatever an item names stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) items: Vec<Item>,
    /// What goes by another name than before, where the blueprint says so.
    pub(super) moved: Vec<(String, String)>,
    named: u64,
}

impl Draft {
    pub(super) fn new(chance: &mut Random) -> Self {
        let mut draft = Self::default();
        for _ in 0..=chance.index(7) {
            draft.add(chance);
        }
        draft
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("{}.r{}", ["base", "top"][usize::from(self.named.is_multiple_of(3))], self.named)
    }

    fn earlier(&self, before: usize, chance: &mut Random) -> Option<String> {
        let candidates: Vec<&Item> = self.items[..before].iter().filter(|item| item.kind != "route").collect();
        candidates.get(chance.index(candidates.len())).map(|item| item.name.clone())
    }

    fn parents(&self, before: usize, chance: &mut Random) -> Vec<String> {
        let wanted = chance.index(3);
        let parents: BTreeSet<String> = (0..wanted).filter_map(|_| self.earlier(before, chance)).collect();
        parents.into_iter().collect()
    }

    fn add(&mut self, chance: &mut Random) {
        if self.items.len() >= LARGEST {
            return;
        }
        let name = self.name();
        let at = chance.index(self.items.len() + 1).max(self.items.len().saturating_sub(3));
        let mut kind = KINDS[chance.index(KINDS.len())];
        let mut parents = self.parents(at, chance);
        if kind == "route" && parents.is_empty() {
            match self.earlier(at, chance) {
                Some(parent) => parents.push(parent),
                None => kind = "net",
            }
        }
        let depends_on = chance.chance(150).then(|| self.earlier(at, chance)).flatten();
        let tells = chance.chance(250).then(|| self.earlier(at, chance)).flatten();
        // Where a route leads from is its own, or else two of them would be one; so is the name of a vault.
        let zone = if matches!(kind, "route" | "vault") { name.clone() } else { "a".to_owned() };
        let protect = chance.chance(100);
        let (size, sealed) = (chance.below(4), chance.chance(100));
        self.items.insert(at, Item { name, kind, parents, depends_on, tells, size, zone, sealed, protect });
    }

    fn remove(&mut self, at: usize) {
        let gone = self.items.remove(at).name;
        for item in &mut self.items {
            item.parents.retain(|parent| *parent != gone);
            item.depends_on = item.depends_on.take().filter(|name| *name != gone);
            item.tells = item.tells.take().filter(|name| *name != gone);
        }
        while let Some(at) = self.items.iter().position(|item| item.kind == "route" && item.parents.is_empty()) {
            self.remove(at);
        }
    }

    fn rename(&mut self, at: usize) {
        let name = self.name();
        let old = std::mem::replace(&mut self.items[at].name, name.clone());
        if matches!(self.items[at].kind, "route" | "vault") {
            self.items[at].zone.clone_from(&name);
        }
        let follow = |told: &mut String| {
            if *told == old {
                told.clone_from(&name);
            }
        };
        for item in &mut self.items {
            item.parents.iter_mut().for_each(follow);
            item.depends_on.iter_mut().for_each(follow);
            item.tells.iter_mut().for_each(follow);
        }
    }

    /// Changes something; says what.
    pub(super) fn change(&mut self, chance: &mut Random) -> String {
        if self.items.is_empty() || chance.chance(150) {
            self.add(chance);
            return "something is added".to_owned();
        }
        let at = chance.index(self.items.len());
        let name = self.items[at].name.clone();
        match chance.below(12) {
            0 | 1 => {
                self.remove(at);
                format!("{name} is removed")
            }
            2 | 3 => {
                self.items[at].size += 1;
                format!("{name} grows")
            }
            4 => {
                let zone = &mut self.items[at].zone;
                *zone = if zone.ends_with('b') { zone.trim_end_matches('b').to_owned() } else { format!("{zone}b") };
                format!("{name} changes its zone")
            }
            5 if chance.chance(300) => {
                self.items[at].sealed ^= true;
                format!("{name} is sealed or unsealed")
            }
            6 => {
                self.rename(at);
                if chance.chance(600) {
                    self.moved.push((name.clone(), self.items[at].name.clone()));
                }
                format!("{name} is renamed")
            }
            7 | 8 => {
                let parents = self.parents(at, chance);
                if self.items[at].kind != "route" || !parents.is_empty() {
                    self.items[at].parents = parents;
                }
                format!("{name} stands elsewhere")
            }
            9 => {
                self.items[at].tells = self.earlier(at, chance);
                format!("{name} tells something else")
            }
            10 => {
                self.items[at].protect ^= true;
                format!("{name} is protected or no longer")
            }
            _ => {
                self.items[at].depends_on = self.earlier(at, chance);
                format!("{name} depends on something else")
            }
        }
    }

    pub(super) fn moves(&self) -> Vec<Moved> {
        let moved = self.moved.iter();
        moved.map(|(from, to)| Moved { from: Address::new(from), to: Address::new(to) }).collect()
    }

    pub(super) fn resources(&self) -> Vec<Resource> {
        self.items.iter().map(Item::resource).collect()
    }
}

fn output(name: &str, output: &str) -> Value {
    Value::Output(Output { address: Address::new(name), name: output.to_owned() })
}

impl Item {
    fn resource(&self) -> Resource {
        let parents = self.parents.iter().map(|parent| output(parent, "id")).collect();
        let mut spec = BTreeMap::from([
            ("parents".to_owned(), Value::List(parents)),
            ("size".to_owned(), Value::from(json!(self.size))),
            ("zone".to_owned(), Value::from(json!(self.zone))),
            ("sealed".to_owned(), Value::from(json!(self.sealed))),
        ]);
        if let Some(told) = &self.tells {
            let note = Value::Concat(vec![Value::from(json!("version ")), output(told, "version")]);
            spec.insert("note".to_owned(), note);
        }
        Resource {
            address: Address::new(&self.name),
            kind: format!("sim.{}", self.kind),
            spec: Value::Map(spec),
            depends_on: self.depends_on.iter().map(Address::new).collect(),
            protect: self.protect,
            origin: None,
        }
    }
}
