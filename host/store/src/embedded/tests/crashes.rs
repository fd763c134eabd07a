//! Crashes at any moment, and failing disks: nothing synced is lost, and nothing unsynced is acknowledged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::{Faults, copy, files, noise, open};
use crate::{Change, Error};

#[tokio::test]
async fn a_copy_of_the_folder_at_any_moment_has_all_synced_writes() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    for n in 0..12_u64 {
        let sort = format!("{n:02}");
        kv.put("p", &sort, &noise(30_000, n)).await.unwrap();
        kv.commit("q", &sort, &noise(500, n)).await.unwrap();
        kv.sync().await.unwrap();
        if n % 5 == 4 {
            kv.flush();
        }
        // Not synced, so it may exist or not.
        kv.commit("q", "unsynced", &noise(50_000, n)).await.unwrap();
        let image = TempDir::new().unwrap();
        copy(dir.path(), image.path());
        let kv = open(image.path()).await;
        for n in 0..=n {
            let sort = format!("{n:02}");
            assert_eq!(kv.get("p", &sort).await.unwrap(), Some(noise(30_000, n)));
            assert_eq!(kv.get("q", &sort).await.unwrap(), Some(noise(500, n)));
        }
    }
}

/// Opens a copy of the folder with a changed end of the journal.
async fn with_tail(damage: impl Fn(&mut Vec<u8>)) {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.commit("p", "a", b"first").await.unwrap();
    kv.sync().await.unwrap();
    let synced = fs::read(files(dir.path(), "journal").last().unwrap())
        .unwrap()
        .len();
    kv.put("p", "o", &noise(1000, 1)).await.unwrap();
    kv.commit("p", "a", b"second").await.unwrap();
    kv.sync().await.unwrap();
    copy(dir.path(), image.path());
    let path = files(image.path(), "journal").pop().unwrap();
    let mut journal = fs::read(&path).unwrap();
    let mut tail = journal.split_off(synced);
    damage(&mut tail);
    journal.extend_from_slice(&tail);
    fs::write(path, journal).unwrap();

    let kv = open(image.path()).await;
    assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"first".to_vec()));
    assert_eq!(kv.get("p", "o").await.unwrap(), None);
    kv.commit("p", "a", b"third").await.unwrap();
    kv.sync().await.unwrap();
    drop(kv);
    let kv = open(image.path()).await;
    assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"third".to_vec()));
}

#[tokio::test]
async fn a_torn_frame_is_ignored() {
    with_tail(|tail| tail.truncate(tail.len() / 2)).await;
    with_tail(|tail| tail.truncate(3)).await;
    with_tail(|tail| {
        let middle = tail.len() / 2;
        tail[middle] ^= 1;
    })
    .await;
    with_tail(|tail| tail.fill(0)).await;
    with_tail(|tail| *tail = noise(5000, 9)).await;
}

/// It is no crash that takes away what was on disk before: the last frame may have been acknowledged, so its objects count as lost.
#[tokio::test]
async fn a_last_frame_is_kept_if_its_file_lacks_earlier_objects_too() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    for sort in ["first", "last"] {
        kv.put("p", sort, &noise(10_000, 1)).await.unwrap();
        kv.commit("q", sort, b"1").await.unwrap();
        kv.sync().await.unwrap();
    }
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    let cut = |file: &Path| {
        let file = OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(5000).unwrap();
    };
    for damage in [remove as fn(&Path), cut] {
        let image = TempDir::new().unwrap();
        copy(dir.path(), image.path());
        damage(&files(image.path(), "objects")[0]);
        let kv = open(image.path()).await;
        for sort in ["first", "last"] {
            let got = kv.get("p", sort).await;
            assert!(matches!(got, Err(Error::DataLoss(_))), "{sort}: {got:?}");
            assert_eq!(kv.get("q", sort).await.unwrap(), Some(b"1".to_vec()));
        }
    }
}

#[tokio::test]
async fn a_last_frame_without_its_objects_is_ignored() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open(dir.path()).await;
    kv.commit("p", "a", b"first").await.unwrap();
    kv.sync().await.unwrap();
    kv.put("p", "o", &noise(10_000, 1)).await.unwrap();
    kv.commit("p", "a", b"second").await.unwrap();
    kv.sync().await.unwrap();
    copy(dir.path(), image.path());
    let object = OpenOptions::new()
        .write(true)
        .open(&files(image.path(), "objects")[0])
        .unwrap();
    object.set_len(5000).unwrap();

    let kv = open(image.path()).await;
    assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"first".to_vec()));
    assert_eq!(kv.get("p", "o").await.unwrap(), None);
    kv.put("p", "o", b"anew").await.unwrap();
    assert_eq!(kv.get("p", "o").await.unwrap(), Some(b"anew".to_vec()));
}

#[tokio::test]
async fn a_damaged_object_is_data_loss_and_nothing_else_is() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    for n in 0..3 {
        kv.put("p", &format!("o{n}"), &noise(10_000, n))
            .await
            .unwrap();
    }
    kv.sync().await.unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(&files(dir.path(), "objects")[0])
        .unwrap();
    file.write_all_at(b"damage", 15_000).unwrap();
    assert!(kv.get("p", "o0").await.unwrap().is_some());
    assert!(kv.get("p", "o2").await.unwrap().is_some());
    let damaged = kv.get("p", "o1").await;
    assert!(
        matches!(&damaged, Err(Error::DataLoss(text)) if text.contains("partition `p`, key 6f31")),
        "{damaged:?}"
    );
    let mut found = Vec::new();
    let checked = kv.driver.check(&mut |damage| found.push(damage));
    assert_eq!((checked.values, checked.damaged), (3, 1));
    assert_eq!(found[0].sort.as_deref(), Some(&b"o1"[..]));
    assert_eq!(found[0].tenant, "t");
}

/// Upkeep does this with entries that cannot be read.
#[tokio::test]
async fn damaged_entries_of_the_tree_can_be_deleted_and_overwritten() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    // Each value has its own block of the tree.
    let keys = ["a", "b", "c", "d", "e"];
    for (n, key) in (0..).zip(keys) {
        kv.commit("p", key, &noise(20_000, n)).await.unwrap();
    }
    drop(kv);
    let table = files(dir.path(), "tree/tables").into_iter();
    let table = table.max_by_key(|it| fs::metadata(it).unwrap().len());
    let file = OpenOptions::new().write(true).open(table.unwrap()).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.write_all_at(b"damage", middle).unwrap();

    let kv = open(dir.path()).await;
    let mut lost = Vec::new();
    for key in keys {
        match kv.get("p", key).await {
            Ok(value) => assert_eq!(value.unwrap().len(), 20_000),
            Err(Error::DataLoss(_)) => lost.push(key),
            Err(error) => panic!("{error}"),
        }
    }
    let [lost] = lost[..] else {
        panic!("one value is damaged, but these cannot be read: {lost:?}");
    };
    let delete = vec![Change::Delete(lost.into())];
    kv.kv.commit(&kv.claim, "p", delete).await.unwrap();
    assert_eq!(kv.get("p", lost).await.unwrap(), None);
    kv.commit("p", lost, b"anew").await.unwrap();
    assert_eq!(kv.get("p", lost).await.unwrap(), Some(b"anew".to_vec()));
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nothing_and_the_store_comes_back_by_itself() {
    for fail in [
        |faults: &Faults| faults.fail_syncs(0, 1),
        |faults: &Faults| faults.fail_writes(0, 1),
    ] {
        let dir = TempDir::new().unwrap();
        let kv = open(dir.path()).await;
        kv.commit("p", "a", b"kept").await.unwrap();
        kv.sync().await.unwrap();
        let generation = kv.kv.generation();
        kv.commit("p", "b", b"lost").await.unwrap();
        fail(&kv.faults);
        let failed = kv.kv.sync(generation).await;
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        let refused = kv.commit("p", "c", b"refused").await;
        assert!(
            matches!(refused, Err(Error::Unavailable(_) | Error::Fenced)),
            "{refused:?}"
        );
        assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"kept".to_vec()));

        kv.driver.shared.recover().unwrap();
        let late = kv.kv.sync(generation).await;
        assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
        assert_eq!(kv.commit("p", "c", b"1").await, Err(Error::Fenced));
        assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"kept".to_vec()));
        assert_eq!(kv.get("p", "b").await.unwrap(), None);
        let claim = kv.kv.claim("w").await.unwrap();
        kv.kv
            .commit(&claim, "p", vec![super::put("d", b"1")])
            .await
            .unwrap();
        kv.sync().await.unwrap();
    }
}
