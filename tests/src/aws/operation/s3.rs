//! S3 by method, path and query.

use super::{decoded, header, pairs, value};
use hyper::body::Bytes;
use hyper::{Method, Request};

/// What a name in the query makes of a request for a bucket: `Get`, `Put` or `Delete` and this.
const OF_BUCKET: &[(&str, &str)] = &[
    ("abac", "BucketAbac"),
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("analytics", "BucketAnalyticsConfiguration"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("intelligent-tiering", "BucketIntelligentTieringConfiguration"),
    ("inventory", "BucketInventoryConfiguration"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("metrics", "BucketMetricsConfiguration"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("replication", "BucketReplication"),
    ("requestPayment", "BucketRequestPayment"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("website", "BucketWebsite"),
];
/// The same for an object.
const OF_OBJECT: &[(&str, &str)] = &[
    ("acl", "ObjectAcl"),
    ("attributes", "ObjectAttributes"),
    ("legal-hold", "ObjectLegalHold"),
    ("retention", "ObjectRetention"),
    ("tagging", "ObjectTagging"),
    ("torrent", "ObjectTorrent"),
];

/// The action, and bucket and key.
pub(super) fn operation(request: &Request<Bytes>) -> Option<(String, Vec<(String, String)>)> {
    let query = pairs(request.uri().query().unwrap_or_default());
    let (bucket, key) = place(request);
    let action = value(&query, "x-id").map(str::to_owned).or_else(|| {
        let has = |name: &str| value(&query, name).is_some();
        match (bucket.is_empty(), key.is_empty()) {
            (true, _) => (request.method() == Method::GET).then(|| "ListBuckets".to_owned()),
            (false, true) => of_bucket(request.method(), has),
            (false, false) => of_object(request, has),
        }
    })?;
    let named = [("Bucket", bucket), ("Key", key)];
    let identifiers = named.into_iter().filter(|(_, value)| !value.is_empty());
    Some((action, identifiers.map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// Bucket and key, from the path, or from host and path where the bucket is a part of the host's name.
fn place(request: &Request<Bytes>) -> (String, String) {
    let path = request.uri().path().trim_start_matches('/');
    let host = header(request, "host").split(':').next().unwrap_or_default();
    let labelled = [".s3.", ".s3-", ".localhost"].iter().filter_map(|mark| host.find(mark)).min();
    let (bucket, key) = match labelled {
        Some(at) => (&host[..at], path),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    (decoded(bucket), decoded(key))
}

fn of_bucket(method: &Method, has: impl Fn(&str) -> bool) -> Option<String> {
    let name = match *method {
        Method::HEAD => "HeadBucket",
        Method::POST if has("delete") => "DeleteObjects",
        Method::GET if has("uploads") => "ListMultipartUploads",
        Method::GET if has("versions") => "ListObjectVersions",
        Method::GET if has("list-type") => "ListObjectsV2",
        Method::GET if has("session") => "CreateSession",
        Method::DELETE if has("lifecycle") => "DeleteBucketLifecycle",
        _ => {
            let verb = verb(method)?;
            let part = OF_BUCKET.iter().find(|(mark, _)| has(mark));
            return match (verb, part) {
                (verb, Some((_, part))) => Some(format!("{verb}{part}")),
                ("Get", None) => Some("ListObjects".to_owned()),
                ("Put", None) => Some("CreateBucket".to_owned()),
                (_, None) => Some("DeleteBucket".to_owned()),
            };
        }
    };
    Some(name.to_owned())
}

fn of_object(request: &Request<Bytes>, has: impl Fn(&str) -> bool) -> Option<String> {
    let copies = request.headers().contains_key("x-amz-copy-source");
    let name = match *request.method() {
        Method::HEAD => "HeadObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        Method::POST if has("restore") => "RestoreObject",
        Method::POST if has("select") => "SelectObjectContent",
        Method::GET if has("uploadId") => "ListParts",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::PUT if has("partNumber") && copies => "UploadPartCopy",
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT if has("renameObject") => "RenameObject",
        Method::PUT if has("encryption") => "UpdateObjectEncryption",
        Method::PUT if copies => "CopyObject",
        _ => {
            let verb = verb(request.method())?;
            let part = OF_OBJECT.iter().find(|(mark, _)| has(mark)).map_or("Object", |(_, part)| part);
            return Some(format!("{verb}{part}"));
        }
    };
    Some(name.to_owned())
}

fn verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET => Some("Get"),
        Method::PUT => Some("Put"),
        Method::DELETE => Some("Delete"),
        _ => None,
    }
}
