//! What the cases share: an opened tenant, and waiting for what a shared driver learns late.

use std::sync::Arc;
use std::time::Duration;

use super::Subject;
use crate::test_support::{key, put};
use crate::{Change, Claim, Driver, Entry, Error, Key, Namespace, Object, Scan};

/// The tenant of most cases.
pub(super) const TENANT: &str = "t";

/// A driver with a tenant, and a claim of the host's own id there.
pub(super) struct Opened {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) kv: Arc<dyn Namespace>,
    pub(super) claim: Claim,
}

/// Opens the driver of the first host.
pub(super) async fn open(subject: &dyn Subject) -> Opened {
    Opened::with(subject.driver().await).await
}

/// Both hosts, or `None` for a driver of one host.
pub(super) async fn open_both(subject: &dyn Subject) -> Option<(Opened, Opened)> {
    let first = subject.driver().await;
    let Some(second) = subject.second().await else {
        assert!(!first.is_shared(), "a shared driver has a second host");
        return None;
    };
    Some((Opened::with(first).await, Opened::with(second).await))
}

// === impl Opened ===

impl Opened {
    pub(super) async fn with(driver: Arc<dyn Driver>) -> Self {
        let kv = driver.open(TENANT).await.unwrap();
        let claim = kv.claim(&driver.writer_id()).await.unwrap();
        Self { driver, kv, claim }
    }

    pub(super) async fn commit(
        &self,
        partition: &str,
        sort: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let changes = vec![put(sort, value)];
        self.kv.commit(&self.claim, partition, changes).await
    }

    pub(super) async fn put(
        &self,
        partition: &str,
        sort: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let objects = vec![object(partition, sort, value)];
        self.kv.put(&self.claim, objects).await
    }

    pub(super) async fn reclaim(&self, partition: &str) -> Result<(), Error> {
        self.kv.reclaim(&self.claim, partition).await
    }

    pub(super) async fn get(&self, partition: &str, sort: &str) -> Option<Vec<u8>> {
        get(&*self.kv, partition, sort).await
    }

    pub(super) async fn partitions(&self) -> Vec<String> {
        partitions(&*self.kv).await
    }

    pub(super) async fn writers(&self) -> Vec<String> {
        let mut writers = self.kv.writers().await.unwrap();
        writers.sort();
        writers
    }

    /// Ends the host and starts it again. `None` if the driver is not durable.
    pub(super) async fn reopen(self, subject: &dyn Subject) -> Option<Self> {
        let Self { driver, kv, .. } = self;
        kv.sync(kv.generation()).await.unwrap();
        drop(kv);
        let driver = reopen(subject, driver).await?;
        Some(Self::with(driver).await)
    }
}

/// Ends the host of this driver and starts it again. `None` if the driver is not durable.
pub(super) async fn reopen(
    subject: &dyn Subject,
    driver: Arc<dyn Driver>,
) -> Option<Arc<dyn Driver>> {
    let is_durable = driver.is_durable();
    driver.close().await.unwrap();
    let reopened = subject.reopen(driver).await;
    assert_eq!(reopened.is_some(), is_durable);
    reopened
}

pub(super) async fn get(kv: &dyn Namespace, partition: &str, sort: &str) -> Option<Vec<u8>> {
    kv.get(&[key(partition, sort)]).await.unwrap().remove(0)
}

/// The names of all partitions, in order.
pub(super) async fn partitions(kv: &dyn Namespace) -> Vec<String> {
    let mut names = kv.partitions().await.unwrap();
    names.sort();
    names
}

pub(super) fn object(partition: &str, sort: &str, value: impl Into<Vec<u8>>) -> Object {
    Object {
        key: key(partition, sort),
        value: value.into(),
    }
}

pub(super) fn entry(sort: &[u8], value: &[u8]) -> Entry {
    Entry {
        sort: sort.to_vec(),
        value: value.to_vec(),
    }
}

pub(super) fn set(sort: &[u8], value: &[u8]) -> Change {
    Change::Put(entry(sort, value))
}

pub(super) fn key_of(partition: &str, sort: &[u8]) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.to_vec(),
    }
}

/// All entries of a scan, page by page. Each page is checked against the limits.
pub(super) async fn pages(kv: &dyn Namespace, partition: &str, scan: &Scan) -> Vec<Entry> {
    let mut scan = scan.clone();
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let page = kv.scan(partition, &scan).await.unwrap();
        assert!(page.entries.len() as u64 <= u64::from(scan.max_entries.max(1)));
        let last = page.entries.last().map(|entry| entry.sort.clone());
        found.extend(page.entries);
        // Also against pages without end.
        assert!(
            found.is_sorted_by(|a, b| if scan.descending {
                a.sort > b.sort
            } else {
                a.sort < b.sort
            }),
            "an entry is out of its order, or on two pages: {scan:?}"
        );
        if !page.more {
            return found;
        }
        let last = last.expect("a page without entries says that there are more");
        if scan.descending {
            scan.end = Some(last);
        } else {
            scan.start = [last.as_slice(), &[0]].concat();
        }
    }
}

/// Bytes that cannot be compressed.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

#[track_caller]
pub(super) fn assert_fenced(done: &Result<(), Error>) {
    assert_eq!(done, &Err(Error::Fenced));
}

/// A call that used the name of a reclaimed partition.
#[track_caller]
pub(super) fn assert_never_again(done: &Result<(), Error>) {
    assert!(matches!(done, Err(Error::Other(_))), "{done:?}");
}

/// Asks until the answer is yes, for a minute at the most. A driver that knows at once is asked once.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        loop {
            turns.tick().await;
            if holds().await {
                return;
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(1), asking).await;
    assert!(done.is_ok(), "not within a minute: {what}");
}
