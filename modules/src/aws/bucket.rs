//! A bucket of S3 in which forge keeps a deployment's state.
//!
//! S3 has what that takes since 2024: `If-None-Match: *` and `If-Match` on PutObject, and `If-Match` on DeleteObject ("How to
//! prevent object overwrites with conditional writes", "Conditional deletes" in the S3 User Guide). Reads and lists are
//! consistent with the writes before them.
//!
//! Calls run on a thread of their own: the lease in the bucket must be renewed whatever the rest of forge does, also while
//! it waits for an answer on the terminal, and connections must not end with the runtime of whoever happened to call.

use super::cloud::Cloud;
use super::error::{CREDENTIALS, chain, classify, without_credentials};
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use forge_engine::bucket::{Bucket, BucketError, Condition, ETag, Object};
use forge_engine::kind::ErrorClass;
use futures::future::BoxFuture;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The IAM actions that its objects need; listing them needs `s3:ListBucket` as well.
pub(super) const OBJECT_ACTIONS: &[&str] = &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];

/// A bucket, or the part of one whose keys begin with a prefix.
#[derive(Debug)]
pub struct S3Bucket {
    inner: Arc<Inner>,
    /// None only while this is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Inner {
    cloud: Arc<Cloud>,
    name: String,
    /// Empty, or with a slash at its end.
    prefix: String,
}

/// What went wrong with a call.
struct Refused {
    code: Option<String>,
    error: BucketError,
}

impl S3Bucket {
    /// The bucket of that name, and the keys in it that begin with `prefix`, as a directory. Nothing is asked yet.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(cloud: Arc<Cloud>, name: &str, prefix: &str) -> io::Result<Self> {
        let mut prefix = prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("s3").enable_all().build()?;
        Ok(Self { inner: Arc::new(Inner { cloud, name: name.to_owned(), prefix }), runtime: Some(runtime) })
    }

    /// A call on the bucket's own thread. It goes on to its end there when nobody waits for it any more.
    fn on_its_own<T, F>(&self, key: &str, call: impl FnOnce(Arc<Inner>) -> F) -> BoxFuture<'_, Result<T, BucketError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BucketError>> + Send + 'static,
    {
        let task = self.runtime.as_ref().map(|runtime| runtime.spawn(call(Arc::clone(&self.inner))));
        let lost = BucketError::Failed {
            key: key.to_owned(),
            doing: "asking S3",
            passing: false,
            source: io::Error::other("the thread for it has ended"),
        };
        Box::pin(async move {
            match task {
                Some(task) => task.await.unwrap_or(Err(lost)),
                None => Err(lost),
            }
        })
    }
}

impl Drop for S3Bucket {
    fn drop(&mut self) {
        // Not waited for: this may be dropped by a task of another runtime, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn key(&self, key: &str) -> Result<String, BucketError> {
        // S3's limit, in bytes ("Naming Amazon S3 objects").
        let full = format!("{}{key}", self.prefix);
        if key.is_empty() || full.len() > 1024 {
            return Err(BucketError::BadKey { key: key.to_owned() });
        }
        Ok(full)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        let call = self.cloud.s3().await.get_object().bucket(&self.name).key(self.key(key)?);
        let doing = "reading it";
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let refused = self.refused("s3:GetObject", key, doing, error);
                return if refused.is(&["NoSuchKey", "NotFound"]) { Ok(None) } else { Err(refused.error) };
            }
        };
        let etag = ETag(answer.e_tag.unwrap_or_default());
        // The connection broke in the middle of it: that passes.
        let broke = |error| failed(key, doing, true, io::Error::other(error));
        Ok(Some(Object { bytes: answer.body.collect().await.map_err(broke)?.to_vec(), etag }))
    }

    async fn put(&self, key: &str, bytes: Vec<u8>, condition: &Condition) -> Result<ETag, BucketError> {
        let mut call = self.cloud.s3().await.put_object().bucket(&self.name).key(self.key(key)?);
        call = match condition {
            Condition::Any => call,
            Condition::Absent => call.if_none_match("*"),
            Condition::Matches(ETag(etag)) => call.if_match(etag),
        };
        match call.body(ByteStream::from(bytes)).send().await {
            Ok(answer) => Ok(ETag(answer.e_tag.unwrap_or_default())),
            Err(error) => {
                let refused = self.refused("s3:PutObject", key, "writing it", error);
                // An object that is gone does not match.
                let gone = matches!(condition, Condition::Matches(_)) && refused.is(&["NoSuchKey"]);
                let taken = gone || refused.is(&["PreconditionFailed"]);
                Err(if taken { BucketError::Conflict { key: key.to_owned() } } else { refused.error })
            }
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let full = format!("{}{prefix}", self.prefix);
        let call = self.cloud.s3().await.list_objects_v2().bucket(&self.name).prefix(full);
        let mut pages = call.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused("s3:ListBucket", prefix, "listing", error).error)?;
            let found = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            keys.extend(found.filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    async fn delete(&self, key: &str, condition: &Condition) -> Result<(), BucketError> {
        let mut call = self.cloud.s3().await.delete_object().bucket(&self.name).key(self.key(key)?);
        if let Condition::Matches(ETag(etag)) = condition {
            call = call.if_match(etag);
        }
        let Err(error) = call.send().await else { return Ok(()) };
        let refused = self.refused("s3:DeleteObject", key, "deleting it", error);
        if refused.is(&["NoSuchKey", "NotFound"]) {
            return Ok(());
        }
        if !refused.is(&["PreconditionFailed"]) {
            return Err(refused.error);
        }
        // What is gone matches nothing either.
        match self.get(key).await? {
            None => Ok(()),
            Some(_) => Err(BucketError::Conflict { key: key.to_owned() }),
        }
    }

    fn refused<E>(
        &self,
        action: &'static str,
        key: &str,
        doing: &'static str,
        error: SdkError<E, HttpResponse>,
    ) -> Refused
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let (passing, source) = match &code {
            Some(code) => {
                let message = error.message().unwrap_or("no reason given");
                let (class, help) = classify(action, code, message, status);
                self.cloud.notice(code);
                // Nothing of this bucket is on its way to be seen: what is not there is not there.
                let passing = matches!(class, ErrorClass::Throttled | ErrorClass::Transient);
                let bucket =
                    if code == "NoSuchBucket" { format!(" There is no bucket {}.", self.name) } else { String::new() };
                let help = help.filter(|_| bucket.is_empty()).map(|help| format!(" {help}")).unwrap_or_default();
                (passing, io::Error::other(format!("{action}: {message} ({code}).{bucket}{help}")))
            }
            None => match without_credentials(&error) {
                Some(why) => {
                    let text = format!("{action}: there are no AWS credentials: {why}. {CREDENTIALS}");
                    (false, io::Error::other(text))
                }
                None => {
                    let passing = !matches!(error, SdkError::ConstructionFailure(_));
                    (passing, io::Error::other(format!("{action}: {}", chain(&error))))
                }
            },
        };
        Refused { code, error: failed(key, doing, passing, source) }
    }
}

impl Refused {
    fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }
}

fn failed(key: &str, doing: &'static str, passing: bool, source: io::Error) -> BucketError {
    BucketError::Failed { key: key.to_owned(), doing, passing, source }
}

impl Bucket for S3Bucket {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>> {
        let own = key.to_owned();
        self.on_its_own(key, |inner| async move { inner.get(&own).await })
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>> {
        let own = key.to_owned();
        self.on_its_own(key, |inner| async move { inner.put(&own, bytes, &condition).await })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>> {
        let own = prefix.to_owned();
        self.on_its_own(prefix, |inner| async move { inner.list(&own).await })
    }

    fn delete(&self, key: &str, condition: Condition) -> BoxFuture<'_, Result<(), BucketError>> {
        let own = key.to_owned();
        self.on_its_own(key, |inner| async move { inner.delete(&own, &condition).await })
    }
}
