//! What the resources of a plan cost in an account's region: by AWS's price list where it answers, by the figures that forge
//! was made with otherwise.
//!
//! Nodes are priced through what they are started from: a group names a launch template, the template names the instance type and
//! perhaps a reservation. A reservation costs what its instances would; those that run in it cost nothing more, and neither
//! do those of a capacity block, which was paid at once. Disks, traffic and requests are in none of the figures.

use super::cloud::Cloud;
use super::error::Answer;
use super::{Market, autoscaling_group, capacity_reservation, eks_nodegroup, instance, launch_template, price};
use aws_sdk_pricing::types::{Filter, FilterType};
use forge_engine::bill::{Links, Side, Tariff as Pricing, specification};
use forge_engine::kind::{Hourly, KindError, Kinds};
use forge_engine::plan::Plan;
use forge_engine::value::{Output, Value};
use futures::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// For how long the price list is waited for. It is a comfort, and the plan is ready.
const DEADLINE: Duration = Duration::from_secs(5);

/// Prices in a region.
pub struct Tariff {
    kinds: Kinds,
    region: Option<String>,
    /// US dollars per hour of instances on demand, as the price list says.
    listed: BTreeMap<String, f64>,
}

impl Tariff {
    /// Those that forge was made with.
    #[must_use]
    pub fn bundled(kinds: &Kinds, region: Option<&str>) -> Self {
        Self { kinds: kinds.clone(), region: region.map(str::to_owned), listed: BTreeMap::new() }
    }

    /// With those of AWS's price list, for the instance types of a plan; what it does not say, or not in time, stays as it is.
    pub async fn listed(kinds: &Kinds, region: Option<&str>, cloud: &Cloud, plan: &Plan) -> Self {
        let mut tariff = Self::bundled(kinds, region);
        let Some(region) = region else { return tariff };
        let types = tariff.types(plan);
        let ask = |name: String| async move {
            let asked = tokio::time::timeout(DEADLINE, listed(cloud, region, &name)).await;
            Some((name, asked.ok()?.ok()??))
        };
        tariff.listed = join_all(types.into_iter().map(ask)).await.into_iter().flatten().collect();
        tariff
    }

    /// Where the figures are from, for people; `today` is the day on which the price list was asked.
    #[must_use]
    pub fn source(&self, today: &str) -> String {
        if self.listed.is_empty() {
            return price::SOURCE.to_owned();
        }
        let types: Vec<&str> = self.listed.keys().map(String::as_str).collect();
        format!("AWS's price list of {today} for {}; else {}", types.join(", "), price::SOURCE)
    }

    /// The instance types that the price of something in a plan depends on.
    fn types(&self, plan: &Plan) -> BTreeSet<String> {
        let links = Links::of(plan, Side::After);
        let specs = plan.steps.iter().filter_map(|step| Some((step.kind.as_str(), specification(step, Side::After)?)));
        let types = specs.filter_map(|(kind, spec)| match nodes(kind, &spec, &links)? {
            Nodes { paid: Paid::OnDemand, instance_type: Some(name), count: 1.. } => Some(name),
            _ => None,
        });
        types.collect()
    }

    fn on_demand(&self, name: &str, count: u32) -> Option<Hourly> {
        let listed = self.listed.get(name).copied();
        let each = listed.or_else(|| price::each_on_demand(self.region.as_deref(), name))?;
        Some(Hourly(each * f64::from(count)))
    }
}

impl Pricing for Tariff {
    fn hourly(&self, kind: &str, spec: &Value, links: &Links<'_>) -> Option<Hourly> {
        if let Some(nodes) = nodes(kind, spec, links) {
            return match (nodes.paid, nodes.instance_type) {
                (Paid::Elsewhere, _) => Some(Hourly(0.0)),
                _ if nodes.count == 0 => Some(Hourly(0.0)),
                (Paid::OnDemand, Some(name)) => self.on_demand(&name, nodes.count),
                (Paid::OnDemand | Paid::Spot, _) => None,
            };
        }
        let version = match spec {
            Value::Map(fields) => fields.get("version").and_then(|version| match version {
                Value::String(version) => Some(version.as_str()),
                _ => None,
            }),
            _ => None,
        };
        price::flat(self.region.as_deref(), kind, version).or_else(|| self.kinds.hourly(kind, spec, links))
    }
}

/// Instances that are alike, and how they are paid.
struct Nodes {
    instance_type: Option<String>,
    count: u32,
    paid: Paid,
}

#[derive(PartialEq, Eq)]
enum Paid {
    OnDemand,
    Spot,
    /// With a reservation or a capacity block.
    Elsewhere,
}

/// The specification with a text in place of what only apply knows.
fn typed<S: DeserializeOwned>(spec: &Value) -> Option<S> {
    S::deserialize(spec.resolve(&|_: &Output| Some(json!("(known after apply)"))).ok()?).ok()
}

/// The instances that something stands for; none when it stands for none.
fn nodes(kind: &str, spec: &Value, links: &Links<'_>) -> Option<Nodes> {
    let Value::Map(fields) = spec else { return None };
    let template =
        || typed::<launch_template::Spec>(links.spec(fields.get("launch_template")?, "aws.launch_template")?.as_ref());
    let paid = |market, template: Option<&launch_template::Spec>| match market {
        Market::CapacityBlock => Paid::Elsewhere,
        _ if template.is_some_and(|template| template.reservation.is_some()) => Paid::Elsewhere,
        Market::Spot => Paid::Spot,
        Market::OnDemand => Paid::OnDemand,
    };
    match kind {
        "aws.capacity_reservation" => {
            let reserved: capacity_reservation::Spec = typed(spec)?;
            Some(Nodes { instance_type: Some(reserved.instance_type), count: reserved.count, paid: Paid::OnDemand })
        }
        "aws.eks_nodegroup" => {
            let (group, template): (eks_nodegroup::Spec, _) = (typed(spec)?, template());
            let instance_type = match group.instance_types.as_slice() {
                [] => template.as_ref().and_then(|template| template.instance_type.clone()),
                [only] => Some(only.clone()),
                // Any of them may be started.
                _ => None,
            };
            Some(Nodes { instance_type, count: group.desired, paid: paid(group.market, template.as_ref()) })
        }
        "aws.autoscaling_group" => {
            let (group, template): (autoscaling_group::Spec, _) = (typed(spec)?, template());
            let market = template.as_ref().and_then(|template| template.market).unwrap_or(Market::OnDemand);
            let paid = paid(market, template.as_ref());
            Some(Nodes {
                instance_type: template.and_then(|template| template.instance_type),
                count: group.desired,
                paid,
            })
        }
        "aws.instance" => {
            let (one, template): (instance::Spec, _) = (typed(spec)?, template());
            let market = template.as_ref().and_then(|template| template.market).unwrap_or(Market::OnDemand);
            let paid = paid(market, template.as_ref());
            let instance_type = one.instance_type.or_else(|| template.and_then(|template| template.instance_type));
            Some(Nodes { instance_type, count: 1, paid })
        }
        _ => None,
    }
}

/// The price of an instance on demand, of Linux on shared hardware.
async fn listed(cloud: &Cloud, region: &str, name: &str) -> Result<Option<f64>, KindError> {
    const CALL: &str = "pricing:GetProducts";
    let filters = [
        ("instanceType", name),
        ("regionCode", region),
        ("operatingSystem", "Linux"),
        ("tenancy", "Shared"),
        ("preInstalledSw", "NA"),
        ("capacitystatus", "Used"),
    ];
    let filter = |(field, value): (&str, &str)| {
        Filter::builder().r#type(FilterType::TermMatch).field(field).value(value).build().ok()
    };
    let filters = filters.into_iter().filter_map(filter).collect();
    let call = cloud.pricing().await.get_products().service_code("AmazonEC2").set_filters(Some(filters));
    let products = call.send().await.of(cloud, CALL)?.price_list.unwrap_or_default();
    Ok(products.iter().find_map(|product| of_product(&serde_json::from_str(product).ok()?)))
}

/// The price by the hour in a product of the price list.
fn of_product(product: &Json) -> Option<f64> {
    let entries =
        |value: &Json| value.as_object().map(|map| map.values().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let terms = entries(product.get("terms")?.get("OnDemand")?);
    let dimensions = terms.iter().filter_map(|term| term.get("priceDimensions")).flat_map(entries);
    let hourly = dimensions.filter(|dimension| dimension.get("unit").and_then(Json::as_str) == Some("Hrs"));
    hourly
        .filter_map(|dimension| dimension["pricePerUnit"]["USD"].as_str()?.parse().ok())
        .find(|price: &f64| *price > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::kinds_in;
    use forge_engine::address::{Address, Deployment};
    use forge_engine::bill::{Price, bill};
    use forge_engine::plan::{Action, Purpose, SCHEMA, Step};

    fn step(address: &str, kind: &str, spec: Json, template: Option<&str>) -> Step {
        let Value::Map(mut fields) = Value::from(spec) else {
            return Step::new(&Address::new(address), kind, Action::NoOp);
        };
        if let Some(template) = template {
            let output = Output { address: Address::new(template), name: "id".to_owned() };
            fields.insert("launch_template".to_owned(), Value::Output(output));
        }
        Step { desired: Some(Value::Map(fields)), ..Step::new(&Address::new(address), kind, Action::Create) }
    }

    fn plan() -> Plan {
        let template = |name: &str, more: Json| {
            let mut spec = json!({"name": name, "instance_type": "p4d.24xlarge", "disk_gib": 200});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            step(name, "aws.launch_template", spec, None)
        };
        let group = |name: &str, market: &str, desired: u32, template: &str| {
            let spec = json!({
                "cluster": "c", "name": name, "role": "r", "subnets": ["s"], "market": market, "min": 0,
                "desired": desired, "max": 2,
            });
            step(name, "aws.eks_nodegroup", spec, Some(template))
        };
        let scaled = json!({
            "name": "asg", "subnets": ["s"], "launch_template_version": "1", "min": 0, "desired": 1, "max": 1,
        });
        let steps = vec![
            template("plain", json!({})),
            template("reserved", json!({"reservation": "cr-1"})),
            template("spot", json!({"market": "spot"})),
            group("nodes", "on-demand", 2, "plain"),
            group("none", "spot", 0, "plain"),
            group("spots", "spot", 2, "plain"),
            group("kept", "on-demand", 2, "reserved"),
            group("block", "capacity-block", 2, "reserved"),
            step("asg", "aws.autoscaling_group", scaled.clone(), Some("plain")),
            step("asg-spot", "aws.autoscaling_group", scaled, Some("spot")),
            step("nat", "aws.nat_gateway", json!({"subnet": "s", "elastic_ip": "e"}), None),
            step("ip", "aws.elastic_ip", json!({}), None),
        ];
        Plan {
            schema: SCHEMA,
            deployment: Deployment("llama".to_owned()),
            purpose: Purpose::Up,
            serial: 0,
            steps,
            operations: Vec::new(),
            never_happened: Vec::new(),
            undecided: Vec::new(),
            kept: Vec::new(),
            left_out: BTreeSet::new(),
        }
    }

    #[test]
    fn nodes_are_priced_through_their_template_and_what_is_paid_elsewhere_costs_nothing_more() {
        let plan = plan();
        let tariff = Tariff::bundled(&kinds_in(Some("us-east-1")), Some("us-east-1"));
        let prices: BTreeMap<String, Price> =
            bill(&plan, &tariff).iter().map(|item| (item.step.address.to_string(), item.after)).collect();
        let is = |name: &str, price: f64| assert_eq!(prices[name], Price::Known(price), "{name}");
        is("plain", 0.0);
        is("nodes", 2.0 * 21.957642);
        is("none", 0.0);
        is("kept", 0.0);
        is("block", 0.0);
        is("asg", 21.957642);
        is("nat", 0.045);
        is("ip", 0.005);
        assert_eq!((prices["spots"], prices["asg-spot"]), (Price::Unknown, Price::Unknown));
        assert_eq!(tariff.types(&plan), BTreeSet::from(["p4d.24xlarge".to_owned()]));
        let elsewhere = Tariff::bundled(&kinds_in(Some("us-west-2")), Some("us-west-2"));
        assert_eq!(bill(&plan, &elsewhere)[3].after, Price::Unknown);
    }

    #[test]
    fn the_price_list_wins_and_says_so() {
        let mut tariff = Tariff::bundled(&kinds_in(Some("us-west-2")), Some("us-west-2"));
        assert_eq!(tariff.source("2026-11-21"), price::SOURCE);
        tariff.listed.insert("p4d.24xlarge".to_owned(), 20.0);
        assert_eq!(bill(&plan(), &tariff)[3].after, Price::Known(40.0));
        assert!(tariff.source("2026-11-21").starts_with("AWS's price list of 2026-11-21 for p4d.24xlarge; else "));
    }

    #[test]
    fn products_of_the_price_list_are_read() {
        let dimension = |unit: &str, usd: &str| json!({"unit": unit, "pricePerUnit": {"USD": usd}});
        let product = json!({"terms": {"OnDemand": {"a.b": {"priceDimensions": {
            "a.b.c": dimension("Quantity", "5.0"), "a.b.d": dimension("Hrs", "0.0000000000"), "a.b.e": dimension("Hrs", "21.9576420000"),
        }}}}});
        assert_eq!(of_product(&product), Some(21.957642));
        assert_eq!(of_product(&json!({"terms": {"Reserved": {}}})), None);
    }
}
