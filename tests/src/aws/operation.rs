//! Which operation of which service a request is, read from the request alone, as the protocols of AWS say.
//!
//! - *Query* (EC2, IAM, STS, Auto Scaling): a form in the body whose `Action` names it.
//! - *JSON* (FSx, SSM, Service Quotas, Pricing, tagging): the header `X-Amz-Target: Something.Action`.
//! - *REST JSON* (EKS): method and path; `eks.rs` has the table, after the service's model.
//! - *REST XML* (S3): method, path and the names of the query; `s3.rs` has the rules. AWS's own clients add `x-id=Action`
//!   to many of them, which is believed.
//!
//! The service is the one that the signature is for: `Credential=KEY/date/region/SERVICE/aws4_request`, in the header or, in
//! a presigned address, in the query.

mod eks;
mod s3;

use hyper::Request;
use hyper::body::Bytes;
use std::fmt;

/// In which form a service is asked and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A form in, XML out, errors as only EC2 has them.
    Ec2,
    /// A form in, XML out.
    Query,
    /// JSON with a target in a header; this is the version of `application/x-amz-json-…`.
    Json(&'static str),
    /// JSON with methods and paths.
    RestJson,
    /// XML with methods and paths.
    RestXml,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The service as signatures name it: `ec2`, `servicequotas`, `tagging`. `unknown` when nothing tells.
    pub service: String,
    /// The action as the service's model names it: `CreateVpc`. `Unknown` when nothing tells.
    pub action: String,
    /// Whether it may change something; no reading action does, and no dry run.
    pub mutating: bool,
    /// What it is about, as far as that is cheap to see: `VpcId` and `vpc-1`.
    pub identifiers: Vec<(String, String)>,
    /// How the service answers.
    pub form: Form,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.action)
    }
}

/// First words of actions that change nothing. `AssumeRole` and `CreateSession` make credentials, which nobody has to clear
/// away.
const READING: [&str; 16] = [
    "Assume",
    "Check",
    "CreateSession",
    "Decode",
    "Describe",
    "Estimate",
    "Filter",
    "Generate",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Preview",
    "Search",
    "Select",
    "Simulate",
];
/// How the names of parameters end that say what a request is about.
const IDENTIFYING: [&str; 6] = ["Arn", "Id", "Ids", "Name", "Token", "Bucket"];
/// `XxxId.1` is wanted, `Filter.1.Value.1` and the like are not.
const NOT_IDENTIFYING: [&str; 4] = ["Filter", "TagSpecification", "Tag.", "Tags."];
const MANY_IDENTIFIERS: usize = 8;

impl Operation {
    /// The operation that a request is.
    #[must_use]
    pub fn of(request: &Request<Bytes>) -> Self {
        let content = header(request, "content-type");
        let fields = if content.starts_with("application/x-www-form-urlencoded") {
            pairs(&String::from_utf8_lossy(request.body()))
        } else {
            Vec::new()
        };
        let signed = signed_service(request);
        if let Some(action) = value(&fields, "Action") {
            return Self::query(signed, action, &fields);
        }
        if let Some((target, action)) = header(request, "x-amz-target").rsplit_once('.') {
            let service = signed.or_else(|| by_target(target).map(str::to_owned));
            return Self::json(service, action, content, request.body());
        }
        let path = request.uri().path();
        match signed.as_deref() {
            Some("eks") => Self::named("eks", eks::operation(request.method(), path), Form::RestJson),
            Some("s3" | "s3express") => Self::named("s3", s3::operation(request), Form::RestXml),
            Some(service) => Self::named(service, None, Form::RestJson),
            None => Self::named("unknown", None, Form::RestJson),
        }
    }

    fn query(signed: Option<String>, action: &str, fields: &[(String, String)]) -> Self {
        let version = || value(fields, "Version").and_then(by_version).map(str::to_owned);
        let service = signed.or_else(version).unwrap_or_else(|| "unknown".to_owned());
        let form = if service == "ec2" { Form::Ec2 } else { Form::Query };
        let dry = value(fields, "DryRun").is_some_and(|dry| dry.eq_ignore_ascii_case("true"));
        let mutating = !dry && !reads(action);
        Self { mutating, identifiers: identifiers(fields.iter().cloned()), action: action.to_owned(), service, form }
    }

    fn json(service: Option<String>, action: &str, content: &str, body: &Bytes) -> Self {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
        let texts = object.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
        Self {
            service: service.unwrap_or_else(|| "unknown".to_owned()),
            action: action.to_owned(),
            mutating: !reads(action),
            identifiers: identifiers(texts),
            form: Form::Json(if content.ends_with("json-1.0") { "1.0" } else { "1.1" }),
        }
    }

    fn named(service: &str, found: Option<(String, Vec<(String, String)>)>, form: Form) -> Self {
        let (action, identifiers) = found.unwrap_or_else(|| ("Unknown".to_owned(), Vec::new()));
        Self { service: service.to_owned(), mutating: !reads(&action), action, identifiers, form }
    }
}

fn reads(action: &str) -> bool {
    READING.iter().any(|first| action.starts_with(first))
}

fn identifiers(fields: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let wanted = |name: &str| {
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let ends = IDENTIFYING.iter().any(|end| bare.ends_with(end));
        ends && !NOT_IDENTIFYING.iter().any(|start| name.starts_with(start))
    };
    fields.filter(|(name, value)| wanted(name) && !value.is_empty()).take(MANY_IDENTIFIERS).collect()
}

fn signed_service(request: &Request<Bytes>) -> Option<String> {
    let in_header = header(request, "authorization").split_once("Credential=").map(|(_, rest)| rest.to_owned());
    let in_query = || value(&pairs(request.uri().query().unwrap_or_default()), "X-Amz-Credential").map(str::to_owned);
    let credential = in_header.or_else(in_query)?;
    let scope = credential.split([',', ' ']).next()?;
    // The key may have a slash in it; the end of the scope is fixed.
    scope.rsplit('/').nth(1).map(str::to_owned)
}

/// Requests that carry no signature, as `AssumeRoleWithWebIdentity`, still tell the version of the service's API.
fn by_version(version: &str) -> Option<&'static str> {
    match version {
        "2016-11-15" => Some("ec2"),
        "2010-05-08" => Some("iam"),
        "2011-06-15" => Some("sts"),
        "2011-01-01" => Some("autoscaling"),
        _ => None,
    }
}

fn by_target(target: &str) -> Option<&'static str> {
    match target {
        "AWSSimbaAPIService_v20180301" => Some("fsx"),
        "AmazonSSM" => Some("ssm"),
        "ServiceQuotasV20190624" => Some("servicequotas"),
        "AWSPriceListService" => Some("pricing"),
        "ResourceGroupsTaggingAPI_20170126" => Some("tagging"),
        _ => None,
    }
}

fn header<'r>(request: &'r Request<Bytes>, name: &str) -> &'r str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn value<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The fields of `application/x-www-form-urlencoded` text.
fn pairs(text: &str) -> Vec<(String, String)> {
    let fields = text.split('&').filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// Text without its percent-encoding.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
