//! What AWS is asked before anything is created.
//!
//! A plan can be right and fail all the same: in an account that may not have that many vCPUs, in a zone without the
//! instance type, for a caller who may not do it. AWS would say so after minutes, one thing after the other. So it is asked
//! first: [`Wants`] is what a plan wants of the account (pure), [`Answers`] is what AWS says (a few requests at
//! once, each with a deadline), and every check below compares the two (pure).
//!
//! What could not be asked is *unknown*, with the reason, and stops nothing. A plan without changes asks who the caller is,
//! and nothing else.

mod addresses;
mod ask;
mod catalogue;
mod instances;
mod offering;
mod permissions;
mod quotas;
mod wants;
mod zones;

use super::Cloud;
use super::least_privilege::Wanted;
use crate::preflight::{Finding, Identity, Report, Verdict};
use ask::{Answers, Said};
use forge_engine::bill::{Side, specification};
use forge_engine::kind::ErrorClass;
use forge_engine::plan::Plan;
use forge_engine::value::Value;
use std::borrow::Cow;
use std::cell::Cell;
use wants::Wants;

/// The IAM actions that the preflight asks with. None of them is needed: what may not be asked is unknown.
pub const READS: &[&str] = &[
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeCapacityReservations",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNatGateways",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "eks:ListClusters",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
    "pricing:GetProducts",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "sts:GetCallerIdentity",
];

/// Asks AWS whether what a plan wants can be had.
pub async fn preflight(cloud: &Cloud, plan: &Plan, state: Option<&str>) -> Report {
    let refused = Cell::new(None);
    let caller = ask::patiently(|| async {
        let told = cloud.caller().await.cloned();
        // Everybody may ask who he is: what is refused here are the credentials.
        told.inspect_err(|error| refused.set(error.help.clone().filter(|_| error.class == ErrorClass::Terminal)))
    });
    let caller = caller.await;
    let identity = caller.as_ref().ok().map(|caller| Identity {
        account: caller.account.clone(),
        name: caller.arn.clone(),
        region: caller.region.clone(),
    });
    let mut findings = Vec::new();
    if let Err(why) = &caller {
        let what = "who runs this could not be asked";
        findings.push(match refused.take() {
            Some(help) => Finding::new("identity", Verdict::Refused, what).why(why).help(help),
            None => Finding::new("identity", Verdict::Unknown, what).why(why),
        });
    }
    if plan.has_changes() {
        let region = identity.as_ref().map(|identity| identity.region.as_str());
        let specs = specs(plan);
        let resources: Vec<(&str, &Value)> = specs.iter().map(|(kind, spec)| (*kind, spec)).collect();
        let wanted = Wanted { deployment: &plan.deployment, region, resources: &resources, state };
        let wants = Wants::of(plan);
        let answers = ask::ask(cloud, &wants, &wanted, caller.as_ref().ok()).await;
        findings.extend(judge(&wants, &answers));
    }
    Report::new(identity, findings)
}

/// The kinds and specifications that a plan changes.
fn specs(plan: &Plan) -> Vec<(&str, Value)> {
    let spec = |step| specification(step, Side::After).map_or(Value::Null, Cow::into_owned);
    plan.changed().map(|step| (step.kind.as_str(), spec(step))).collect()
}

/// What follows from what AWS says.
fn judge(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let checks: [fn(&Wants, &Answers) -> Vec<Finding>; 7] = [
        zones::check,
        offering::check,
        instances::check,
        quotas::check,
        addresses::check,
        permissions::check,
        catalogue::check,
    ];
    checks.iter().flat_map(|check| check(wants, answers)).collect()
}

/// The answer, or a finding that says why there is none; neither when it was not asked for.
fn said<'a, T>(
    check: &'static str,
    what: &str,
    answer: &'a Option<Said<T>>,
    findings: &mut Vec<Finding>,
) -> Option<&'a T> {
    match answer.as_ref()? {
        Ok(answer) => Some(answer),
        Err(why) => {
            findings.push(Finding::new(check, Verdict::Unknown, what).why(why));
            None
        }
    }
}

/// `1 node`, `2 nodes`.
fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests;
