//! The least that whoever runs forge must be allowed for a blueprint: `forge up --print-policy`, and what the preflight lets
//! IAM simulate.
//!
//! Every kind says which IAM actions its calls need (`ACTIONS`); a blueprint needs those of its kinds, those that the
//! preflight asks with, and those of its state's bucket. Here they become statements, each with resources and conditions as narrow as AWS
//! lets them be and forge knows: by name where the blueprint gives one, by path where IAM has one, and everywhere else by the
//! tag `forge:deployment`, which is asked for at creation (`aws:RequestTag`) and afterwards (`aws:ResourceTag`). What AWS does
//! not let be restricted (most of Describe and List) is allowed for everything.
//!
//! The account is not named: the policy is printed without credentials, and it is attached within an account.

mod scope;

use super::preflight::READS;
use super::{ACTIONS, tags};
use forge_engine::address::Deployment;
use forge_engine::value::Value;
use scope::{Known, Limits, Scope, limits, scope};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many characters a managed policy may have, white space apart ("IAM and AWS STS quotas").
pub const POLICY_CHARACTERS: usize = 6144;

/// What a blueprint asks for, as far as permissions depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The deployment, whose tag everything carries.
    pub deployment: &'a Deployment,
    /// The region; any when absent.
    pub region: Option<&'a str>,
    /// Kinds and specifications, parts of which may be known only after apply.
    pub resources: &'a [(&'a str, &'a Value)],
    /// Address of the bucket that holds the state: `s3://bucket/prefix`.
    pub state: Option<&'a str>,
}

/// Something that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// What it is about.
    pub(super) sid: &'static str,
    pub(super) actions: BTreeSet<&'static str>,
    pub(super) resources: Vec<String>,
    /// Keys that must have one of these values (`StringEquals`).
    pub(super) conditions: BTreeMap<&'static str, Vec<String>>,
}

/// The policy, in as many documents as IAM's limit needs.
#[must_use]
pub fn policies(wanted: &Wanted<'_>) -> Vec<Json> {
    documents(&statements(wanted), POLICY_CHARACTERS)
}

/// The actions that a blueprint needs, each with the kinds that need it; none for the preflight's own.
pub(super) fn needs<'a>(kinds: impl Iterator<Item = &'a str>) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let kinds: BTreeSet<&str> = kinds.collect();
    let mut needs: BTreeMap<&'static str, BTreeSet<&'static str>> = BTreeMap::new();
    for action in READS {
        needs.entry(action).or_default();
    }
    for (kind, actions) in ACTIONS.iter().filter(|(kind, _)| kinds.contains(kind)) {
        for action in *actions {
            needs.entry(action).or_default().insert(kind);
        }
    }
    needs
}

/// The statements of the policy.
pub(super) fn statements(wanted: &Wanted<'_>) -> Vec<Statement> {
    let kinds = wanted.resources.iter().map(|(kind, _)| *kind);
    let known = Known::of(wanted);
    let mut statements = grouped(needs(kinds).into_keys(), &known);
    statements.extend(state(wanted.state, known.partition));
    statements
}

/// Actions grouped by what they may be limited to, in the order of [`Scope`].
fn grouped(actions: impl Iterator<Item = &'static str>, known: &Known) -> Vec<Statement> {
    let mut groups: BTreeMap<Scope, BTreeSet<&'static str>> = BTreeMap::new();
    for action in actions {
        for scope in scope(action) {
            groups.entry(*scope).or_default().insert(action);
        }
    }
    let statement = |(scope, actions): (Scope, BTreeSet<&'static str>)| {
        let Limits { sid, resources, conditions } = limits(scope, &actions, known);
        Statement { sid, actions, resources, conditions }
    };
    groups.into_iter().map(statement).filter(|statement| !statement.resources.is_empty()).collect()
}

/// What the bucket of the state needs.
fn state(state: Option<&str>, partition: &str) -> Vec<Statement> {
    let Some(path) = state.and_then(|state| state.strip_prefix("s3://")) else { return Vec::new() };
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    let prefix = prefix.trim_end_matches('/');
    let objects = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
    let statement = |sid, actions: &[&'static str], resource: String| Statement {
        sid,
        actions: actions.iter().copied().collect(),
        resources: vec![resource],
        conditions: BTreeMap::new(),
    };
    vec![
        statement("StateBucket", &["s3:ListBucket"], format!("arn:{partition}:s3:::{bucket}")),
        statement("State", super::bucket::OBJECT_ACTIONS, format!("arn:{partition}:s3:::{bucket}/{objects}")),
    ]
}

/// Statements as documents of at most `most` characters each. A statement that is too long by itself is divided.
fn documents(statements: &[Statement], most: usize) -> Vec<Json> {
    let mut documents: Vec<Vec<Json>> = vec![Vec::new()];
    for statement in statements {
        for part in divided(statement, most) {
            let fits = |statements: &[Json]| {
                let with: Vec<Json> = statements.iter().cloned().chain([part.clone()]).collect();
                characters(&document(&with)) <= most
            };
            match documents.last_mut() {
                Some(last) if last.is_empty() || fits(last) => last.push(part),
                _ => documents.push(vec![part]),
            }
        }
    }
    documents.retain(|statements| !statements.is_empty());
    documents.iter().map(|statements| document(statements)).collect()
}

/// A statement in parts that fit a document each.
fn divided(statement: &Statement, most: usize) -> Vec<Json> {
    let whole = statement.json();
    if statement.actions.len() < 2 || characters(&document(std::slice::from_ref(&whole))) <= most {
        return vec![whole];
    }
    let actions: Vec<&'static str> = statement.actions.iter().copied().collect();
    let (first, second) = actions.split_at(actions.len() / 2);
    let half = |actions: &[&'static str]| Statement { actions: actions.iter().copied().collect(), ..statement.clone() };
    [half(first), half(second)].iter().flat_map(|half| divided(half, most)).collect()
}

fn document(statements: &[Json]) -> Json {
    // Sids are unique within a document.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let numbered = statements.iter().map(|statement| {
        let mut statement = statement.clone();
        let sid = statement["Sid"].as_str().unwrap_or_default().to_owned();
        let times = seen.entry(sid.clone()).or_default();
        *times += 1;
        if *times > 1 {
            statement["Sid"] = json!(format!("{sid}{times}"));
        }
        statement
    });
    json!({"Version": "2012-10-17", "Statement": numbered.collect::<Vec<_>>()})
}

/// As IAM counts: white space apart. No value here has any.
fn characters(document: &Json) -> usize {
    document.to_string().chars().filter(|c| !c.is_whitespace()).count()
}

impl Statement {
    fn json(&self) -> Json {
        let mut fields = Map::new();
        fields.insert("Sid".to_owned(), json!(self.sid));
        fields.insert("Effect".to_owned(), json!("Allow"));
        fields.insert("Action".to_owned(), json!(self.actions));
        fields.insert("Resource".to_owned(), one_or_many(&self.resources));
        if !self.conditions.is_empty() {
            let keys: Map<String, Json> =
                self.conditions.iter().map(|(key, values)| ((*key).to_owned(), one_or_many(values))).collect();
            fields.insert("Condition".to_owned(), json!({ "StringEquals": keys }));
        }
        Json::Object(fields)
    }
}

fn one_or_many(values: &[String]) -> Json {
    match values {
        [only] => json!(only),
        many => json!(many),
    }
}

/// The tag of a deployment as AWS holds it.
fn mark(deployment: &Deployment) -> String {
    tags::written(&deployment.0)
}

#[cfg(test)]
mod tests;
