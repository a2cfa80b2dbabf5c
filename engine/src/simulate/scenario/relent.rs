//! What somebody does whose plan was refused: checks that the reason holds, and does what the help says.

use super::desk::{Kill, Wish};
use super::{Scenario, Violation};
use crate::address::Address;
use crate::diag::Diagnostic;
use crate::kind::Tags;
use crate::resource::{Resource, destination};
use crate::state::{Call, State};
use crate::value::{Output, Value};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

impl Scenario {
    /// A plan was refused: the reason must hold, and doing what its help says must help.
    pub(super) async fn relent(&mut self, findings: &[Diagnostic]) -> Result<Vec<Resource>, Violation> {
        let reasons: BTreeSet<&str> = findings.iter().map(|finding| finding.id).collect();
        if let Some(other) = reasons.iter().find(|code| !["protected", "forbidden-change", "no-order"].contains(code)) {
            return Err(Violation::new(format!("refused without a reason ({other}): {findings:?}")));
        }
        let state = self.state.clone();
        let protected = state.records.values().any(|record| record.protect)
            || state.superseded.iter().any(|old| old.record.protect)
            || state.pending.values().any(|pending| pending.begin.protect)
            || self.draft.items.iter().any(|item| item.protect);
        if reasons.contains("protected") && !protected {
            return Err(Violation::new(format!("nothing is protected: {findings:?}")));
        }
        self.tally.count("refused at the end");
        self.lift(&state).await?;
        let state = self.state.clone();
        let (objects, moves) = (self.desk.cloud.objects(), self.draft.moves());
        for item in &mut self.draft.items {
            item.protect = false;
            let address = Address::new(&item.name);
            let living_at = |at: &Address| {
                let recorded = state.records.get(at).map(|record| record.id.as_str());
                let tagged = |tags: &Tags| tags.address == *at && tags.deployment == self.desk.deployment;
                objects
                    .iter()
                    .find(|object| Some(object.id.as_str()) == recorded || object.tags.as_ref().is_some_and(tagged))
            };
            // What has moved stands where it did until the blueprint that says so is applied.
            let before = moves.iter().map(|moved| &moved.from);
            let mut before = before.filter(|from| destination(&moves, from).as_ref() == Some(&address));
            let living = living_at(&address).or_else(|| before.find_map(living_at));
            if let Some(sealed) = living.and_then(|object| object.spec["sealed"].as_bool()) {
                item.sealed = sealed;
            }
        }
        if reasons.contains("no-order") {
            return Ok(Vec::new());
        }
        Ok(self.draft.resources())
    }

    /// Takes the protection off everything, by a blueprint that asks for what is recorded.
    pub(super) async fn lift(&mut self, state: &State) -> Result<(), Violation> {
        let (objects, recorded) = (self.desk.cloud.objects(), state.records.iter());
        let recorded = recorded.map(|(address, record)| {
            let there = |spec: &Json| stands_on(spec).all(|parent| objects.iter().any(|object| object.id == parent));
            let update = state.pending.values().map(|pending| &pending.begin);
            let mut update = update.filter(|begin| begin.call == Call::Update && begin.address == *address);
            let asked =
                update.find_map(|begin| Some((begin.spec.as_ref().filter(|spec| there(spec))?, &begin.dependencies)));
            // Nobody asks for what stands on something that is gone; an update that was cut off has asked for something else.
            let asked = asked.filter(|_| !there(&record.spec));
            let (spec, dependencies) = asked.unwrap_or((&*record.spec, &record.dependencies));
            (address, &record.kind, spec, dependencies)
        });
        let begun = state.pending.values().filter(|pending| !state.records.contains_key(&pending.begin.address));
        let begun = begun.filter_map(|pending| {
            let begin = &pending.begin;
            Some((&begin.address, &begin.kind, begin.spec.as_ref()?, &begin.dependencies))
        });
        let wanted: BTreeMap<&Address, _> = begun.chain(recorded).map(|wanted| (wanted.0, wanted)).collect();
        let resource =
            |(address, kind, spec, dependencies): &(&Address, &String, &Json, &BTreeSet<Address>)| Resource {
                address: (*address).clone(),
                kind: (*kind).clone(),
                spec: referring(spec, dependencies, state),
                depends_on: dependencies.iter().filter(|dependency| wanted.contains_key(dependency)).cloned().collect(),
                protect: false,
                origin: None,
            };
        let resources = wanted.values().map(resource).collect();
        let wish = Wish::up(resources, Vec::new(), true);
        self.run(&wish, Kill::Never).await?;
        Ok(())
    }
}

/// The identifiers of what something stands on.
fn stands_on(spec: &Json) -> impl Iterator<Item = &str> {
    spec["parents"].as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// A recorded specification as somebody would write it: what it names is referred to.
fn referring(spec: &Json, dependencies: &BTreeSet<Address>, state: &State) -> Value {
    let known = |id: &Value| {
        let named = |address: &&Address| {
            state.records.get(address).is_some_and(|record| *id == Value::String(record.id.clone()))
        };
        let address = dependencies.iter().find(named)?.clone();
        Some(Value::Output(Output { address, name: "id".to_owned() }))
    };
    let mut spec = Value::from(spec.clone());
    if let Value::Map(fields) = &mut spec {
        // What is not known is not asked for.
        fields.retain(|_, value| *value != Value::Null);
    }
    if let Value::Map(fields) = &mut spec
        && let Some(Value::List(parents)) = fields.get_mut("parents")
    {
        for parent in parents {
            *parent = known(parent).unwrap_or_else(|| parent.clone());
        }
    }
    spec
}
