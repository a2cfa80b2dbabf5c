//! The resources of a body: first their names and outputs, which others may refer to, later their specifications.

use super::{Form, Frame, World, address, together};
use crate::check::spec::{self, Shape};
use crate::expr::INSTANCE;
use crate::module::Declared;
use crate::scope::{Key, Scope};
use crate::shape::{Findings, Place};
use crate::suggest;
use forge_engine::address::Address;
use forge_engine::diag::Diagnostic;
use forge_engine::resource::Resource;
use forge_engine::value::{Output, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A resource that is wanted, and what tells it from others of its name.
pub(super) struct Wanted<'b, 'a> {
    pub(super) declared: &'b Declared<'a>,
    pub(super) address: Address,
    each: Option<(Key, Value)>,
}

impl<'a> World<'a> {
    /// Puts a resource's outputs into the scope; the instances that are wanted.
    pub(super) fn declare<'b>(
        &self,
        name: &str,
        declared: &'b Declared<'a>,
        frame: &Frame,
        scope: &mut Scope,
        out: &mut Findings,
    ) -> Vec<Wanted<'b, 'a>> {
        let mut form = Form::One;
        let each: Vec<Option<(Key, Value)>> = match &declared.for_each {
            None => vec![None],
            Some(place) => match self.evaluator.instances(place, scope, self.sources, out) {
                Some(items) => {
                    form = Form::over(&items);
                    items.each().into_iter().map(Some).collect()
                }
                None => return Vec::new(),
            },
        };
        let mut wanted = Vec::new();
        for each in each {
            if !self.evaluator.affords(INSTANCE, &|| declared.place.key_at(), out) {
                return Vec::new();
            }
            if let Some(when) = &declared.when {
                let own = each.as_ref().map(|(key, value)| scope.with_each(key, value.clone()));
                match self.holds(when, own.as_ref().unwrap_or(scope), out) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => return Vec::new(),
                }
            }
            wanted.push(Wanted {
                declared,
                address: Address::new(address(frame, name, each.as_ref().map(|(key, _)| key))),
                each,
            });
        }
        let Some((_, kinds)) = &self.target else { return Vec::new() };
        let Some(kind) = kinds.get(declared.kind_name) else {
            let summary = format!("there is no kind `{}`", declared.kind_name);
            let mut finding = Diagnostic::error("unknown-kind", summary).at(declared.kind.value_at(), "");
            let known: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            finding.help = suggest::help(declared.kind_name, known.iter().copied());
            out.push(finding);
            return wanted;
        };
        let outputs = |address: &Address| {
            let output = |name: &&str| {
                let value = Value::Output(Output { address: address.clone(), name: (*name).to_owned() });
                ((*name).to_owned(), value)
            };
            Value::Map(kind.outputs().iter().map(output).collect())
        };
        let instances: Vec<_> = wanted
            .iter()
            .map(|wanted| (wanted.each.as_ref().map(|(key, _)| key.clone()), outputs(&wanted.address)))
            .collect();
        scope.mend(name, together(instances, form), "output");
        wanted
    }

    pub(super) fn depends_on(
        &self,
        names: &[(&str, Place<'_>)],
        addresses: &BTreeMap<&str, Vec<Address>>,
        out: &mut Findings,
    ) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        for (name, place) in names {
            match addresses.get(name) {
                Some(addresses) => found.extend(addresses.iter().cloned()),
                None => {
                    let summary = format!("there is no `{name}` to depend on");
                    let mut finding = Diagnostic::error("unknown-reference", summary).at(place.value_at(), "");
                    finding.help = self.evaluator.advise(|| suggest::help(name, addresses.keys().copied()));
                    out.push(finding);
                }
            }
        }
        found
    }

    pub(super) fn resource(
        &self,
        wanted: &Wanted<'_, '_>,
        frame: &Frame,
        scope: &Scope,
        addresses: &BTreeMap<&str, Vec<Address>>,
        out: &mut Findings,
    ) -> Option<Resource> {
        let declared = wanted.declared;
        let mut with = BTreeMap::new();
        let mut complete = true;
        let own = wanted.each.as_ref().map(|(key, value)| scope.with_each(key, value.clone()));
        let scope = own.as_ref().unwrap_or(scope);
        for (key, field) in declared.with.iter().flat_map(Place::entries) {
            match self.evaluate(&field, scope, out) {
                Some(value) => {
                    with.insert(key.to_owned(), value);
                }
                None => complete = false,
            }
        }
        let depends_on = self.depends_on(&declared.depends_on, addresses, out);
        let (_, kinds) = self.target.as_ref()?;
        let kind = kinds.get(declared.kind_name).filter(|_| complete)?;
        let shape = self.shape(declared.kind_name, &**kind);
        if shape.has("tags") && !self.tags.is_empty() {
            let own = with.entry("tags".to_owned()).or_insert_with(|| Value::Map(BTreeMap::new()));
            if let Value::Map(own) = own {
                for (name, text) in &self.tags {
                    own.entry(name.clone()).or_insert_with(|| Value::String(text.clone()));
                }
            }
        }
        let spec = match spec::normal(&**kind, &shape, Value::Map(with)) {
            Ok(spec) => spec,
            Err(misfits) => {
                for misfit in misfits {
                    let with = declared.with.as_ref().unwrap_or(&declared.place);
                    let place = with.inside(&misfit.steps);
                    let at = if misfit.key || misfit.steps.is_empty() { place.key_at() } else { place.value_at() };
                    let mut finding = Diagnostic::error("bad-spec", misfit.summary).at(at, "");
                    finding.help = misfit.help;
                    out.push(finding);
                }
                return None;
            }
        };
        Some(Resource {
            address: wanted.address.clone(),
            kind: declared.kind_name.to_owned(),
            spec,
            depends_on,
            protect: declared.protect || frame.protect,
            origin: frame.origin.clone(),
        })
    }

    fn shape(&self, name: &str, kind: &dyn forge_engine::kind::AnyKind) -> Rc<Shape> {
        let mut shapes = self.shapes.borrow_mut();
        Rc::clone(shapes.entry(name.to_owned()).or_insert_with(|| Rc::new(Shape::of(kind))))
    }
}
