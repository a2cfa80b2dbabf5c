//! What kinds say they cost.

use forge_engine::kind::Kinds;
use forge_modules::aws::{kinds, kinds_in};
use serde_json::{Value as Json, json};

fn cents(kinds: &Kinds, kind: &str, spec: &Json) -> Option<i64> {
    let hourly = kinds.get(kind)?.hourly(spec)?;
    #[allow(clippy::cast_possible_truncation, reason = "a small number")]
    Some((hourly.0 * 100.0).round() as i64)
}

#[test]
fn what_is_known_is_told_and_what_is_not_is_not() {
    let (east, west) = (kinds_in(Some("us-east-1")), kinds_in(Some("us-west-2")));
    let reserved = json!({"instance_type": "p5.48xlarge", "count": 2, "zone": "us-east-1a"});
    assert_eq!(cents(&east, "aws.capacity_reservation", &reserved), Some(11008));
    assert_eq!(cents(&west, "aws.capacity_reservation", &reserved), None);
    assert_eq!(cents(&kinds(), "aws.capacity_reservation", &reserved), None);
    let bought = json!({"instance_type": "p5.48xlarge", "count": 2, "days": 7, "max_price_usd": 20000.0});
    assert_eq!(cents(&west, "aws.capacity_block", &bought), Some(8306));
    assert_eq!(cents(&west, "aws.vpc", &json!({"cidr": "10.0.0.0/16"})), Some(0));
    let endpoint = |form| json!({"vpc": "v", "service": "com.amazonaws.us-east-1.s3", "form": form});
    assert_eq!(cents(&east, "aws.vpc_endpoint", &endpoint("gateway")), Some(0));
    assert_eq!(cents(&east, "aws.vpc_endpoint", &endpoint("interface")), None);
}
