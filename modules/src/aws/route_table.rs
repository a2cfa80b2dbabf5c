//! `aws.route_table`: where packets of its subnets go (EC2 CreateRouteTable, CreateRoute, AssociateRouteTable). Routes
//! and associations are part of it: what is not listed is removed, except the route within the VPC and those of gateway
//! endpoints.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, born_with, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, not_shown};
use crate::planned::{FREE, Planned};
use aws_sdk_ec2::types::{Filter, ResourceType, Route as SdkRoute, RouteOrigin, RouteTable, RouteTableAssociation};
use aws_sdk_ec2::types::RouteTableAssociationStateCode as Association;
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// Its routes.
    #[serde(default)]
    pub routes: BTreeSet<Route>,
    /// Identifiers of the subnets that use it.
    #[serde(default)]
    pub subnets: BTreeSet<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The IPv4 addresses that it is for: `0.0.0.0/0` for all others.
    #[serde(deserialize_with = "super::ec2::cidr")]
    pub cidr: String,
    /// Where they are sent.
    pub via: Via,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// To an internet gateway, by identifier.
    InternetGateway(String),
    /// To a NAT gateway, by identifier.
    NatGateway(String),
    /// Somewhere else, where somebody else leads them: it can be seen, and goes; it cannot be asked for.
    #[schemars(skip)]
    Other(String),
}

impl Planned for Spec {
    const NAME: &'static str = "aws.route_table";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each route and subnet.
    const TYPICAL: Typical = Typical::seconds(2, 2, 2);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "vpc" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateRouteTable",
        "ec2:DescribeRouteTables",
        "ec2:CreateRoute",
        "ec2:ReplaceRoute",
        "ec2:DeleteRoute",
        "ec2:AssociateRouteTable",
        "ec2:DisassociateRouteTable",
        "ec2:DeleteRouteTable",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let tables = tables(cloud, filter("route-table-id", ids)).await?;
        Ok(in_order(ids, tables.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateRouteTable";
        let call = cloud.ec2().await.create_route_table().client_token(&tags.operation.0).vpc_id(&self.vpc);
        let call = call.tag_specifications(born_with(ResourceType::RouteTable, tags, &self.tags));
        let table = call.send().await.of(cloud, CALL)?.route_table.ok_or_else(|| empty(CALL))?;
        let id = table.route_table_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        // A repeated call answers with the table as it was made: what an earlier try has put in is refused as there already.
        self.settle(cloud, &id, &table).await?;
        Ok(Seen::made(id.clone(), self, tags, &self.tags).output("id", id).done())
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        let table = table(cloud, id).await?.ok_or_else(|| not_shown(id))?;
        self.settle(cloud, id, &table).await?;
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).done())
    }

    /// A table cannot go while subnets use it.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let Some(table) = table(cloud, id).await? else { return Ok(()) };
        try_join_all(associations(&table).into_values().map(|association| leave(cloud, association))).await?;
        let gone = cloud.ec2().await.delete_route_table().route_table_id(id).send().await;
        gone.of_present(cloud, "ec2:DeleteRouteTable").map(drop)
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(tables(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

impl Spec {
    /// Brings about the routes and the associations: what is wanted comes before what is not wanted goes.
    async fn settle(&self, cloud: &Cloud, id: &str, table: &RouteTable) -> Result<(), KindError> {
        let mut there: BTreeMap<Destination, Via> = routes(table).collect();
        for route in &self.routes {
            match there.remove(&Destination::Ipv4(route.cidr.clone())) {
                Some(via) if via == route.via => {}
                Some(_) => replace_route(cloud, id, route).await?,
                None => create_route(cloud, id, route).await?,
            }
        }
        let mut associations = associations(table);
        let missing = self.subnets.iter().filter(|subnet| associations.remove(*subnet).is_none());
        try_join_all(missing.map(|subnet| join(cloud, id, subnet)).collect::<Vec<_>>()).await?;
        try_join_all(associations.into_values().map(|association| leave(cloud, association))).await?;
        for destination in there.into_keys() {
            delete_route(cloud, id, destination).await?;
        }
        Ok(())
    }
}

/// What a route is for: each way to say it is a parameter of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Ipv4(String),
    Ipv6(String),
    PrefixList(String),
}

async fn tables(cloud: &Cloud, which: Filter) -> Result<Vec<RouteTable>, KindError> {
    /// The most that this call answers at once.
    const PAGE: i32 = 100;
    let mut tables = Vec::new();
    let call = cloud.ec2().await.describe_route_tables().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    while let Some(table) = pages.next().await {
        tables.push(table.of(cloud, "ec2:DescribeRouteTables")?);
    }
    Ok(tables)
}

async fn table(cloud: &Cloud, id: &str) -> Result<Option<RouteTable>, KindError> {
    Ok(tables(cloud, filter("route-table-id", [id])).await?.pop())
}

async fn create_route(cloud: &Cloud, id: &str, route: &Route) -> Result<(), KindError> {
    let call = cloud.ec2().await.create_route().route_table_id(id).destination_cidr_block(&route.cidr);
    let call = match &route.via {
        Via::InternetGateway(gateway) => call.gateway_id(gateway),
        Via::NatGateway(gateway) => call.nat_gateway_id(gateway),
        Via::Other(other) => return Err(nowhere(other)),
    };
    match call.send().await.unless(&["RouteAlreadyExists"], cloud, "ec2:CreateRoute")? {
        Some(_) => Ok(()),
        // AWS did not show it.
        None => replace_route(cloud, id, route).await,
    }
}

async fn replace_route(cloud: &Cloud, id: &str, route: &Route) -> Result<(), KindError> {
    let call = cloud.ec2().await.replace_route().route_table_id(id).destination_cidr_block(&route.cidr);
    let call = match &route.via {
        Via::InternetGateway(gateway) => call.gateway_id(gateway),
        Via::NatGateway(gateway) => call.nat_gateway_id(gateway),
        Via::Other(other) => return Err(nowhere(other)),
    };
    call.send().await.of(cloud, "ec2:ReplaceRoute").map(drop)
}

fn nowhere(other: &str) -> KindError {
    KindError::terminal(format!("routes lead to an internet gateway or to a NAT gateway, not to {other}"))
}

async fn delete_route(cloud: &Cloud, id: &str, destination: Destination) -> Result<(), KindError> {
    let call = cloud.ec2().await.delete_route().route_table_id(id);
    let call = match destination {
        Destination::Ipv4(cidr) => call.destination_cidr_block(cidr),
        Destination::Ipv6(cidr) => call.destination_ipv6_cidr_block(cidr),
        Destination::PrefixList(list) => call.destination_prefix_list_id(list),
    };
    call.send().await.of_present(cloud, "ec2:DeleteRoute").map(drop)
}

/// A subnet that uses another table stays with it until that table has let go of it.
async fn join(cloud: &Cloud, id: &str, subnet: &str) -> Result<(), KindError> {
    let call = cloud.ec2().await.associate_route_table().route_table_id(id).subnet_id(subnet);
    let done = call.send().await.unless(&["Resource.AlreadyAssociated"], cloud, "ec2:AssociateRouteTable")?;
    if done.is_some() {
        return Ok(());
    }
    let using = tables(cloud, filter("association.subnet-id", [subnet])).await?.pop();
    let using = using.and_then(|table| table.route_table_id);
    if using.as_deref() == Some(id) {
        return Ok(());
    }
    let using = using.as_deref().unwrap_or("another route table");
    Err(KindError {
        class: ErrorClass::NotYetVisible,
        message: format!("ec2:AssociateRouteTable: {subnet} uses {using}"),
        help: Some("Take the subnet out of that route table: it can use one only.".to_owned()),
        source: None,
    })
}

async fn leave(cloud: &Cloud, association: String) -> Result<(), KindError> {
    let call = cloud.ec2().await.disassociate_route_table().association_id(association);
    call.send().await.of_present(cloud, "ec2:DisassociateRouteTable").map(drop)
}

/// The routes that somebody has put there. The route within the VPC is AWS's own, and those of gateway endpoints are the
/// endpoints'.
fn routes(table: &RouteTable) -> impl Iterator<Item = (Destination, Via)> {
    let routes = table.routes().iter().filter(|route| {
        let own = !matches!(route.origin(), Some(RouteOrigin::CreateRoute) | None);
        let local = route.gateway_id() == Some("local");
        let endpoint = route.gateway_id().is_some_and(|gateway| gateway.starts_with("vpce-"));
        !(own || local || endpoint && route.destination_prefix_list_id().is_some())
    });
    routes.filter_map(|route| Some((destination(route)?, via(route))))
}

fn destination(route: &SdkRoute) -> Option<Destination> {
    let ipv4 = route.destination_cidr_block.clone().map(Destination::Ipv4);
    let ipv4 = ipv4.or_else(|| route.destination_ipv6_cidr_block.clone().map(Destination::Ipv6));
    ipv4.or_else(|| route.destination_prefix_list_id.clone().map(Destination::PrefixList))
}

fn via(route: &SdkRoute) -> Via {
    let internet = route.gateway_id().filter(|gateway| gateway.starts_with("igw-"));
    match (internet, route.nat_gateway_id()) {
        (Some(gateway), _) => Via::InternetGateway(gateway.to_owned()),
        (None, Some(gateway)) => Via::NatGateway(gateway.to_owned()),
        (None, None) => {
            let others = [
                &route.gateway_id,
                &route.network_interface_id,
                &route.instance_id,
                &route.vpc_peering_connection_id,
                &route.transit_gateway_id,
                &route.egress_only_internet_gateway_id,
            ];
            Via::Other(others.into_iter().flatten().next().map_or("something else", String::as_str).to_owned())
        }
    }
}

/// The subnets that use a table, and the identifiers of the associations that say so.
fn associations(table: &RouteTable) -> BTreeMap<String, String> {
    let there = |association: &&RouteTableAssociation| {
        let state = association.association_state().and_then(|state| state.state());
        !matches!(state, Some(Association::Disassociated | Association::Disassociating | Association::Failed))
    };
    let of_subnets = table.associations().iter().filter(there);
    let of_subnets = of_subnets.filter_map(|association| {
        Some((association.subnet_id.clone()?, association.route_table_association_id.clone()?))
    });
    of_subnets.collect()
}

fn observed(table: RouteTable) -> Option<Observed> {
    let routes = routes(&table).map(|(destination, via)| match destination {
        Destination::Ipv4(cidr) | Destination::Ipv6(cidr) | Destination::PrefixList(cidr) => Route { cidr, via },
    });
    let routes: BTreeSet<Route> = routes.collect();
    let subnets: BTreeSet<String> = associations(&table).into_keys().collect();
    let id = table.route_table_id?;
    let seen = Seen::new(id.clone(), pairs(table.tags)).known("vpc", table.vpc_id);
    Some(seen.field("routes", routes).field("subnets", subnets).output("id", id).done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(routes: Vec<SdkRoute>) -> RouteTable {
        RouteTable::builder().route_table_id("rtb-1").set_routes(Some(routes)).build()
    }

    #[test]
    fn routes_of_the_vpc_itself_and_of_endpoints_are_nobodys_business() {
        let own = SdkRoute::builder().destination_cidr_block("10.0.0.0/16").gateway_id("local");
        let s3 = SdkRoute::builder().destination_prefix_list_id("pl-1").gateway_id("vpce-1");
        let out = SdkRoute::builder().destination_cidr_block("0.0.0.0/0").nat_gateway_id("nat-1");
        let all = vec![
            own.origin(RouteOrigin::CreateRouteTable).build(),
            s3.origin(RouteOrigin::CreateRoute).build(),
            out.origin(RouteOrigin::CreateRoute).build(),
        ];
        let seen = observed(table(all)).unwrap();
        assert_eq!(seen.spec["routes"], json!([{"cidr": "0.0.0.0/0", "via": {"nat_gateway": "nat-1"}}]));
    }

    #[test]
    fn a_route_that_nobody_can_ask_for_is_seen() {
        let odd = SdkRoute::builder().destination_ipv6_cidr_block("::/0").egress_only_internet_gateway_id("eigw-1");
        let peer = SdkRoute::builder().destination_cidr_block("10.9.0.0/16").vpc_peering_connection_id("pcx-1");
        let seen = observed(table(vec![odd.build(), peer.build()])).unwrap();
        let routes =
            json!([{"cidr": "10.9.0.0/16", "via": {"other": "pcx-1"}}, {"cidr": "::/0", "via": {"other": "eigw-1"}}]);
        assert_eq!(seen.spec["routes"], routes);
    }
}
