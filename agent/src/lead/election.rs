//! Who leads: a lease object in the bucket.
//!
//! The lease is taken and renewed by conditional writes, so of any number of agents that try at once one wins. It names
//! its holder's address, and an epoch that grows with every change of hands; orders and the leader's own writes carry
//! it. Nobody compares clocks: an observer that has seen the *same bytes* for the lease's whole time to live, by its own
//! monotonic clock, may take over. So may one whose connection to the holder's address was *refused*: the kernel there
//! says that nobody listens, and a leader listens for as long as it leads.
//!
//! The holder counts its time from before it sent the renewal, observers from after they saw it, so the holder stops
//! acting before anybody may follow it.

use crate::bucket::{Bucket, BucketError, Condition, Documents, ETag};
use crate::wire::{Lease, NodeId, UnixMillis, VERSION, key};
use std::time::Duration;
use tokio::time::Instant;

/// Long enough for a slow store (three renewals may fail), short enough that a stopped leader is replaced in well under ten
/// seconds.
pub const TTL: Duration = Duration::from_secs(3);
/// Three tries within a time to live.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A lease that this agent holds.
#[derive(Debug)]
pub struct Held {
    /// As it was last written.
    pub lease: Lease,
    etag: ETag,
    /// Until when this agent may act as the leader.
    pub valid_until: Instant,
}

/// Somebody who could lead.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// The life of its agent.
    pub instance: String,
    /// Where its server would listen.
    pub address: String,
}

/// Tries to follow the lease that was seen (none: to be the first). None when somebody else was faster.
///
/// # Errors
/// When the bucket fails.
pub async fn take(
    bucket: &dyn Bucket,
    candidate: &Candidate,
    seen: Option<&(Lease, ETag)>,
    wall: UnixMillis,
) -> Result<Option<Held>, BucketError> {
    let lease = Lease {
        v: VERSION,
        epoch: seen.map_or(0, |(lease, _)| lease.epoch) + 1,
        holder: candidate.node.clone(),
        instance: candidate.instance.clone(),
        address: candidate.address.clone(),
        renewals: 0,
        ttl_ms: TTL.as_millis() as u64,
        at: wall,
    };
    let condition = seen.map_or(Condition::Absent, |(_, etag)| Condition::Match(etag.clone()));
    let before = Instant::now();
    match bucket.write(key::LEADER, &lease, condition).await {
        Ok(etag) => Ok(Some(Held { lease, etag, valid_until: before + TTL })),
        Err(BucketError::Lost { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Held {
    /// Renews the lease.
    ///
    /// # Errors
    /// [`BucketError::Lost`] when somebody else leads; anything else may pass, while `valid_until` has not.
    pub async fn renew(&mut self, bucket: &dyn Bucket, wall: UnixMillis) -> Result<(), BucketError> {
        let lease = Lease { renewals: self.lease.renewals + 1, at: wall, ..self.lease.clone() };
        let before = Instant::now();
        match bucket.write(key::LEADER, &lease, Condition::Match(self.etag.clone())).await {
            Ok(etag) => self.etag = etag,
            // The answer to an earlier renewal may have been lost on its way: then the object is ours all the same.
            Err(BucketError::Lost { key }) => match bucket.read::<Lease>(key::LEADER).await? {
                Some((current, etag)) if current.epoch == lease.epoch && current.instance == lease.instance => {
                    self.etag = etag;
                }
                _ => return Err(BucketError::Lost { key }),
            },
            Err(error) => return Err(error),
        }
        self.lease = lease;
        self.valid_until = before + TTL;
        Ok(())
    }
}

/// Watches a lease that somebody else holds.
#[derive(Debug, Default)]
pub struct Observer {
    seen: Option<(ETag, Instant)>,
}

impl Observer {
    /// Takes note of the lease's current version; true when it has not changed for its whole time to live.
    pub fn expired(&mut self, now: Instant, lease: &Lease, etag: &ETag) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == etag => {
                now.saturating_duration_since(*since) > Duration::from_millis(lease.ttl_ms)
            }
            _ => {
                self.seen = Some((etag.clone(), now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::directory::Directory;

    fn candidate(node: &str) -> Candidate {
        Candidate { node: node.into(), instance: format!("{node}-life"), address: "127.0.0.1:1".into() }
    }

    #[tokio::test]
    async fn of_many_candidates_one_wins_and_the_loser_cannot_renew() {
        let root = tempfile::tempdir().unwrap();
        let bucket: &dyn Bucket = &Directory::new(root.path());
        let names: Vec<_> = (0..8).map(|n| candidate(&format!("node-{n}"))).collect();
        let tries = names.iter().map(|candidate| take(bucket, candidate, None, 0));
        let won: Vec<_> = futures::future::join_all(tries).await.into_iter().filter_map(Result::unwrap).collect();
        let [mut first] = <[Held; 1]>::try_from(won).unwrap();
        assert_eq!(first.lease.epoch, 1);
        first.renew(bucket, 0).await.unwrap();

        let seen = bucket.read::<Lease>(key::LEADER).await.unwrap().unwrap();
        assert_eq!(seen.0.renewals, 1);
        let second = take(bucket, &candidate("other"), Some(&seen), 0).await.unwrap().unwrap();
        assert_eq!(second.lease.epoch, 2);
        assert!(take(bucket, &candidate("third"), Some(&seen), 0).await.unwrap().is_none());
        assert!(matches!(first.renew(bucket, 0).await, Err(BucketError::Lost { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_expires_by_the_observers_clock_alone() {
        let root = tempfile::tempdir().unwrap();
        let bucket: &dyn Bucket = &Directory::new(root.path());
        let mut held = take(bucket, &candidate("a"), None, 0).await.unwrap().unwrap();
        let mut observer = Observer::default();
        let look = async |observer: &mut Observer| {
            let (lease, etag) = bucket.read::<Lease>(key::LEADER).await.unwrap().unwrap();
            observer.expired(Instant::now(), &lease, &etag)
        };
        assert!(!look(&mut observer).await);
        tokio::time::advance(TTL).await;
        held.renew(bucket, 0).await.unwrap();
        assert!(!look(&mut observer).await, "it was renewed");
        tokio::time::advance(TTL).await;
        assert!(!look(&mut observer).await, "not longer than its time to live");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(look(&mut observer).await);
        assert!(held.valid_until < Instant::now(), "its holder has stopped acting by then");
    }
}
