//! Journals and buckets whose user can die in the middle of a write, or fall asleep before it.

use super::Client;
use crate::bucket::{Bucket, BucketError, Condition, ETag, Object};
use crate::journal::{Appended, Content, JournalError, Store};
use futures::future::{BoxFuture, FutureExt};
use std::path::PathBuf;
use std::sync::Arc;

/// A store in the hands of a [`Client`]: it dies before a write, in the middle of one, or after it and before anybody
/// learns of it.
#[derive(Debug)]
pub struct MortalStore<S> {
    client: Client,
    store: S,
}

impl<S: Store> MortalStore<S> {
    pub(super) fn new(client: Client, store: S) -> Self {
        Self { client, store }
    }

    /// Returns only if the client survives the write; otherwise `some` of it is there.
    async fn torn(&mut self, text: &[u8]) {
        let written = self.client.cloud.lock().chance.index(text.len() + 1);
        if self.client.is_alive() && !self.client.survives() {
            let _ = self.store.append(text[..written].to_vec(), false).await;
        }
        self.client.alive().await;
    }
}

impl<S: Store> Store for MortalStore<S> {
    fn place(&self) -> PathBuf {
        self.store.place()
    }

    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>> {
        self.store.load()
    }

    fn cut(&mut self, good: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        async move {
            self.client.alive().await;
            self.store.cut(good).await
        }
        .boxed()
    }

    fn append(&mut self, text: Vec<u8>, durable: bool) -> BoxFuture<'_, Result<Appended, JournalError>> {
        async move {
            self.torn(&text).await;
            let appended = self.store.append(text, durable).await;
            self.client.point().await;
            appended
        }
        .boxed()
    }

    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        async move {
            self.client.point().await;
            let replaced = self.store.replace(text).await;
            self.client.point().await;
            replaced
        }
        .boxed()
    }

    fn remove(&mut self, empty: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        async move {
            self.client.point().await;
            self.store.remove(empty).await
        }
        .boxed()
    }
}

/// A bucket in the hands of a [`Client`].
#[derive(Debug)]
pub(super) struct MortalBucket {
    client: Client,
    bucket: Arc<dyn Bucket>,
}

impl MortalBucket {
    pub(super) fn new(client: Client, bucket: Arc<dyn Bucket>) -> Self {
        Self { client, bucket }
    }
}

impl Bucket for MortalBucket {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>> {
        let key = key.to_owned();
        async move {
            self.client.awake().await;
            self.bucket.get(&key).await
        }
        .boxed()
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>> {
        let key = key.to_owned();
        async move {
            self.client.awake().await;
            self.client.point().await;
            self.client.awake().await;
            let put = self.bucket.put(&key, bytes, condition).await;
            self.client.point().await;
            put
        }
        .boxed()
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>> {
        let prefix = prefix.to_owned();
        async move {
            self.client.awake().await;
            self.bucket.list(&prefix).await
        }
        .boxed()
    }

    fn delete(&self, key: &str, condition: Condition) -> BoxFuture<'_, Result<(), BucketError>> {
        let key = key.to_owned();
        async move {
            self.client.awake().await;
            self.client.point().await;
            self.bucket.delete(&key, condition).await
        }
        .boxed()
    }
}
