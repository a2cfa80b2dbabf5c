//! Whether the caller may do what the plan takes: IAM simulates the policy that `forge up --print-policy` prints, a request for
//! each of its statements, with the same resources and conditions.
//!
//! An action is denied when it is allowed for none of them. Where the caller's own policies look at something that
//! only the call itself would show (an address, a second factor), nobody knows.

use super::ask::{Answers, Said, patiently};
use super::wants::Wants;
use super::{counted, said};
use crate::aws::error::Answer;
use crate::aws::least_privilege::{Statement, Wanted, needs, statements};
use crate::aws::{Caller, Cloud};
use crate::preflight::{Finding, Verdict};
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use forge_engine::kind::KindError;
use futures::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "permissions";

/// What the caller may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// How many actions were asked about.
    pub(super) asked: usize,
    /// Denied actions: the kinds that need each, and why.
    pub(super) denied: BTreeMap<String, (BTreeSet<&'static str>, &'static str)>,
    /// Actions that depend on keys that only a call has.
    pub(super) depends: BTreeMap<String, BTreeSet<String>>,
}

/// Who a caller is to IAM.
#[derive(Debug, PartialEq, Eq)]
enum Principal<'a> {
    /// A user, by ARN.
    User(&'a str),
    /// A session of a role, by the role's name.
    Role { partition: &'a str, account: &'a str, name: &'a str },
    /// May do anything.
    Root,
    /// A federated user: has no policies that could be simulated.
    Other,
}

fn principal(arn: &str) -> Principal<'_> {
    let mut parts = arn.splitn(6, ':');
    let (partition, service, account, resource) =
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (_, Some(partition), Some(service), _, Some(account), Some(resource)) => {
                (partition, service, account, resource)
            }
            _ => return Principal::Other,
        };
    match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Principal::Root,
        ("iam", Some(("user", _))) => Principal::User(arn),
        ("sts", Some(("assumed-role", session))) => {
            let name = session.split('/').next().unwrap_or(session);
            Principal::Role { partition, account, name }
        }
        _ => Principal::Other,
    }
}

/// Asks IAM.
pub(super) async fn ask(cloud: &Cloud, wanted: &Wanted<'_>, caller: &Caller) -> Said<Judged> {
    let who = match principal(&caller.arn) {
        Principal::Root => return Ok(Judged::default()),
        Principal::Other => return Err(format!("IAM has no policies of {} that it could simulate", caller.arn)),
        Principal::User(arn) => arn.to_owned(),
        Principal::Role { partition, account, name } => role(cloud, partition, account, name).await,
    };
    let statements = statements(wanted);
    let who = &who;
    let ask = |statement| async move { patiently(|| simulate(cloud, who, &caller.account, statement)).await };
    let results = try_join_all(statements.iter().map(ask)).await?;
    let needs = needs(wanted.resources.iter().map(|(kind, _)| *kind));
    Ok(judged(results.into_iter().flatten(), &needs))
}

/// The ARN of a role. Its path is not part of a session's, so IAM is asked; most have none.
async fn role(cloud: &Cloud, partition: &str, account: &str, name: &str) -> String {
    let asked = cloud.iam().await.get_role().role_name(name).send().await.of(cloud, "iam:GetRole");
    let known = asked.ok().and_then(|answer| answer.role).map(|role| role.arn);
    known.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}"))
}

async fn simulate(
    cloud: &Cloud,
    who: &str,
    account: &str,
    statement: &Statement,
) -> Result<Vec<EvaluationResult>, KindError> {
    let call = cloud.iam().await.simulate_principal_policy().policy_source_arn(who);
    let call = call.set_action_names(Some(statement.actions.iter().map(|action| (*action).to_owned()).collect()));
    let call = call.set_resource_arns(Some(statement.resources.iter().map(|arn| in_account(arn, account)).collect()));
    let entry = |(key, values): (&&str, &Vec<String>)| {
        let entry = ContextEntry::builder().context_key_name(*key).context_key_type(ContextKeyTypeEnum::String);
        entry.set_context_key_values(Some(values.iter().take(1).cloned().collect())).build()
    };
    let call = call.set_context_entries(Some(statement.conditions.iter().map(entry).collect()));
    let mut pages = call.into_paginator().items().send();
    let mut results = Vec::new();
    while let Some(result) = pages.next().await {
        results.push(result.of(cloud, "iam:SimulatePrincipalPolicy")?);
    }
    Ok(results)
}

/// The ARN with the account where any would do.
fn in_account(arn: &str, account: &str) -> String {
    let mut parts: Vec<&str> = arn.splitn(6, ':').collect();
    if let Some(any) = parts.get_mut(4).filter(|any| **any == "*") {
        *any = account;
    }
    parts.join(":")
}

/// The decisions of an evaluation: one, or one for each resource.
fn decisions(result: &EvaluationResult) -> Vec<&PolicyEvaluationDecisionType> {
    let each = result.resource_specific_results();
    if each.is_empty() {
        return vec![result.eval_decision()];
    }
    each.iter().map(|result| result.eval_resource_decision()).collect()
}

/// What follows for each action from all that was simulated of it. An action of several statements needs each of them, which
/// differ in their resources and conditions; it is denied when one of its evaluations allows it nowhere.
fn judged(
    results: impl Iterator<Item = EvaluationResult>,
    needs: &BTreeMap<&'static str, BTreeSet<&'static str>>,
) -> Judged {
    let mut judged = Judged::default();
    let mut asked = BTreeSet::new();
    for result in results {
        let action = result.eval_action_name().to_owned();
        asked.insert(action.clone());
        let decisions = decisions(&result);
        if decisions.iter().any(|decision| **decision == PolicyEvaluationDecisionType::Allowed) {
            continue;
        }
        let explicit = decisions.iter().any(|decision| **decision == PolicyEvaluationDecisionType::ExplicitDeny);
        if !result.missing_context_values().is_empty() && !explicit {
            judged.depends.entry(action).or_default().extend(result.missing_context_values().iter().cloned());
            continue;
        }
        let organization =
            result.organizations_decision_detail().is_some_and(|detail| !detail.allowed_by_organizations());
        let boundary = result
            .permissions_boundary_decision_detail()
            .is_some_and(|detail| !detail.allowed_by_permissions_boundary());
        let why = match (organization, boundary, explicit) {
            (true, ..) => "a policy of the organization denies it",
            (_, true, _) => "the caller's permissions boundary leaves it out",
            (_, _, true) => "a policy denies it explicitly",
            _ => "no policy allows it",
        };
        let kinds = needs.get(action.as_str()).cloned().unwrap_or_default();
        judged.denied.insert(action, (kinds, why));
    }
    judged.asked = asked.len();
    judged
}

pub(super) fn check(_wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = "what the caller may do could not be asked";
    let Some(judged) = said(CHECK, what, &answers.permissions, &mut findings) else { return findings };
    let help = "Allow it to who runs forge; `forge up --print-policy` prints all that this blueprint needs.";
    // What no kind needs is the preflight's own: something else then says that it is unknown.
    let needed = judged.denied.iter().filter(|(_, (kinds, _))| !kinds.is_empty());
    let mut denied: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (action, (kinds, why)) in needed {
        let kinds = kinds.iter().copied().collect::<Vec<_>>().join(", ");
        denied.entry(why).or_default().push(format!("{action} ({kinds})"));
    }
    for (why, actions) in denied {
        let what = format!("the caller may not {}", actions.join(", "));
        findings.push(Finding::new(CHECK, Verdict::Refused, what).why(why).help(help));
    }
    for (action, keys) in &judged.depends {
        let keys = keys.iter().cloned().collect::<Vec<_>>().join(", ");
        let what = format!("whether the caller may {action} is not known");
        findings.push(Finding::new(CHECK, Verdict::Unknown, what).why(format!("it depends on {keys}")));
    }
    if findings.is_empty() {
        let what = match judged.asked {
            0 => "the caller is the root user, who may do everything".to_owned(),
            asked => format!("the caller may do all that the plan takes ({})", counted(asked as u64, "action")),
        };
        findings.push(Finding::new(CHECK, Verdict::Fine, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iam::types::OrganizationsDecisionDetail;

    #[test]
    fn callers_are_told_apart() {
        let user = "arn:aws:iam::123456789012:user/team/ada";
        assert_eq!(principal(user), Principal::User(user));
        let role = Principal::Role { partition: "aws-us-gov", account: "123456789012", name: "train" };
        assert_eq!(principal("arn:aws-us-gov:sts::123456789012:assumed-role/train/ada@example"), role);
        assert_eq!(principal("arn:aws:iam::123456789012:root"), Principal::Root);
        assert_eq!(principal("arn:aws:sts::123456789012:federated-user/ada"), Principal::Other);
        assert_eq!(principal("ada"), Principal::Other);
    }

    #[test]
    fn only_an_account_that_may_be_any_is_filled_in() {
        let account = "123456789012";
        assert_eq!(in_account("arn:aws:ec2:us-west-2:*:vpc/*", account), "arn:aws:ec2:us-west-2:123456789012:vpc/*");
        assert_eq!(in_account("arn:aws:s3:::data/*", account), "arn:aws:s3:::data/*");
        assert_eq!(in_account("*", account), "*");
    }

    fn result(
        action: &str,
        decision: PolicyEvaluationDecisionType,
    ) -> aws_sdk_iam::types::builders::EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name(action).eval_decision(decision)
    }

    #[test]
    fn what_is_denied_is_told_with_who_needs_it_and_why() {
        let allowed = result("ec2:CreateVpc", PolicyEvaluationDecisionType::Allowed).build().unwrap();
        let none = result("ec2:DeleteVpc", PolicyEvaluationDecisionType::ImplicitDeny).build().unwrap();
        let mfa = result("ec2:CreateTags", PolicyEvaluationDecisionType::ImplicitDeny)
            .missing_context_values("aws:MultiFactorAuthPresent");
        let organization = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        let guard = result("eks:ListClusters", PolicyEvaluationDecisionType::ExplicitDeny)
            .organizations_decision_detail(organization);
        let needs = BTreeMap::from([
            ("ec2:CreateVpc", BTreeSet::from(["aws.vpc"])),
            ("ec2:DeleteVpc", BTreeSet::from(["aws.vpc"])),
            ("ec2:DeleteTags", BTreeSet::from(["aws.vpc", "aws.subnet"])),
            ("eks:ListClusters", BTreeSet::new()),
        ]);
        let other = result("ec2:DeleteTags", PolicyEvaluationDecisionType::ImplicitDeny).build().unwrap();
        let results = [allowed, none, other, mfa.build().unwrap(), guard.build().unwrap()];
        let judged = judged(results.into_iter(), &needs);
        assert_eq!(judged.asked, 5);
        let answers = Answers { permissions: Some(Ok(judged)), ..Answers::default() };
        let told: Vec<String> = check(&Wants::default(), &answers)
            .iter()
            .map(|finding| format!("{:?}: {}: {}", finding.verdict, finding.what, finding.why.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(
            told,
            [
                "Refused: the caller may not ec2:DeleteTags (aws.subnet, aws.vpc), ec2:DeleteVpc (aws.vpc): no policy allows it",
                "Unknown: whether the caller may ec2:CreateTags is not known: it depends on aws:MultiFactorAuthPresent",
            ]
        );
    }
}
