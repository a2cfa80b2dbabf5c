//! The settings of a bucket as S3 writes them: names, life cycles, policies.

use super::error::unbuilt;
use super::s3_bucket::Lifecycle;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration, Transition, TransitionStorageClass,
};
use forge_engine::kind::KindError;
use serde_json::{Value as Json, json};

/// The rule that gives up uploads.
const UPLOADS: &str = "forge-uploads";
/// What the names of all other rules begin with; their place in the list follows.
const RULE: &str = "forge-";
/// The statement that refuses what does not come over TLS.
const TLS_ONLY: &str = "ForgeTlsOnly";

/// Whether S3 takes a name.
///
/// # Errors
/// What is wrong with it (S3 User Guide, general purpose bucket naming rules).
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let address = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    let begins = ["xn--", "sthree-", "amzn-s3-demo-"].iter().find(|kept| name.starts_with(**kept));
    let ends = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().find(|kept| name.ends_with(**kept));
    let wrong = if !(3..=63).contains(&name.len()) {
        format!("it has {} characters; 3 to 63 are allowed", name.len())
    } else if let Some(other) = name.chars().find(|c| !plain(*c)) {
        format!("{other:?} is not allowed, only a-z, 0-9, `-` and `.`")
    } else if !is_end(name.chars().next()) || !is_end(name.chars().last()) {
        "it must begin and end with a letter or a digit".to_owned()
    } else if name.contains("..") || address {
        "it must neither have two dots in a row nor look like an IP address".to_owned()
    } else if let Some(kept) = begins.or(ends) {
        format!("S3 keeps names with `{kept}` to itself")
    } else {
        return Ok(());
    };
    Err(format!("S3 does not take {name:?} as the name of a bucket: {wrong}"))
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn known_days(days: Option<i32>) -> Option<u32> {
    days.and_then(|days| u32::try_from(days).ok())
}

fn rule(id: String, prefix: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
    let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
    LifecycleRule::builder().id(id).filter(filter).status(ExpirationStatus::Enabled)
}

/// The rules of a bucket: one for uploads, and one for each that was asked for.
///
/// Where old versions are deleted and current ones are not, the markers that deletions leave behind are deleted as well once
/// no version is left under them; with `expire_days` S3 does so by itself.
pub(super) fn rules(lifecycle: &[Lifecycle], uploads: u32) -> Result<BucketLifecycleConfiguration, KindError> {
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(days(uploads)).build();
    let first = rule(UPLOADS.to_owned(), "").abort_incomplete_multipart_upload(abort).build().map_err(unbuilt)?;
    let mut rules = BucketLifecycleConfiguration::builder().rules(first);
    for (place, asked) in lifecycle.iter().enumerate() {
        let mut built = rule(format!("{RULE}{place:03}"), &asked.prefix);
        if let Some(after) = asked.archive_days {
            let storage = TransitionStorageClass::GlacierIr;
            built = built.transitions(Transition::builder().days(days(after)).storage_class(storage).build());
        }
        if let Some(after) = asked.expire_days {
            built = built.expiration(LifecycleExpiration::builder().days(days(after)).build());
        }
        if let Some(after) = asked.keep_old_versions_days {
            let old = NoncurrentVersionExpiration::builder().noncurrent_days(days(after)).build();
            built = built.noncurrent_version_expiration(old);
            if asked.expire_days.is_none() {
                built = built.expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build());
            }
        }
        rules = rules.rules(built.build().map_err(unbuilt)?);
    }
    rules.build().map_err(unbuilt)
}

/// What rules ask for: of objects, and of uploads (0: nothing). Rules that others have added count as well.
pub(super) fn read_rules(rules: Vec<LifecycleRule>) -> (Vec<Lifecycle>, u32) {
    let mut rules: Vec<LifecycleRule> =
        rules.into_iter().filter(|rule| rule.status == ExpirationStatus::Enabled).collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    let (mut lifecycle, mut uploads) = (Vec::new(), 0);
    for rule in rules {
        if let Some(abort) = rule.abort_incomplete_multipart_upload() {
            uploads = known_days(abort.days_after_initiation).unwrap_or_default();
        }
        if rule.id() == Some(UPLOADS) {
            continue;
        }
        let filter = rule.filter();
        let prefix = filter.and_then(|filter| filter.prefix().or(filter.and().and_then(|and| and.prefix())));
        let archive = rule.transitions().iter().find(|to| to.storage_class == Some(TransitionStorageClass::GlacierIr));
        lifecycle.push(Lifecycle {
            prefix: prefix.unwrap_or_default().to_owned(),
            archive_days: archive.and_then(|to| known_days(to.days)),
            expire_days: rule.expiration().and_then(|expiration| known_days(expiration.days)),
            keep_old_versions_days: rule
                .noncurrent_version_expiration()
                .and_then(|expiration| known_days(expiration.noncurrent_days)),
        });
    }
    (lifecycle, uploads)
}

/// A bucket's policy with the statement that refuses what does not come over TLS; none when it has it. Other statements are
/// left as they are. A policy that cannot be read is nobody's to write over, so that it is an error.
///
/// # Errors
/// When it cannot be read.
pub(super) fn tls_only(policy: Option<&str>, arn: &str) -> Result<Option<String>, KindError> {
    let statement = json!({
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, format!("{arn}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    });
    let unread = |error| KindError::caused(format!("the policy of {arn} cannot be understood"), error);
    let mut policy: Json = match policy {
        Some(text) => serde_json::from_str(text).map_err(unread)?,
        None => json!({ "Version": "2012-10-17", "Statement": [] }),
    };
    // One statement may stand without a list.
    let mut statements = match policy.get_mut("Statement").map(Json::take) {
        Some(Json::Array(statements)) => statements,
        Some(Json::Null) | None => Vec::new(),
        Some(only) => vec![only],
    };
    if statements.contains(&statement) {
        return Ok(None);
    }
    statements.retain(|other| other.get("Sid").and_then(Json::as_str) != Some(TLS_ONLY));
    statements.push(statement);
    policy["Statement"] = Json::Array(statements);
    Ok(Some(policy.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_s3_does() {
        for good in ["abc", "forge-data-123456789012-us-west-2", "a.b-c"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for (bad, why) in [
            ("ab", "it has 2 characters; 3 to 63 are allowed"),
            ("My-data", "'M' is not allowed, only a-z, 0-9, `-` and `.`"),
            ("data-", "it must begin and end with a letter or a digit"),
            ("a..b", "it must neither have two dots in a row nor look like an IP address"),
            ("10.0.0.1", "it must neither have two dots in a row nor look like an IP address"),
            ("xn--data", "S3 keeps names with `xn--` to itself"),
            ("data-s3alias", "S3 keeps names with `-s3alias` to itself"),
        ] {
            let message = format!("S3 does not take {bad:?} as the name of a bucket: {why}");
            assert_eq!(check_name(bad), Err(message));
        }
    }

    #[test]
    fn rules_are_read_as_they_were_written() {
        let asked = [
            Lifecycle {
                prefix: String::new(),
                archive_days: Some(30),
                expire_days: None,
                keep_old_versions_days: Some(7),
            },
            Lifecycle {
                prefix: "logs/".to_owned(),
                archive_days: None,
                expire_days: Some(90),
                keep_old_versions_days: None,
            },
        ];
        let written = rules(&asked, 3).unwrap();
        let markers = |n: usize| written.rules()[n].expiration().and_then(|e| e.expired_object_delete_marker());
        assert_eq!((markers(1), markers(2)), (Some(true), None));
        let mut shuffled = written.rules().to_vec();
        shuffled.reverse();
        assert_eq!(read_rules(shuffled), (asked.to_vec(), 3));
        assert_eq!(read_rules(Vec::new()), (Vec::new(), 0));
    }

    #[test]
    fn tls_is_required_besides_what_a_policy_says_already() {
        let arn = "arn:aws:s3:::data";
        let written = tls_only(None, arn).unwrap().unwrap();
        assert_eq!(tls_only(Some(&written), arn).unwrap(), None);
        assert!(written.contains(r#""aws:SecureTransport":"false""#), "{written}");
        let theirs = json!({ "Version": "2012-10-17", "Statement": { "Sid": "Theirs", "Effect": "Deny" } });
        let both: Json = serde_json::from_str(&tls_only(Some(&theirs.to_string()), arn).unwrap().unwrap()).unwrap();
        let sids: Vec<_> = both["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].clone()).collect();
        assert_eq!(sids, ["Theirs", TLS_ONLY]);
        assert!(tls_only(Some("{"), arn).is_err());
    }
}
