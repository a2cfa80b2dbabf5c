//! What Auto Scaling says of its attempts to start instances.
//!
//! A group tells of them in scaling activities, whose status message repeats in prose what EC2 has said, as a rule without
//! its code. The phrases here are those of EC2's messages for the codes that matter ("Troubleshoot Amazon EC2 Auto Scaling",
//! "instance launch failure", and "Error codes for the Amazon EC2 API").

use super::error::said;
use aws_sdk_autoscaling::types::{Activity, ScalingActivityStatusCode};
use forge_engine::kind::{ErrorClass, KindError};

/// What a message contains, and the code of EC2 that it stands for.
const PHRASES: &[(&str, &str)] = &[
    ("PendingActivation", "InvalidCapacityReservationState.PendingActivation"),
    ("InsufficientInstanceCapacity", "InsufficientInstanceCapacity"),
    ("do not have sufficient", "InsufficientInstanceCapacity"),
    ("is no Spot capacity available", "UnfulfillableCapacity"),
    ("UnfulfillableCapacity", "UnfulfillableCapacity"),
    ("ReservationCapacityExceeded", "ReservationCapacityExceeded"),
    ("does not have sufficient capacity", "ReservationCapacityExceeded"),
    ("InsufficientFreeAddressesInSubnet", "InsufficientFreeAddressesInSubnet"),
    ("not enough free addresses", "InsufficientFreeAddressesInSubnet"),
    ("requested configuration is currently not supported", "Unsupported"),
    ("not supported in your requested Availability Zone", "Unsupported"),
    ("VcpuLimitExceeded", "VcpuLimitExceeded"),
    ("vCPU capacity than your current vCPU limit", "VcpuLimitExceeded"),
    ("MaxSpotInstanceCountExceeded", "MaxSpotInstanceCountExceeded"),
    ("Max spot instance count exceeded", "MaxSpotInstanceCountExceeded"),
];

/// The code that a status message stands for.
pub(super) fn code_of(message: &str) -> Option<&'static str> {
    PHRASES.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, code)| *code)
}

/// Where an instance was to be started, as an activity's details have it: `{"Subnet ID": "subnet-1", …}`.
fn subnet(activity: &Activity) -> Option<String> {
    let details: serde_json::Value = serde_json::from_str(activity.details()?).ok()?;
    details["Subnet ID"].as_str().map(str::to_owned)
}

/// What the latest activities say, the latest first: what keeps instances from being started in these subnets, for as long as
/// that may pass. What a group has tried in others, before it was moved, says nothing of it any more.
///
/// # Errors
/// When there is no capacity or no quota: waiting for those has no end in sight.
pub(super) fn judge(activities: &[Activity], subnets: &[&str]) -> Result<Option<String>, KindError> {
    let here = |activity: &&Activity| subnet(activity).is_none_or(|subnet| subnets.contains(&subnet.as_str()));
    let Some(latest) = activities.iter().find(here) else { return Ok(None) };
    if latest.status_code() != Some(&ScalingActivityStatusCode::Failed) {
        return Ok(None);
    }
    let Some(message) = latest.status_message() else { return Ok(None) };
    let Some(code) = code_of(message) else { return Ok(Some(message.to_owned())) };
    let error = said("ec2:RunInstances", code, message, None);
    if error.class == ErrorClass::NotYetVisible { Ok(Some(message.to_owned())) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(status: ScalingActivityStatusCode, said: &str) -> Activity {
        Activity::builder().status_code(status).status_message(said).build()
    }

    fn failed(said: &str) -> Activity {
        activity(ScalingActivityStatusCode::Failed, said)
    }

    const NONE_LEFT: &str = "We currently do not have sufficient p5.48xlarge capacity in the Availability Zone you requested (us-west-2a). Our system will be working on provisioning additional capacity. Launching EC2 instance failed.";

    #[test]
    fn no_capacity_is_said_in_the_words_of_aws() {
        let error = judge(&[failed(NONE_LEFT)], &[]).unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
        assert_eq!(error.message, format!("ec2:RunInstances: {NONE_LEFT} (InsufficientInstanceCapacity)"));
        let quota = "You have requested more vCPU capacity than your current vCPU limit of 64 allows for the instance bucket that the specified instance type belongs to. Launching EC2 instance failed.";
        let error = judge(&[failed(quota)], &[]).unwrap_err();
        assert_eq!(error.class, ErrorClass::Terminal);
        assert!(error.help.unwrap().starts_with("A quota of the account is used up."));
    }

    #[test]
    fn what_was_tried_elsewhere_says_nothing() {
        let of = |subnet: &str| {
            let details = format!(r#"{{"Subnet ID":"{subnet}","Availability Zone":"us-west-2a"}}"#);
            let failed = Activity::builder().status_code(ScalingActivityStatusCode::Failed).status_message(NONE_LEFT);
            failed.details(details).build()
        };
        assert_eq!(judge(&[of("subnet-a")], &["subnet-b"]).unwrap(), None);
        assert!(judge(&[of("subnet-a"), of("subnet-b")], &["subnet-b"]).is_err());
    }

    #[test]
    fn a_group_that_tries_again_is_waited_for() {
        let trying = activity(ScalingActivityStatusCode::InProgress, "");
        assert_eq!(judge(&[trying, failed(NONE_LEFT)], &[]).unwrap(), None);
        assert_eq!(judge(&[], &[]).unwrap(), None);
        let other = "Invalid IAM Instance Profile name. Launching EC2 instance failed.";
        assert_eq!(judge(&[failed(other)], &[]).unwrap().as_deref(), Some(other));
        let early = "The Capacity Block has not begun (InvalidCapacityReservationState.PendingActivation).";
        assert_eq!(judge(&[failed(early)], &[]).unwrap().as_deref(), Some(early));
    }
}
