//! Policy documents of IAM: as forge writes them, and what it reads in those that it finds.
//!
//! IAM hands documents back as they were given, percent-encoded. One list may be a single string, so documents are compared
//! by what they mean. A statement of which forge would not have written the like stands for itself, as text: it differs
//! from whatever is wanted, and the plan shows what it says.

use super::iam_role::Statement;
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const VERSION: &str = "2012-10-17";
/// EKS Pod Identity tags the sessions that it opens ("Create IAM role with trust policy required by EKS Pod Identity").
const TAGS_SESSIONS: &str = "pods.eks.amazonaws.com";

fn assuming(service: &str) -> BTreeSet<String> {
    let actions: &[&str] =
        if service == TAGS_SESSIONS { &["sts:AssumeRole", "sts:TagSession"] } else { &["sts:AssumeRole"] };
    actions.iter().map(|action| (*action).to_owned()).collect()
}

/// The document that lets services take a role on.
pub(super) fn trusting(services: &BTreeSet<String>) -> String {
    let statement = |service: &String| json!({ "Effect": "Allow", "Principal": { "Service": service }, "Action": assuming(service) });
    json!({ "Version": VERSION, "Statement": services.iter().map(statement).collect::<Vec<_>>() }).to_string()
}

/// The services that a document lets take the role on.
pub(super) fn trusted(document: &str) -> BTreeSet<String> {
    let trusted = |statement: &Json| {
        let principal = with_only(statement, &["Effect", "Principal", "Action"])?.get("Principal")?;
        let services = strings(with_only(principal, &["Service"])?.get("Service")?)?;
        let actions = strings(statement.get("Action")?)?;
        services.iter().all(|service| assuming(service) == actions).then_some(services)
    };
    let of = |statement: &Json| trusted(statement).unwrap_or_else(|| BTreeSet::from([statement.to_string()]));
    statements(document).iter().flat_map(of).collect()
}

/// The document that allows what is listed.
pub(super) fn allowing(allowed: &[Statement]) -> String {
    let statement = |one: &Statement| json!({ "Effect": "Allow", "Action": one.actions, "Resource": one.resources });
    json!({ "Version": VERSION, "Statement": allowed.iter().map(statement).collect::<Vec<_>>() }).to_string()
}

/// What a document allows.
pub(super) fn allowed(document: &str) -> Vec<Statement> {
    let allowed = |statement: &Json| {
        let fields = with_only(statement, &["Effect", "Action", "Resource"])?;
        Some(Statement { actions: strings(fields.get("Action")?)?, resources: strings(fields.get("Resource")?)? })
    };
    let of = |statement: &Json| {
        let foreign = || Statement { actions: BTreeSet::from([statement.to_string()]), resources: BTreeSet::new() };
        allowed(statement).unwrap_or_else(foreign)
    };
    statements(document).iter().map(of).collect()
}

/// The statements of a document; the document itself when it is none.
fn statements(document: &str) -> Vec<Json> {
    let text = percent_decode_str(document).decode_utf8_lossy();
    let Ok(read) = serde_json::from_str::<Json>(&text) else { return vec![Json::String(text.into_owned())] };
    match read.get("Statement") {
        Some(Json::Array(statements)) => statements.clone(),
        Some(one) => vec![one.clone()],
        None => vec![read],
    }
}

/// The fields of an object that has no others; of a statement, if it allows.
fn with_only<'a>(json: &'a Json, names: &[&str]) -> Option<&'a serde_json::Map<String, Json>> {
    let fields = json.as_object()?;
    let allows = fields.get("Effect").is_none_or(|effect| effect == "Allow");
    (allows && fields.keys().all(|name| names.contains(&name.as_str()))).then_some(fields)
}

/// One string, or a list of them.
fn strings(json: &Json) -> Option<BTreeSet<String>> {
    match json {
        Json::String(one) => Some(BTreeSet::from([one.clone()])),
        Json::Array(many) => many.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn documents_say_what_they_were_made_of() {
        let services = set(&["ec2.amazonaws.com", "pods.eks.amazonaws.com"]);
        assert_eq!(trusted(&trusting(&services)), services);
        let one = Statement { actions: set(&["s3:GetObject", "s3:PutObject"]), resources: set(&["arn:aws:s3:::b/*"]) };
        assert_eq!(allowed(&allowing(std::slice::from_ref(&one))), [one]);
    }

    #[test]
    fn documents_are_read_as_others_write_them() {
        let document = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%5B%22a+b%22%5D%7D%7D";
        assert_eq!(allowed(document), [Statement { actions: set(&["s3:*"]), resources: set(&["a+b"]) }]);
        let document =
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":["a","b"]},"Action":["sts:AssumeRole"]}]}"#;
        assert_eq!(trusted(document), set(&["a", "b"]));
    }

    #[test]
    fn what_forge_would_not_write_stands_for_itself() {
        let denied = r#"{"Action":"s3:*","Effect":"Deny","Resource":"*"}"#;
        let found = allowed(&format!(r#"{{"Statement":[{denied}]}}"#));
        assert_eq!(found, [Statement { actions: set(&[denied]), resources: set(&[]) }]);
        let anyone = r#"{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"AWS":"*"}}"#;
        assert_eq!(trusted(&format!(r#"{{"Statement":[{anyone}]}}"#)), set(&[anyone]));
        assert_eq!(trusted("no document"), set(&["\"no document\""]));
    }

    #[test]
    fn a_document_of_trust_is_whole() {
        assert_eq!(
            trusting(&set(&["pods.eks.amazonaws.com"])),
            r#"{"Statement":[{"Action":["sts:AssumeRole","sts:TagSession"],"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"}}],"Version":"2012-10-17"}"#
        );
    }
}
