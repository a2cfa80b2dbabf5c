//! `aws.vpc_endpoint`: a way to an AWS service that does not leave the VPC (EC2 CreateVpcEndpoint,
//! ModifyVpcEndpoint).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, filter, of_deployment, pairs, retag};
use super::error::{Answer, is_absent, said};
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, not_shown};
use crate::planned::{FREE, Planned, replace};
use aws_sdk_ec2::types::{Filter, ResourceType, State, UnsuccessfulItem, VpcEndpoint, VpcEndpointType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// The service: `com.amazonaws.us-west-2.s3`.
    pub service: String,
    /// How it works.
    #[serde(default)]
    pub form: Form,
    /// Identifiers of the route tables that lead to a gateway endpoint.
    #[serde(default)]
    pub route_tables: BTreeSet<String>,
    /// Identifiers of the subnets that an interface endpoint stands in.
    #[serde(default)]
    pub subnets: BTreeSet<String>,
    /// Identifiers of the security groups of an interface endpoint.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Whether the service's own name leads to an interface endpoint.
    #[serde(default)]
    pub private_dns: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// How an endpoint works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// By routes; free of charge, for S3 and DynamoDB.
    #[default]
    Gateway,
    /// By network interfaces in subnets.
    Interface,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.vpc_endpoint";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(5, 5, 60);
    const READY_DEADLINE: Duration = Duration::from_secs(600);

    /// Within one VPC, two endpoints of a service contend for the same routes or the same name.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "vpc" | "service" | "form" => replace((&before.vpc, &before.service) != (&after.vpc, &after.service)),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        if self.form == Form::Gateway { FREE } else { None }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateVpcEndpoint",
        "ec2:DescribeVpcEndpoints",
        "ec2:ModifyVpcEndpoint",
        "ec2:DeleteVpcEndpoints",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        // Private names of an interface endpoint are a hosted zone that AWS attaches to the VPC on the caller's behalf.
        "route53:AssociateVPCWithHostedZone",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let endpoints = endpoints(cloud, filter("vpc-endpoint-id", ids)).await?;
        Ok(in_order(ids, endpoints.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateVpcEndpoint";
        self.check()?;
        let call = cloud.ec2().await.create_vpc_endpoint().client_token(&tags.operation.0);
        let call = call.vpc_id(&self.vpc).service_name(&self.service).vpc_endpoint_type(self.form.into());
        let call = call.tag_specifications(born_with(ResourceType::VpcEndpoint, tags, &self.tags));
        let call = match self.form {
            Form::Gateway => call.set_route_table_ids(some(&self.route_tables)),
            Form::Interface => call
                .set_subnet_ids(some(&self.subnets))
                .set_security_group_ids(some(&self.security_groups))
                .private_dns_enabled(self.private_dns),
        };
        let endpoint = call.send().await.of(cloud, CALL)?.vpc_endpoint.ok_or_else(|| empty(CALL))?;
        let id = endpoint.vpc_endpoint_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        let readiness = readiness(&endpoint).ok_or_else(|| not_shown(&id))?;
        Ok(Seen::made(id.clone(), self, tags, &self.tags).output("id", id).readiness(readiness).done())
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        self.check()?;
        retag(cloud, id, tags, &self.tags).await?;
        let endpoint = endpoints(cloud, filter("vpc-endpoint-id", [id])).await?.pop().ok_or_else(|| not_shown(id))?;
        self.settle(cloud, id, &endpoint).await?;
        let readiness = readiness(&endpoint).ok_or_else(|| not_shown(id))?;
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).readiness(readiness).done())
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        const CALL: &str = "ec2:DeleteVpcEndpoints";
        let gone = cloud.ec2().await.delete_vpc_endpoints().vpc_endpoint_ids(id).send().await;
        let Some(answer) = gone.of_present(cloud, CALL)? else { return Ok(()) };
        answer.unsuccessful.unwrap_or_default().into_iter().try_for_each(|item| refused(CALL, item))
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(endpoints(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

impl From<Form> for VpcEndpointType {
    fn from(form: Form) -> Self {
        match form {
            Form::Gateway => Self::Gateway,
            Form::Interface => Self::Interface,
        }
    }
}

impl Spec {
    /// AWS would put an interface endpoint without groups into the VPC's default one, which lets in nobody else.
    fn check(&self) -> Result<(), KindError> {
        if self.form == Form::Interface && self.security_groups.is_empty() {
            let message = format!("the interface endpoint of {} has no security group", self.service);
            return Err(KindError::terminal(message).help("Say `security_groups`: those whose rules let its users in."));
        }
        Ok(())
    }

    /// Brings about what can be changed, in one call.
    async fn settle(&self, cloud: &Cloud, id: &str, endpoint: &VpcEndpoint) -> Result<(), KindError> {
        let call = cloud.ec2().await.modify_vpc_endpoint().vpc_endpoint_id(id);
        let (call, changes) = match self.form {
            Form::Gateway => {
                let (more, less) = difference(&self.route_tables, &tables_of(endpoint));
                let changes = more.is_some() || less.is_some();
                (call.set_add_route_table_ids(more).set_remove_route_table_ids(less), changes)
            }
            Form::Interface => {
                let (more, less) = difference(&self.subnets, &subnets_of(endpoint));
                let (more_groups, less_groups) = difference(&self.security_groups, &groups_of(endpoint));
                let named = (endpoint.private_dns_enabled == Some(true)) != self.private_dns;
                let changes = [&more, &less, &more_groups, &less_groups].iter().any(|ids| ids.is_some()) || named;
                let call = call
                    .set_add_subnet_ids(more)
                    .set_remove_subnet_ids(less)
                    .set_add_security_group_ids(more_groups)
                    .set_remove_security_group_ids(less_groups)
                    .set_private_dns_enabled(named.then_some(self.private_dns));
                (call, changes)
            }
        };
        if changes {
            call.send().await.of(cloud, "ec2:ModifyVpcEndpoint")?;
        }
        Ok(())
    }
}

fn some(ids: &BTreeSet<String>) -> Option<Vec<String>> {
    Some(ids.iter().cloned().collect::<Vec<_>>()).filter(|ids| !ids.is_empty())
}

/// What is wanted and not there, and what is there and not wanted.
fn difference(want: &BTreeSet<String>, have: &BTreeSet<String>) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let ids = |ids: std::collections::btree_set::Difference<'_, String>| some(&ids.cloned().collect());
    (ids(want.difference(have)), ids(have.difference(want)))
}

async fn endpoints(cloud: &Cloud, which: Filter) -> Result<Vec<VpcEndpoint>, KindError> {
    let mut endpoints = Vec::new();
    let call = cloud.ec2().await.describe_vpc_endpoints().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    while let Some(endpoint) = pages.next().await {
        endpoints.push(endpoint.of(cloud, "ec2:DescribeVpcEndpoints")?);
    }
    Ok(endpoints)
}

fn tables_of(endpoint: &VpcEndpoint) -> BTreeSet<String> {
    endpoint.route_table_ids().iter().cloned().collect()
}

fn subnets_of(endpoint: &VpcEndpoint) -> BTreeSet<String> {
    endpoint.subnet_ids().iter().cloned().collect()
}

fn groups_of(endpoint: &VpcEndpoint) -> BTreeSet<String> {
    endpoint.groups().iter().filter_map(|group| group.group_id.clone()).collect()
}

fn observed(endpoint: VpcEndpoint) -> Option<Observed> {
    let readiness = readiness(&endpoint)?;
    let form = match endpoint.vpc_endpoint_type {
        Some(VpcEndpointType::Gateway) => Some(Form::Gateway),
        Some(VpcEndpointType::Interface) => Some(Form::Interface),
        _ => None,
    };
    let (tables, subnets, groups) = (tables_of(&endpoint), subnets_of(&endpoint), groups_of(&endpoint));
    let id = endpoint.vpc_endpoint_id?;
    let seen = Seen::new(id.clone(), pairs(endpoint.tags))
        .known("vpc", endpoint.vpc_id)
        .known("service", endpoint.service_name)
        .known("form", form)
        .output("id", id)
        .readiness(readiness);
    // Each form has fields that say nothing of the other, whatever AWS puts into them.
    let seen = match form {
        Some(Form::Gateway) => seen.field("route_tables", tables),
        _ => seen
            .field("subnets", subnets)
            .field("security_groups", groups)
            .field("private_dns", endpoint.private_dns_enabled == Some(true)),
    };
    Some(seen.done())
}

/// None when it is gone. EC2 writes states in lower case, its model with a capital (`State`).
fn readiness(endpoint: &VpcEndpoint) -> Option<Readiness> {
    let state = endpoint.state.as_ref().map_or("pending", State::as_str).to_ascii_lowercase();
    let why = || {
        let said = endpoint.last_error().and_then(|error| error.message()).or(endpoint.failure_reason());
        format!("the endpoint is {state}: {}", said.unwrap_or("no reason given"))
    };
    match state.as_str() {
        "available" => Some(Readiness::Ready),
        "deleted" => None,
        "failed" | "rejected" | "expired" => Some(Readiness::Failed(why())),
        "pendingacceptance" => Some(Readiness::Waiting("the endpoint waits for its service to accept it".to_owned())),
        _ => Some(Readiness::Waiting(format!("the endpoint is {state}"))),
    }
}

/// What AWS says of one that it has not deleted.
fn refused(call: &str, item: UnsuccessfulItem) -> Result<(), KindError> {
    let error = item.error.unwrap_or_else(|| aws_sdk_ec2::types::UnsuccessfulItemError::builder().build());
    let code = error.code.unwrap_or_default();
    if is_absent(&code) {
        return Ok(());
    }
    Err(said(call, &code, error.message.as_deref().unwrap_or("no reason given"), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{LastError, UnsuccessfulItemError};

    #[test]
    fn states_count_however_they_are_written() {
        let in_state = |state: &str| VpcEndpoint::builder().state(State::from(state));
        for available in ["available", "Available"] {
            assert_eq!(readiness(&in_state(available).build()), Some(Readiness::Ready));
        }
        assert_eq!(readiness(&in_state("deleted").build()), None);
        assert_eq!(
            readiness(&in_state("deleting").build()),
            Some(Readiness::Waiting("the endpoint is deleting".to_owned()))
        );
        let error = LastError::builder().message("no such service").build();
        assert_eq!(
            readiness(&in_state("Failed").last_error(error).build()),
            Some(Readiness::Failed("the endpoint is failed: no such service".to_owned()))
        );
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let list = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert_eq!(difference(&set(&["a", "b"]), &set(&["b", "c"])), (list(&["a"]), list(&["c"])));
        assert_eq!(difference(&set(&["a"]), &set(&["a"])), (None, None));
    }

    #[test]
    fn what_was_not_deleted_is_an_error_unless_it_is_gone() {
        let item = |code: &str| {
            let error = UnsuccessfulItemError::builder().code(code).message("m").build();
            UnsuccessfulItem::builder().resource_id("vpce-1").error(error).build()
        };
        assert!(refused("ec2:DeleteVpcEndpoints", item("InvalidVpcEndpoint.NotFound")).is_ok());
        let error = refused("ec2:DeleteVpcEndpoints", item("InvalidParameter")).unwrap_err();
        assert_eq!(error.message, "ec2:DeleteVpcEndpoints: m (InvalidParameter)");
    }
}
