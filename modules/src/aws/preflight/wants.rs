//! What a plan wants of an account. Pure.

use crate::aws::{
    Market, autoscaling_group, capacity_reservation, eks_nodegroup, fsx_lustre, instance, launch_template, subnet,
};
use forge_engine::address::Address;
use forge_engine::bill::{Links, Side, specification};
use forge_engine::plan::{Action, Plan, Step};
use forge_engine::value::{Output, Value};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// GiB of a file system without EFA that one server holds, and with it by MB/s for each TiB (FSx for Lustre Guide,
/// efa-file-systems).
const GIB_PER_SERVER: u32 = 2400;
const GIB_PER_EFA_SERVER: &[(u32, u32)] = &[(125, 38_400), (250, 19_200), (500, 9_600), (1000, 4_800)];
/// Metadata operations per second that one metadata server does.
const OPERATIONS_PER_SERVER: u32 = 12_000;
/// Addresses that EKS needs in each subnet of a cluster ("Amazon EKS networking requirements").
pub(super) const CLUSTER_ADDRESSES: u32 = 6;

/// Everything that a plan wants.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// Groups of instances that come or grow.
    pub(super) groups: Vec<Group>,
    /// Reservations that come or grow.
    pub(super) reservations: Vec<Reserved>,
    /// What comes of each kind of which an account may have so many.
    pub(super) added: BTreeMap<String, Vec<Added>>,
    /// Addresses that something else than an instance takes in a subnet.
    pub(super) addresses: Vec<Taken>,
    /// Zones in which subnets come or something comes into them, with who stands there.
    pub(super) zones: BTreeMap<String, Address>,
    /// Zones of the subnets of clusters that come.
    pub(super) cluster_zones: BTreeMap<String, Address>,
}

/// Instances that are alike.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) address: Address,
    /// Any of these; the first that has capacity.
    pub(super) types: Vec<String>,
    pub(super) market: Market,
    /// Whether they run in a reservation, which has its own place in the quotas.
    pub(super) reserved: bool,
    /// How many more there will be at most while the plan is carried out.
    pub(super) more: u32,
    /// Of which subnets.
    pub(super) places: Vec<Place>,
    /// Interfaces of each that have addresses.
    pub(super) interfaces: u32,
    /// Whether Kubernetes gives pods addresses there.
    pub(super) kubernetes: bool,
}

/// Instances that are kept free.
#[derive(Debug, Clone)]
pub(super) struct Reserved {
    pub(super) address: Address,
    pub(super) instance_type: String,
    pub(super) zone: String,
    pub(super) more: u32,
}

/// Something that comes.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) address: Address,
    /// Where that counts.
    pub(super) zone: Option<String>,
}

/// Addresses that are taken in a subnet.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) address: Address,
    pub(super) place: Place,
    pub(super) count: u32,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Its address in the plan; its identifier when the plan does not have it.
    pub(super) name: String,
    /// Its identifier, when it exists and stays.
    pub(super) id: Option<String>,
    pub(super) zone: Option<String>,
    /// The addresses of one that comes.
    pub(super) cidr: Option<String>,
}

/// The specification with a text in place of what only apply knows.
fn typed<S: DeserializeOwned>(spec: &Value) -> Option<S> {
    S::deserialize(spec.resolve(&|_: &Output| Some(json!("(known after apply)"))).ok()?).ok()
}

fn field<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    match spec {
        Value::Map(fields) => fields.get(name),
        _ => None,
    }
}

fn list<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    match field(spec, name) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

impl Wants {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut reading = Reading { wants: Self::default(), links: Links::of(plan, Side::After) };
        for step in plan.changed() {
            // Something that an earlier run may have made already is not counted twice: AWS answers for it.
            if let Some(spec) = step.desired.as_ref().filter(|_| step.repeats.is_none()) {
                reading.step(step, spec);
            }
        }
        reading.wants
    }

    /// Every instance type that comes.
    pub(super) fn types(&self) -> BTreeSet<&str> {
        let groups = self.groups.iter().flat_map(|group| group.types.iter().map(String::as_str));
        groups.chain(self.reservations.iter().map(|reserved| reserved.instance_type.as_str())).collect()
    }

    /// True when subnets that exist matter.
    pub(super) fn has_living_places(&self) -> bool {
        let groups = self.groups.iter().flat_map(|group| &group.places);
        groups.chain(self.addresses.iter().map(|taken| &taken.place)).any(|place| place.id.is_some())
    }
}

struct Reading<'p> {
    wants: Wants,
    links: Links<'p>,
}

impl Reading<'_> {
    fn step(&mut self, step: &Step, spec: &Value) {
        let comes = step.action == Action::Create || step.action.replaces();
        // A successor that comes after its predecessor has gone takes its place in a quota.
        let adds = matches!(step.action, Action::Create | Action::ReplaceCreateFirst);
        match step.kind.as_str() {
            "aws.eks_nodegroup" => self.nodegroup(step, spec),
            "aws.autoscaling_group" => self.instances(step, spec),
            "aws.instance" => self.instance(step, spec),
            "aws.capacity_reservation" => self.reservation(step, spec),
            "aws.subnet" if comes => {
                let Some(subnet) = typed::<subnet::Spec>(spec) else { return };
                self.wants.zones.entry(subnet.zone).or_insert_with(|| step.address.clone());
            }
            "aws.eks_cluster" if comes => {
                for place in self.places(spec, "subnets") {
                    if let Some(zone) = &place.zone {
                        self.wants.cluster_zones.entry(zone.clone()).or_insert_with(|| step.address.clone());
                    }
                    self.take(step, place, CLUSTER_ADDRESSES);
                }
            }
            "aws.fsx_lustre" if comes => {
                let count = typed::<fsx_lustre::Spec>(spec).map_or(1, |spec| servers(&spec));
                if let Some(place) = field(spec, "subnet").and_then(|subnet| self.place(subnet)) {
                    self.take(step, place, count);
                }
            }
            "aws.vpc_endpoint" if comes => {
                for place in self.places(spec, "subnets") {
                    self.take(step, place, 1);
                }
            }
            "aws.nat_gateway" if comes => {
                if let Some(place) = field(spec, "subnet").and_then(|subnet| self.place(subnet)) {
                    self.take(step, place, 1);
                }
            }
            _ => {}
        }
        if adds {
            let zone = field(spec, "subnet").and_then(|subnet| self.place(subnet)).and_then(|place| place.zone);
            let zone = zone.filter(|_| step.kind == "aws.nat_gateway");
            let added = Added { address: step.address.clone(), zone };
            self.wants.added.entry(step.kind.clone()).or_default().push(added);
        }
    }

    fn take(&mut self, step: &Step, place: Place, count: u32) {
        self.wants.addresses.push(Taken { address: step.address.clone(), place, count });
    }

    fn nodegroup(&mut self, step: &Step, spec: &Value) {
        let Some(group) = typed::<eks_nodegroup::Spec>(spec) else { return };
        let template = self.template(spec);
        let types = match (&group.instance_types, &template) {
            (types, _) if !types.is_empty() => types.clone(),
            (_, Some(template)) => template.instance_type.iter().cloned().collect(),
            _ => Vec::new(),
        };
        let before = before::<eks_nodegroup::Spec>(step);
        let more = more(step, before.map(|before| before.desired), group.desired);
        self.group(step, spec, types, group.market, template.as_ref(), more, true);
    }

    fn instances(&mut self, step: &Step, spec: &Value) {
        let Some(group) = typed::<autoscaling_group::Spec>(spec) else { return };
        let template = self.template(spec);
        let types = template.iter().filter_map(|template| template.instance_type.clone()).collect();
        let market = template.as_ref().and_then(|template| template.market).unwrap_or(Market::OnDemand);
        let before = before::<autoscaling_group::Spec>(step);
        let more = more(step, before.map(|before| before.desired), group.desired);
        self.group(step, spec, types, market, template.as_ref(), more, false);
    }

    fn instance(&mut self, step: &Step, spec: &Value) {
        let Some(one) = typed::<instance::Spec>(spec) else { return };
        let template = self.template(spec);
        let of_template = template.as_ref().and_then(|template| template.instance_type.clone());
        let types = one.instance_type.or(of_template).into_iter().collect();
        let market = template.as_ref().and_then(|template| template.market).unwrap_or(Market::OnDemand);
        self.group(step, spec, types, market, template.as_ref(), more(step, Some(1), 1), false);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one value")]
    fn group(
        &mut self,
        step: &Step,
        spec: &Value,
        types: Vec<String>,
        market: Market,
        template: Option<&launch_template::Spec>,
        more: u32,
        kubernetes: bool,
    ) {
        let interfaces = template.map_or(1, |template| with_addresses(&template.interfaces));
        let reserved = template.is_some_and(|template| template.reservation.is_some());
        let mut places = self.places(spec, "subnets");
        places.extend(field(spec, "subnet").and_then(|subnet| self.place(subnet)));
        let address = step.address.clone();
        if more > 0 {
            self.wants.groups.push(Group { address, types, market, reserved, more, places, interfaces, kubernetes });
        }
    }

    fn reservation(&mut self, step: &Step, spec: &Value) {
        let Some(reserved) = typed::<capacity_reservation::Spec>(spec) else { return };
        let before = before::<capacity_reservation::Spec>(step);
        let more = more(step, before.map(|before| before.count), reserved.count);
        if more > 0 {
            let (instance_type, zone) = (reserved.instance_type, reserved.zone);
            self.wants.reservations.push(Reserved { address: step.address.clone(), instance_type, zone, more });
        }
    }

    fn template(&self, spec: &Value) -> Option<launch_template::Spec> {
        typed(self.links.spec(field(spec, "launch_template")?, "aws.launch_template")?.as_ref())
    }

    fn places(&self, spec: &Value, name: &str) -> Vec<Place> {
        list(spec, name).iter().filter_map(|subnet| self.place(subnet)).collect()
    }

    fn place(&self, subnet: &Value) -> Option<Place> {
        let Some(step) = self.links.follow(subnet, "aws.subnet") else {
            let Value::String(id) = subnet else { return None };
            return Some(Place { name: id.clone(), id: Some(id.clone()), zone: None, cidr: None });
        };
        let spec = specification(step, Side::After).and_then(|spec| typed::<subnet::Spec>(&spec));
        let comes = step.action == Action::Create || step.action.replaces();
        Some(Place {
            name: step.address.to_string(),
            id: step.id.clone().filter(|_| !comes),
            zone: spec.as_ref().map(|spec| spec.zone.clone()),
            cidr: spec.map(|spec| spec.cidr).filter(|_| comes),
        })
    }
}

/// The specification as it is now.
fn before<S: DeserializeOwned>(step: &Step) -> Option<S> {
    S::deserialize(step.before.as_deref()?).ok()
}

/// How many more there will be.
fn more(step: &Step, before: Option<u32>, after: u32) -> u32 {
    match step.action {
        Action::Create | Action::ReplaceCreateFirst => after,
        Action::Update | Action::ReplaceDeleteFirst => after.saturating_sub(before.unwrap_or(0)),
        Action::NoOp | Action::Adopt | Action::Delete | Action::Forget => 0,
    }
}

/// How many of the interfaces have addresses.
fn with_addresses(interfaces: &[launch_template::Interface]) -> u32 {
    let plain = interfaces.iter().filter(|interface| interface.carries != launch_template::Carries::EfaOnly);
    let count: usize = plain.map(|interface| interface.cards.len()).sum();
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// How many servers a file system has, each with an address.
fn servers(spec: &fsx_lustre::Spec) -> u32 {
    let throughput = spec.throughput.unwrap_or(0);
    let with_efa = GIB_PER_EFA_SERVER.iter().find(|(tier, _)| spec.efa && *tier == throughput);
    let gib = with_efa.map_or(GIB_PER_SERVER, |(_, gib)| *gib);
    let metadata = match spec.metadata {
        Some(fsx_lustre::Metadata::Iops(operations)) => operations.div_ceil(OPERATIONS_PER_SERVER).max(1),
        Some(fsx_lustre::Metadata::Automatic) | None => 1,
    };
    spec.capacity_gib.div_ceil(gib) + metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_file_systems() {
        let spec = |more: serde_json::Value| {
            let mut spec = json!({"subnet": "s", "security_groups": [], "deployment": "persistent-2"});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<fsx_lustre::Spec>(spec).unwrap()
        };
        assert_eq!(servers(&spec(json!({"capacity_gib": 1200, "throughput": 250}))), 2);
        assert_eq!(servers(&spec(json!({"capacity_gib": 4800, "throughput": 125}))), 3);
        let efa = json!({"capacity_gib": 38400, "throughput": 250, "efa": true, "metadata": {"iops": 24000}});
        assert_eq!(servers(&spec(efa)), 4);
    }
}
