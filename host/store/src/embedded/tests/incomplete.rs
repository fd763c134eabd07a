//! Stores with missing parts: the rest is kept, and only files with a record that they were dropped are removed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{EmbeddedDriver, Faults, copy, files, noise, open, options, put};
use crate::{Driver, Error};

fn orphans(driver: &EmbeddedDriver) -> Vec<String> {
    let orphans = driver.orphans().into_iter();
    orphans.map(|orphan| orphan.name).collect()
}

/// The only journal file: its path, its bytes and the offsets of its frames.
fn frames(dir: &Path) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let journal = files(dir, "journal");
    assert_eq!(journal.len(), 1);
    let bytes = fs::read(&journal[0]).unwrap();
    let (mut at, mut starts) = (0, Vec::new());
    while at < bytes.len() {
        starts.push(at);
        let length = bytes[at + 12..at + 16].try_into().unwrap();
        at += 24 + u32::from_le_bytes(length) as usize;
    }
    (journal[0].clone(), bytes, starts)
}

/// Removes the first frame, and keeps the others.
fn lose_first_frame(dir: &Path) {
    let (journal, bytes, starts) = frames(dir);
    fs::write(journal, &bytes[starts[1]..]).unwrap();
}

fn refused(dir: &Path) -> String {
    match EmbeddedDriver::open(options(dir)).map(drop) {
        Err(Error::DataLoss(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_file_is_created_after_the_record_that_refers_to_it() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.put("p", "never synced", &noise(10_000, 1))
        .await
        .unwrap();
    copy(dir.path(), image.path());
    let kv = open(image.path()).await;
    assert_eq!(files(image.path(), "objects").len(), 1);
    assert_eq!(orphans(&kv.driver), Vec::<String>::new());
    assert_eq!(kv.get("p", "never synced").await.unwrap(), None);
    assert_eq!(kv.kv.partitions().await.unwrap(), ["p"]);
}

#[tokio::test]
async fn no_file_is_created_if_the_record_cannot_be_written() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    kv.faults.fail_syncs(0, 1);
    let refused = kv.put("p", "o", b"1").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(files(dir.path(), "objects").is_empty());
}

/// The state after a crash between the record and the removal.
#[tokio::test]
async fn dropped_files_are_removed_by_the_next_start() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.driver.close().await.unwrap();
    for partition in ["old", "new"] {
        kv.put(partition, "o", &noise(10_000, 1)).await.unwrap();
    }
    kv.kv.reclaim(&kv.claim, "old").await.unwrap();
    kv.sync().await.unwrap();
    let before = files(dir.path(), "objects");
    let kept = TempDir::new().unwrap();
    copy(&dir.path().join("objects"), kept.path());
    let linger = std::time::Duration::ZERO;
    kv.driver.shared.remove_reclaimed(linger).unwrap();
    assert_eq!(files(dir.path(), "objects").len(), before.len() - 1);
    copy(dir.path(), image.path());
    copy(kept.path(), &image.path().join("objects"));
    assert_eq!(files(image.path(), "objects").len(), before.len());

    let kv = open(image.path()).await;
    assert_eq!(files(image.path(), "objects").len(), before.len() - 1);
    assert_eq!(orphans(&kv.driver), Vec::<String>::new());
    assert!(kv.driver.shared.store().state().dropped.is_empty());
    assert!(kv.get("new", "o").await.unwrap().is_some());
}

/// The case of a put that was running while its partition was removed.
#[tokio::test]
async fn a_late_write_creates_no_file() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    kv.driver.close().await.unwrap();
    kv.put("p", "o", b"1").await.unwrap();
    let store = kv.driver.shared.store();
    let number = store.objects.list().unwrap()[0];
    kv.kv.reclaim(&kv.claim, "p").await.unwrap();
    let linger = std::time::Duration::ZERO;
    kv.driver.shared.remove_reclaimed(linger).unwrap();
    let late = store.objects.write(number, 1, b"2");
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert!(files(dir.path(), "objects").is_empty());
}

#[tokio::test]
async fn a_store_without_the_record_of_its_only_tenant_is_refused_and_not_changed() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.put("p", "o", &noise(10_000, 1)).await.unwrap();
    kv.sync().await.unwrap();
    copy(dir.path(), image.path());
    lose_first_frame(image.path());
    let (objects, journal) = (
        files(image.path(), "objects"),
        files(image.path(), "journal"),
    );
    let text = refused(image.path());
    for part in ["name no tenant", "partition `p`", "nothing refers"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(files(image.path(), "objects"), objects);
    assert_eq!(files(image.path(), "journal"), journal);
}

#[tokio::test]
async fn the_data_of_a_tenant_without_a_record_is_kept() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    {
        let driver = EmbeddedDriver::open(options(dir.path())).unwrap();
        driver.open("other").await.unwrap();
    }
    let kv = open(dir.path()).await;
    kv.put("p", "o", &noise(10_000, 1)).await.unwrap();
    kv.sync().await.unwrap();
    copy(dir.path(), image.path());
    lose_first_frame(image.path());
    let before = fs::read(&files(image.path(), "objects")[0]).unwrap();
    for _ in 0..2 {
        let kv = open(image.path()).await;
        assert_eq!(
            orphans(&kv.driver),
            ["partition `p` of a tenant without a record"]
        );
        kv.driver
            .shared
            .remove_reclaimed(super::super::LINGER)
            .unwrap();
        for n in 0..4 {
            kv.put(&format!("new/{n}"), "o", b"1").await.unwrap();
        }
        kv.flush();
    }
    assert_eq!(
        fs::read(&files(image.path(), "objects")[0]).unwrap(),
        before
    );
}

#[tokio::test]
async fn a_read_only_store_refuses_writes() {
    let (dir, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let claim = {
        let kv = open(dir.path()).await;
        kv.put("p", "o", &noise(10_000, 1)).await.unwrap();
        kv.claim
    };
    let driver = EmbeddedDriver::open_read_only(options(dir.path()), scratch.path());
    let driver = driver.unwrap().unwrap();
    let kv = driver.open("t").await.unwrap();
    let found = kv.get(&[super::key("p", "o")]).await.unwrap();
    assert_eq!(found, [Some(noise(10_000, 1))]);
    let refused = [
        kv.claim("w").await.map(drop),
        kv.commit(&claim, "p", vec![put("a", b"1")]).await,
        kv.reclaim(&claim, "p").await,
        driver.forget("t").await,
        driver.open("another").await.map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(&refused, Err(Error::Unavailable(text)) if text.contains("read only")),
            "{refused:?}"
        );
    }
    // Several readers can share the lock.
    let scratch = TempDir::new().unwrap();
    EmbeddedDriver::open_read_only(options(dir.path()), scratch.path())
        .unwrap()
        .unwrap();
    let second = EmbeddedDriver::open_with(
        options(dir.path()),
        Box::new(|| Ok(u64::MAX)),
        Faults::default(),
    );
    assert!(matches!(second.map(drop), Err(Error::Unavailable(_))));
}

/// Later frames depend on the damaged one. The error says where the damage begins.
#[tokio::test]
async fn a_journal_that_is_damaged_before_its_end_is_refused_until_it_is_truncated() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.commit("p", "a", b"1").await.unwrap();
    kv.sync().await.unwrap();
    let (_, _, before) = frames(dir.path());
    for value in [b"2", b"3"] {
        kv.commit("p", "a", value).await.unwrap();
        kv.sync().await.unwrap();
    }
    copy(dir.path(), image.path());
    let (journal, mut bytes, starts) = frames(image.path());
    let at = starts[before.len()];
    bytes[at + 30] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let text = refused(image.path());
    for part in ["0000000000000001.jnl`", &format!("`truncate -s {at}`")] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(
        files(image.path(), "journal"),
        std::slice::from_ref(&journal)
    );
    assert_eq!(fs::read(&journal).unwrap(), bytes);

    fs::write(&journal, &bytes[..at]).unwrap();
    let kv = open(image.path()).await;
    assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"1".to_vec()));
}
