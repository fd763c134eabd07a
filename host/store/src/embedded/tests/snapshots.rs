//! Snapshots of an open store: they have all that was committed before their moment and nothing after, and share nothing that is written.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{EmbeddedDriver, Opened, files, noise, open};
use crate::{Change, Driver, Error, Made, SnapshotError, SnapshotRequest, restore};

pub(super) async fn snapshot(
    driver: &EmbeddedDriver,
    below: &Path,
    name: &str,
) -> Result<Made, SnapshotError> {
    let request = SnapshotRequest::new(below.to_owned(), name.parse().unwrap());
    driver.snapshot(request).await
}

/// Makes all object files look as if nothing was put into them for hours.
pub(super) fn rest(dir: &Path) {
    let before = SystemTime::now() - Duration::from_hours(5);
    for file in files(dir, "objects") {
        File::open(file).unwrap().set_modified(before).unwrap();
    }
}

fn links(file: &Path) -> u64 {
    fs::metadata(file).unwrap().nlink()
}

/// The store with a folder for its snapshots.
struct Place {
    dir: TempDir,
    below: TempDir,
    kv: Opened,
}

impl Place {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            kv: open(dir.path()).await,
            below: TempDir::new().unwrap(),
            dir,
        }
    }

    /// With an object `o` in the partition `p` that is synced and at rest. There is no upkeep, whose syncs would take a fault.
    async fn with_resting_object() -> Self {
        let place = Self::new().await;
        place.kv.driver.close().await.unwrap();
        place.kv.put("p", "o", &noise(30_000, 1)).await.unwrap();
        place.kv.sync().await.unwrap();
        rest(place.dir.path());
        place
    }

    async fn snapshot(&self, name: &str) -> Result<Made, SnapshotError> {
        snapshot(&self.kv.driver, self.below.path(), name).await
    }

    /// Restores a snapshot, and returns the new data folder.
    fn restored(&self, made: &Made) -> (TempDir, PathBuf) {
        let data = TempDir::new().unwrap();
        let restored = restore(&made.path, data.path()).unwrap();
        assert_eq!(restored.copied.files, made.copied.files + made.linked.files);
        assert_eq!(fs::read_dir(self.below.path()).unwrap().count(), 2);
        let kv = data.path().join("kv");
        (data, kv)
    }
}

/// The parts of the store are in every state: in tables, in the journal, synced and not.
#[tokio::test]
async fn a_snapshot_has_what_was_committed_before_and_nothing_that_was_after() {
    let place = Place::new().await;
    let kv = &place.kv;
    for (n, partition) in ["flushed", "synced", "unsynced"].into_iter().enumerate() {
        kv.put(partition, "object", &noise(50_000, n as u64))
            .await
            .unwrap();
        kv.commit(partition, "entry", b"before").await.unwrap();
        kv.commit(partition, "deleted later", b"1").await.unwrap();
        match partition {
            "flushed" => kv.flush(),
            "synced" => kv.sync().await.unwrap(),
            _ => {}
        }
    }
    let before = SystemTime::now();
    let made = place.snapshot("first").await.unwrap();
    assert!(made.moment >= before && made.moment <= SystemTime::now());
    assert_eq!(made.missing, 0);
    for partition in ["flushed", "synced", "unsynced"] {
        kv.put(partition, "later", &noise(50_000, 9)).await.unwrap();
        kv.commit(partition, "entry", b"after").await.unwrap();
        let delete = vec![Change::Delete(b"deleted later".to_vec())];
        kv.kv.commit(&kv.claim, partition, delete).await.unwrap();
    }
    kv.put("new", "object", b"1").await.unwrap();
    kv.kv.reclaim(&kv.claim, "flushed").await.unwrap();
    kv.driver.shared.remove_reclaimed(Duration::ZERO).unwrap();
    kv.flush();
    super::super::durable::compact(&kv.driver.shared.store()).unwrap();
    kv.driver.forget("t").await.unwrap();

    let (_data, dir) = place.restored(&made);
    let restored = open(&dir).await;
    assert_eq!(restored.driver.writer_id(), kv.driver.writer_id());
    let partitions = restored.kv.partitions().await.unwrap();
    assert_eq!(partitions, ["flushed", "synced", "unsynced"]);
    for (n, partition) in partitions.iter().enumerate() {
        let object = restored.get(partition, "object").await.unwrap();
        assert_eq!(object, Some(noise(50_000, n as u64)), "{partition}");
        let entry = restored.get(partition, "entry").await.unwrap();
        assert_eq!(entry, Some(b"before".to_vec()), "{partition}");
        let deleted = restored.get(partition, "deleted later").await.unwrap();
        assert_eq!(deleted, Some(b"1".to_vec()), "{partition}");
        assert_eq!(restored.get(partition, "later").await.unwrap(), None);
    }
    assert!(restored.driver.orphans().is_empty());
    let checked = restored.driver.check(&mut |damage| panic!("{damage:?}"));
    assert_eq!(checked.values, 9);
}

/// Commits in order, while snapshots are made: what a snapshot has is the beginning of them, and at least what was synced before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn snapshots_under_load_have_a_beginning_of_all_writes() {
    let place = Place::new().await;
    let (synced, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let kv = Arc::new(place.kv);
    let writer = tokio::spawn({
        let (kv, synced, stop) = (Arc::clone(&kv), Arc::clone(&synced), Arc::clone(&stop));
        async move {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                let (partition, sort) = (format!("p{}", n % 3), format!("{n:08}"));
                kv.put(&partition, &sort, &noise(20_000, n)).await.unwrap();
                kv.commit("head", &sort, &noise(200, n)).await.unwrap();
                kv.sync().await.unwrap();
                n += 1;
                synced.store(n, Ordering::SeqCst);
                if n % 40 == 0 {
                    let kv = Arc::clone(&kv);
                    tokio::task::spawn_blocking(move || kv.flush())
                        .await
                        .unwrap();
                }
            }
        }
    });
    let mut sizes = Vec::new();
    for round in 0..6 {
        while synced.load(Ordering::SeqCst) < round * 30 {
            tokio::task::yield_now().await;
        }
        if round % 2 == 1 {
            rest(place.dir.path());
        }
        let before = synced.load(Ordering::SeqCst);
        let made = snapshot(&kv.driver, place.below.path(), &format!("s{round}")).await;
        let data = TempDir::new().unwrap();
        restore(&made.unwrap().path, data.path()).unwrap();
        let restored = open(&data.path().join("kv")).await;
        restored.driver.check(&mut |damage| panic!("{damage:?}"));
        let page = restored.kv.scan("head", &super::all()).await.unwrap();
        let there = page.entries.len() as u64;
        assert!(there >= before, "{there} of {before}");
        for (n, entry) in (0..).zip(page.entries) {
            let sort = format!("{n:08}");
            assert_eq!(entry.sort, sort.as_bytes());
            assert_eq!(entry.value, noise(200, n));
            let object = restored.get(&format!("p{}", n % 3), &sort).await.unwrap();
            assert_eq!(object, Some(noise(20_000, n)));
        }
        sizes.push(there);
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    assert!(sizes.is_sorted(), "{sizes:?}");
}

/// Each store gives the file up before it writes there, so neither sees what the other puts.
#[tokio::test]
async fn a_linked_file_is_written_by_neither_store() {
    let place = Place::new().await;
    let kv = &place.kv;
    kv.put("p", "o", &noise(30_000, 1)).await.unwrap();
    kv.commit("p", "e", b"1").await.unwrap();
    let active = place.snapshot("active").await.unwrap();
    let file = &files(place.dir.path(), "objects")[0];
    assert_eq!(links(file), 1, "a file that is still written to is copied");

    rest(place.dir.path());
    let first = place.snapshot("first").await.unwrap();
    let second = place.snapshot("second").await.unwrap();
    assert_eq!(links(file), 3);
    assert_eq!(first.linked.files, active.linked.files + 1);
    let of = |made: &Made| files(&made.path.join("kv"), "objects")[0].clone();
    let whole = fs::read(of(&first)).unwrap();

    // The store whose file was linked.
    kv.put("p", "live", &noise(30_000, 2)).await.unwrap();
    assert_eq!((links(file), links(&of(&first))), (1, 2));
    // A store that is opened on a snapshot.
    let opened = open(&first.path.join("kv")).await;
    assert_eq!(opened.get("p", "live").await.unwrap(), None);
    opened
        .put("p", "snapshot", &noise(30_000, 3))
        .await
        .unwrap();
    assert_eq!((links(&of(&first)), links(&of(&second))), (1, 1));
    assert_eq!(fs::read(of(&second)).unwrap(), whole);

    for store in [kv, &opened] {
        assert_eq!(store.get("p", "o").await.unwrap(), Some(noise(30_000, 1)));
        store.sync().await.unwrap();
        store.driver.check(&mut |damage| panic!("{damage:?}"));
    }
    assert_eq!(kv.get("p", "snapshot").await.unwrap(), None);
    assert_eq!(kv.get("p", "live").await.unwrap(), Some(noise(30_000, 2)));
    let late = opened.get("p", "snapshot").await.unwrap();
    assert_eq!(late, Some(noise(30_000, 3)));
}

/// The store does not remember which files a snapshot has: the next start finds them.
#[tokio::test]
async fn links_are_found_after_a_restart_and_forgotten_with_the_snapshot() {
    let Place { dir, below, kv } = Place::with_resting_object().await;
    let made = snapshot(&kv.driver, below.path(), "s").await.unwrap();
    drop(kv);
    // What a crash in the middle of a copy leaves.
    let object = files(dir.path(), "objects").remove(0);
    let leftover = object.with_extension("new");
    fs::write(&leftover, b"half").unwrap();

    let kv = open(dir.path()).await;
    assert!(!leftover.exists());
    assert_eq!(links(&object), 2);
    kv.put("p", "more", b"1").await.unwrap();
    assert_eq!(links(&object), 1);

    rest(dir.path());
    snapshot(&kv.driver, below.path(), "t").await.unwrap();
    fs::remove_dir_all(below.path().join("t")).unwrap();
    let inode = fs::metadata(&object).unwrap().ino();
    kv.put("p", "still more", b"1").await.unwrap();
    assert_eq!(
        fs::metadata(&object).unwrap().ino(),
        inode,
        "no copy is made"
    );
    drop(restore(&made.path, &below.path().join("data")).unwrap());
}

/// A copy that fails refuses the put, and the next one tries again.
#[tokio::test]
async fn a_put_into_a_linked_file_fails_if_it_cannot_be_copied_and_is_repeated() {
    let place = Place::with_resting_object().await;
    let kv = &place.kv;
    let made = place.snapshot("s").await.unwrap();
    kv.faults.fail_writes(0, 1);
    let refused = kv.put("p", "more", b"1").await;
    assert!(
        matches!(&refused, Err(Error::Unavailable(text)) if text.contains("snapshot")),
        "{refused:?}"
    );
    kv.put("p", "more", b"1").await.unwrap();
    assert_eq!(kv.get("p", "more").await.unwrap(), Some(b"1".to_vec()));
    let (_data, dir) = place.restored(&made);
    assert_eq!(open(&dir).await.get("p", "more").await.unwrap(), None);
}

#[tokio::test]
async fn files_are_not_removed_while_a_snapshot_is_made() {
    let place = Place::new().await;
    place.kv.driver.close().await.unwrap();
    let kv = &place.kv;
    kv.put("p", "o", &noise(30_000, 1)).await.unwrap();
    kv.sync().await.unwrap();
    kv.kv.reclaim(&kv.claim, "p").await.unwrap();
    let shared = &kv.driver.shared;
    let snapshotting = shared.removals.write();
    shared.remove_reclaimed(Duration::ZERO).unwrap();
    assert_eq!(files(place.dir.path(), "objects").len(), 1);
    drop(snapshotting);
    shared.remove_reclaimed(Duration::ZERO).unwrap();
    assert!(files(place.dir.path(), "objects").is_empty());
}

/// Purged data must not come back with a snapshot that is made after the purge.
#[tokio::test]
async fn purged_data_is_not_copied() {
    let place = Place::new().await;
    place.kv.driver.close().await.unwrap();
    place.kv.put("p", "o", &noise(30_000, 1)).await.unwrap();
    place.kv.driver.renew("t").await.unwrap();
    let made = place.snapshot("s").await.unwrap();
    assert!(files(&made.path.join("kv"), "objects").is_empty());
    let (_data, dir) = place.restored(&made);
    let restored = open(&dir).await;
    assert!(restored.kv.partitions().await.unwrap().is_empty());
    assert!(restored.driver.orphans().is_empty());
}

#[tokio::test]
async fn one_snapshot_is_made_at_a_time() {
    let place = Place::new().await;
    {
        let _another = place.kv.driver.shared.snapshotting.lock();
        let request = SnapshotRequest::new(place.below.path().to_owned(), "s".parse().unwrap());
        let refused = place.kv.driver.shared.snapshot(&request);
        assert!(
            matches!(refused, Err(SnapshotError::Busy(_))),
            "{refused:?}"
        );
    }
    // By another process.
    let lock = File::create(place.below.path().join(".lock")).unwrap();
    lock.try_lock().unwrap();
    let refused = place.snapshot("s").await;
    assert!(
        matches!(refused, Err(SnapshotError::Busy(_))),
        "{refused:?}"
    );
    lock.unlock().unwrap();
    place.snapshot("s").await.unwrap();
    let refused = place.snapshot("s").await;
    assert!(
        matches!(refused, Err(SnapshotError::Exists(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_snapshot_that_is_stopped_leaves_nothing_and_the_rest_of_a_killed_one_is_removed() {
    let place = Place::new().await;
    place.kv.put("p", "o", &noise(30_000, 1)).await.unwrap();
    let below = place.below.path();
    let request = SnapshotRequest::new(below.to_owned(), "s".parse().unwrap());
    request.stop.store(true, Ordering::SeqCst);
    let stopped = place.kv.driver.snapshot(request).await;
    assert!(
        matches!(stopped, Err(SnapshotError::Stopped)),
        "{stopped:?}"
    );
    let names = || -> Vec<_> {
        let entries = fs::read_dir(below).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), [".lock"]);

    for folder in [".killed.partial/kv", ".git", "not.ours.partial"] {
        fs::create_dir_all(below.join(folder)).unwrap();
    }
    place.snapshot("s").await.unwrap();
    assert_eq!(names(), [".git", ".lock", "not.ours.partial", "s"]);
}

#[tokio::test]
async fn a_store_that_lacks_a_file_can_still_be_copied() {
    let place = Place::new().await;
    for partition in ["p", "q"] {
        place
            .kv
            .put(partition, "o", &noise(30_000, 1))
            .await
            .unwrap();
    }
    place.kv.flush();
    fs::remove_file(&files(place.dir.path(), "objects")[0]).unwrap();
    let made = place.snapshot("s").await.unwrap();
    assert_eq!(made.missing, 1);
    let (_data, dir) = place.restored(&made);
    let restored = open(&dir).await;
    let lost = restored.get("p", "o").await;
    assert!(matches!(lost, Err(Error::DataLoss(_))), "{lost:?}");
    assert!(restored.get("q", "o").await.unwrap().is_some());
}

/// After the disk has failed, the store is another one, which does not know of links that are made for the old one.
#[tokio::test]
async fn a_snapshot_of_a_store_that_was_reopened_is_given_up() {
    let place = Place::with_resting_object().await;
    let kv = &place.kv;
    let old = kv.driver.shared.store();
    kv.commit("p", "e", b"1").await.unwrap();
    kv.faults.fail_syncs(0, 1);
    let failed = place.snapshot("s").await;
    assert!(
        matches!(failed, Err(SnapshotError::Store(Error::Unavailable(_)))),
        "{failed:?}"
    );
    kv.driver.shared.recover().unwrap();
    let request = SnapshotRequest::new(place.below.path().to_owned(), "s".parse().unwrap());
    let mut draft = crate::snapshot::Draft::begin(&request, place.dir.path(), 0).unwrap();
    let object = files(place.dir.path(), "objects").remove(0);
    let number = *old.state().partitions.keys().next().unwrap();
    let of_old = (number, fs::metadata(&object).unwrap().len());
    let given_up = kv
        .driver
        .shared
        .link(&old, &mut draft, of_old, (&object, "objects/o"));
    assert!(
        matches!(&given_up, Err(SnapshotError::Store(Error::Unavailable(text))) if text.contains("opened anew")),
        "{given_up:?}"
    );
    assert_eq!(links(&object), 1);
    drop(draft);
    place.snapshot("s").await.unwrap();
}

/// However the path is written: a link may have been made after the setting was checked.
#[tokio::test]
async fn no_snapshot_is_made_inside_the_store() {
    let place = Place::new().await;
    place.kv.put("p", "o", b"1").await.unwrap();
    let store = place.kv.driver.shared.options.dir.clone();
    let link = place.below.path().join("link");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    let name = store.file_name().unwrap();
    for below in [
        store.clone(),
        link.clone(),
        link.join("new"),
        store.join("..").join(name),
    ] {
        let request = SnapshotRequest::new(below, "s".parse().unwrap());
        let refused = place.kv.driver.shared.snapshot(&request).unwrap_err();
        assert!(matches!(refused, SnapshotError::InStore(_)), "{refused}");
    }
    assert!(!store.join("s").exists() && !store.join("new").exists());
}
