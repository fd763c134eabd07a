//! Tests of the driver on a real folder: restarts, purges, reclaims, crashes and faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod conformance;
mod crashes;
mod incomplete;
mod model;
mod repair;
mod snapshots;
mod space;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Durability, EmbeddedDriver, Faults, Options};
use crate::test_support::{all, key, put};
use crate::{Claim, Driver, Error, Namespace, Object};

/// A driver with one tenant and a claim.
struct Opened {
    driver: EmbeddedDriver,
    kv: Arc<dyn Namespace>,
    claim: Claim,
    faults: Faults,
}

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        durability: Durability::Sync,
        quotas: crate::Quotas::default(),
        min_free: 0,
        open_files: 384,
        scheduler: Arc::default(),
    }
}

async fn open(dir: &Path) -> Opened {
    open_with(options(dir)).await
}

async fn open_with(options: Options) -> Opened {
    let faults = Faults::default();
    let driver =
        EmbeddedDriver::open_with(options, Box::new(|| Ok(u64::MAX - 1)), faults.clone()).unwrap();
    let kv = driver.open("t").await.unwrap();
    let claim = kv.claim(&driver.writer_id()).await.unwrap();
    Opened {
        driver,
        kv,
        claim,
        faults,
    }
}

impl Opened {
    async fn commit(&self, partition: &str, sort: &str, value: &[u8]) -> Result<(), Error> {
        self.kv
            .commit(&self.claim, partition, vec![put(sort, value)])
            .await
    }

    async fn put(&self, partition: &str, sort: &str, value: &[u8]) -> Result<(), Error> {
        let object = Object {
            key: key(partition, sort),
            value: value.to_vec(),
        };
        self.kv.put(&self.claim, vec![object]).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.kv.sync(self.kv.generation()).await
    }

    async fn get(&self, partition: &str, sort: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.kv.get(&[key(partition, sort)]).await?.remove(0))
    }

    fn flush(&self) {
        super::durable::checkpoint(&self.driver.shared.store(), &self.driver.shared.syncs).unwrap();
    }
}

/// Bytes that zstd cannot shrink.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn files(dir: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join(folder)).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Size of the folder on disk, in bytes.
fn disk_usage(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_usage(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test]
async fn an_object_that_is_put_again_takes_no_space() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    kv.put("p", "a", b"first").await.unwrap();
    let stored = kv.kv.stored_bytes();
    kv.put("p", "a", b"second").await.unwrap();
    assert_eq!(kv.kv.stored_bytes(), stored);
}

#[tokio::test]
async fn a_second_driver_on_the_same_folder_is_refused_with_advice() {
    let dir = TempDir::new().unwrap();
    let _first = open(dir.path()).await;
    let Err(Error::Unavailable(text)) = EmbeddedDriver::open(options(dir.path())).map(drop) else {
        panic!("opened twice");
    };
    assert!(text.contains(&*dir.path().to_string_lossy()), "{text}");
    assert!(text.contains("in use by another process"), "{text}");
    assert!(text.contains("`data_dir`"), "{text}");
}

#[tokio::test]
async fn a_purge_frees_its_disk_space_even_after_a_crash() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.put("p", "a", &noise(1 << 20, 1)).await.unwrap();
    kv.commit("p", "b", b"1").await.unwrap();
    kv.sync().await.unwrap();
    kv.driver.renew("t").await.unwrap();
    assert_eq!(kv.get("p", "a").await.unwrap(), None);
    copy(dir.path(), image.path());

    let kv = open(image.path()).await;
    kv.driver.shared.remove_reclaimed(super::LINGER).unwrap();
    assert!(files(image.path(), "objects").is_empty());
    assert!(kv.kv.partitions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_forgotten_tenant_frees_its_disk_space_even_after_a_crash() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.put("p", "a", &noise(1 << 20, 1)).await.unwrap();
    kv.commit("p", "b", b"1").await.unwrap();
    kv.driver.open("other").await.unwrap();
    kv.driver.forget("t").await.unwrap();
    assert_eq!(kv.get("p", "a").await.unwrap(), None);
    copy(dir.path(), image.path());

    let after = EmbeddedDriver::open(options(image.path())).unwrap();
    for (driver, dir) in [(&kv.driver, dir.path()), (&after, image.path())] {
        let tenants = driver.tenants().await.unwrap();
        assert_eq!(tenants.len(), 1, "{tenants:?}");
        driver.shared.remove_reclaimed(super::LINGER).unwrap();
        assert!(files(dir, "objects").is_empty());
    }
}

#[tokio::test]
async fn a_reclaimed_partition_lingers_then_frees_its_disk() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    // Upkeep's own compaction would leave nothing for the one below.
    kv.driver.close().await.unwrap();
    for n in 0..64 {
        let partition = if n % 2 == 0 { "old" } else { "new" };
        kv.put(partition, &format!("o{n}"), &noise(1 << 18, n))
            .await
            .unwrap();
        kv.commit(partition, &format!("e{n}"), &noise(1 << 17, n))
            .await
            .unwrap();
    }
    kv.flush();
    let (before, stored) = (disk_usage(dir.path()), kv.kv.stored_bytes());
    kv.kv.reclaim(&kv.claim, "old").await.unwrap();
    assert!(kv.get("old", "o0").await.unwrap().is_some());
    assert!(kv.kv.stored_bytes().abs_diff(stored / 2) < 1000);

    kv.driver.shared.remove_reclaimed(Duration::ZERO).unwrap();
    kv.flush();
    super::durable::compact(&kv.driver.shared.store()).unwrap();
    assert_eq!(kv.get("old", "o0").await.unwrap(), None);
    assert_eq!(kv.get("old", "e0").await.unwrap(), None);
    assert!(kv.get("new", "o1").await.unwrap().is_some());
    let after = disk_usage(dir.path());
    assert!(
        after < before * 6 / 10,
        "{before} bytes on disk before, {after} after"
    );

    drop(kv);
    let kv = open(dir.path()).await;
    assert!(kv.kv.stored_bytes().abs_diff(stored / 2) < 1000);
    let again = kv.commit("old", "a", b"1").await;
    assert!(
        matches!(&again, Err(Error::Other(text)) if text.contains("`old` was reclaimed")),
        "{again:?}"
    );
}

#[tokio::test]
async fn at_rest_the_journal_is_empty() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    for n in 0..100 {
        kv.commit("p", &format!("{n}"), &noise(10_000, n))
            .await
            .unwrap();
        kv.sync().await.unwrap();
    }
    kv.flush();
    assert_eq!(disk_usage(&dir.path().join("journal")), 0);
}
