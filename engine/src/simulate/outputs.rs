//! Outputs that look like a provider's.
//!
//! A real kind says only which outputs it has, not what they look like. Names are enough to go by: an `arn` is an ARN, a
//! `name` is what the specification says, a version counts.

use crate::kind::AnyKind;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// `subnet` of `aws.subnet`.
pub(super) fn short(kind: &str) -> &str {
    kind.rsplit('.').next().unwrap_or(kind)
}

/// All outputs of the resource `id` after its `revision`th change.
pub(super) fn synthesize(kind: &dyn AnyKind, id: &str, spec: &Json, revision: u64) -> BTreeMap<String, Json> {
    let volatile = kind.volatile_outputs();
    let output = |name: &str| match spec.get(name).and_then(Json::as_str) {
        _ if volatile.contains(&name) => revision.to_string(),
        Some(given) if name != "id" => given.to_owned(),
        _ => plausible(kind, name, id),
    };
    kind.outputs().iter().map(|name| ((*name).to_owned(), Json::String(output(name)))).collect()
}

fn plausible(kind: &dyn AnyKind, name: &str, id: &str) -> String {
    match name {
        "id" | "name" => id.to_owned(),
        "arn" => format!("arn:sim:{}:here:000000000000:{}/{id}", kind.service(), short(kind.name())),
        "address" => {
            let [.., a, b, c] = digest(id).to_be_bytes();
            format!("10.{a}.{b}.{c}")
        }
        "path" => format!("/simulated/{id}"),
        "url" => format!("sim://{id}"),
        "dns_name" => format!("{id}.simulated.invalid"),
        "endpoint" | "issuer" => format!("https://{id}.simulated.invalid"),
        "starts" => "2030-01-01T11:30:00Z".to_owned(),
        "ends" => "2030-01-02T11:30:00Z".to_owned(),
        "zone" => "sim-1a".to_owned(),
        "version" | "latest_version" => "1".to_owned(),
        _ => format!("{name}-of-{id}"),
    }
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
