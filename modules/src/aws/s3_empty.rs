//! Emptying a bucket: S3 deletes only those in which nothing is left.
//!
//! What is left of a bucket are current objects, old versions, the markers that deletions of versioned objects leave, and the
//! parts of uploads that were never completed. One list (ListObjectVersions) names the first three, in a bucket without
//! versions too. DeleteObjects takes 1,000 of them. S3 takes 3,500 deletions a second for each prefix ("Best practices design
//! patterns: optimizing Amazon S3 performance") and answers with `SlowDown` beyond.

use super::cloud::Cloud;
use super::error::{Answer, classify, unbuilt};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use forge_engine::kind::KindError;
use futures::stream::{self, Stream, TryStreamExt};

/// How many batches are on their way at once: of 1,000 objects each, so that the limit of S3 is the bound and not the round
/// trips.
const BATCHES: usize = 8;
/// How many uploads are given up at once; each takes a call.
const UPLOADS: usize = 16;

/// One page of what is in a bucket, and where the next begins.
struct Page<Item, Marker> {
    items: Vec<Item>,
    next: Option<Marker>,
}

/// Where a list goes on: a key, and a version or an upload of it.
type Marker = (Option<String>, Option<String>);

/// Deletes everything in a bucket; nothing when there is no such bucket.
pub(super) async fn empty_bucket(cloud: &Cloud, bucket: &str) -> Result<(), KindError> {
    pages(|from| versions(cloud, bucket, from))
        .map_ok(|items| delete(cloud, bucket, items))
        .try_buffer_unordered(BATCHES)
        .try_collect::<()>()
        .await?;
    pages(|from| uploads(cloud, bucket, from))
        .map_ok(|items| stream::iter(items.into_iter().map(Ok)))
        .try_flatten()
        .map_ok(|(key, upload)| abort(cloud, bucket, key, upload))
        .try_buffer_unordered(UPLOADS)
        .try_collect::<()>()
        .await
}

/// All pages that hold anything. The next one is asked for once the one before has been taken.
fn pages<Item, F>(page: impl Fn(Marker) -> F) -> impl Stream<Item = Result<Vec<Item>, KindError>>
where
    F: Future<Output = Result<Page<Item, Marker>, KindError>>,
{
    stream::try_unfold((Some((None, None)), page), |(from, page)| async move {
        let Some(from) = from else { return Ok(None) };
        let Page { items, next } = page(from).await?;
        Ok(Some((items, (next, page))))
    })
    .try_filter(|items| std::future::ready(!items.is_empty()))
}

async fn versions(
    cloud: &Cloud,
    bucket: &str,
    (key, version): Marker,
) -> Result<Page<ObjectIdentifier, Marker>, KindError> {
    let call = cloud.s3().await.list_object_versions().bucket(bucket);
    let call = call.set_key_marker(key).set_version_id_marker(version);
    let answer = call.send().await.of_present(cloud, "s3:ListBucketVersions")?;
    let Some(answer) = answer else { return Ok(Page { items: Vec::new(), next: None }) };
    let more = answer.is_truncated.unwrap_or_default() && answer.next_key_marker.is_some();
    let next = more.then_some((answer.next_key_marker, answer.next_version_id_marker));
    let versions = answer.versions.unwrap_or_default().into_iter().map(|version| (version.key, version.version_id));
    let markers = answer.delete_markers.unwrap_or_default().into_iter().map(|marker| (marker.key, marker.version_id));
    let built = versions.chain(markers).filter_map(|(key, version)| {
        Some(ObjectIdentifier::builder().key(key?).set_version_id(version).build().map_err(unbuilt))
    });
    Ok(Page { items: built.collect::<Result<_, _>>()?, next })
}

async fn delete(cloud: &Cloud, bucket: &str, items: Vec<ObjectIdentifier>) -> Result<(), KindError> {
    const CALL: &str = "s3:DeleteObjectVersion";
    let what = Delete::builder().set_objects(Some(items)).quiet(true).build().map_err(unbuilt)?;
    let call = cloud.s3().await.delete_objects().bucket(bucket).delete(what);
    let answer = call.send().await.of_present(cloud, CALL)?;
    // The call succeeds although objects in it have failed; it names them.
    let Some(failed) = answer.and_then(|answer| answer.errors).unwrap_or_default().into_iter().next() else {
        return Ok(());
    };
    let code = failed.code.unwrap_or_default();
    let reason = failed.message.unwrap_or_else(|| "no reason given".to_owned());
    let (class, help) = classify(CALL, &code, &reason, None);
    let key = failed.key.unwrap_or_default();
    Err(KindError { class, message: format!("{CALL}: {bucket}/{key}: {reason} ({code})"), help, source: None })
}

async fn uploads(
    cloud: &Cloud,
    bucket: &str,
    (key, upload): Marker,
) -> Result<Page<(String, String), Marker>, KindError> {
    let call = cloud.s3().await.list_multipart_uploads().bucket(bucket);
    let call = call.set_key_marker(key).set_upload_id_marker(upload);
    let answer = call.send().await.of_present(cloud, "s3:ListBucketMultipartUploads")?;
    let Some(answer) = answer else { return Ok(Page { items: Vec::new(), next: None }) };
    let more = answer.is_truncated.unwrap_or_default() && answer.next_key_marker.is_some();
    let next = more.then_some((answer.next_key_marker, answer.next_upload_id_marker));
    let items = answer.uploads.unwrap_or_default().into_iter().filter_map(|upload| upload.key.zip(upload.upload_id));
    Ok(Page { items: items.collect(), next })
}

async fn abort(cloud: &Cloud, bucket: &str, key: String, upload: String) -> Result<(), KindError> {
    let call = cloud.s3().await.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload);
    // Completed or given up meanwhile: there is no such upload.
    let gone = &["NoSuchUpload", "NoSuchBucket"];
    call.send().await.unless(gone, cloud, "s3:AbortMultipartUpload").map(|_| ())
}
