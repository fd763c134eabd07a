//! A disk that becomes full, and what is kept in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lsm_tree::AbstractTree as _;
use tempfile::TempDir;

use super::{EmbeddedDriver, Faults, Options, all, noise, open_with, options, put};
use crate::{Change, Claim, Driver, Error, Object};

#[tokio::test]
async fn a_disk_that_becomes_full_refuses_objects_then_commits_and_resumes_by_itself() {
    let dir = TempDir::new().unwrap();
    let free = Arc::new(AtomicU64::new(2000));
    let probe = {
        let free = Arc::clone(&free);
        Box::new(move || Ok(free.load(Ordering::SeqCst)))
    };
    let options = Options {
        min_free: 1000,
        ..options(dir.path())
    };
    let driver = EmbeddedDriver::open_with(options, probe, Faults::default()).unwrap();
    let kv = driver.open("t").await.unwrap();
    let claim = kv.claim("w").await.unwrap();
    let object = |sort: &str| {
        vec![Object {
            key: super::key("p", sort),
            value: vec![1],
        }]
    };
    kv.put(&claim, object("a")).await.unwrap();

    free.store(999, Ordering::SeqCst);
    driver.shared.space.refresh();
    let refused = kv.put(&claim, object("b")).await;
    assert!(
        matches!(&refused, Err(Error::QuotaExceeded(text)) if text.contains("`kv.min_free`")),
        "{refused:?}"
    );
    kv.commit(&claim, "p", vec![put("c", b"1")]).await.unwrap();
    assert_eq!(driver.statistics().free_bytes, Some(999));

    free.store(499, Ordering::SeqCst);
    driver.shared.space.refresh();
    let refused = kv.commit(&claim, "p", vec![put("d", b"1")]).await;
    assert!(
        matches!(refused, Err(Error::QuotaExceeded(_))),
        "{refused:?}"
    );
    // Upkeep goes on: it makes room.
    let upkeep = Claim {
        is_upkeep: true,
        ..claim.clone()
    };
    kv.put(&upkeep, object("index")).await.unwrap();
    kv.commit(&upkeep, "p", vec![put("head", b"1")])
        .await
        .unwrap();
    free.store(62, Ordering::SeqCst);
    driver.shared.space.refresh();
    kv.commit(&upkeep, "p", vec![put("head", b"2")])
        .await
        .unwrap();
    free.store(61, Ordering::SeqCst);
    driver.shared.space.refresh();
    for refused in [
        kv.put(&upkeep, object("more")).await,
        kv.commit(&upkeep, "p", vec![put("head", b"3")]).await,
    ] {
        assert!(
            matches!(refused, Err(Error::QuotaExceeded(_))),
            "{refused:?}"
        );
    }

    kv.commit(&claim, "p", vec![Change::Delete(b"c".to_vec())])
        .await
        .unwrap();
    assert_eq!(kv.scan("p", &all()).await.unwrap().entries.len(), 3);
    kv.reclaim(&claim, "p").await.unwrap();
    assert_eq!(driver.statistics().refused_for_space, 4);

    free.store(1000, Ordering::SeqCst);
    driver.shared.space.refresh();
    kv.put(
        &claim,
        vec![Object {
            key: super::key("q", "a"),
            value: vec![1],
        }],
    )
    .await
    .unwrap();
}

/// Sizes of all collections that the driver keeps about partitions.
fn held(driver: &EmbeddedDriver) -> [usize; 14] {
    let store = driver.shared.store();
    let state = store.state();
    [
        state.partitions.len(),
        state.namespaces.values().map(|it| it.names.len()).sum(),
        state.to_remove.len(),
        state.untruncated.len(),
        state.changed.len(),
        state.unsynced.len(),
        store.live.len(),
        store.objects.open_len(),
        store.tree.sealed_memtable_count(),
        state.unrecorded.len(),
        state.dropped.len(),
        state.orphans.len(),
        state.shared.len(),
        state.writing.len(),
    ]
}

#[tokio::test]
async fn nothing_about_removed_partitions_is_kept_in_memory() {
    let (dir, below) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let kv = open_with(options(dir.path())).await;
    kv.commit("head", "entry", b"1").await.unwrap();
    kv.flush();
    let before = held(&kv.driver);
    for n in 0..300_u64 {
        let name = format!("data/{n}");
        kv.put(&name, "object", &noise(1000, n)).await.unwrap();
        kv.commit(&name, "entry", b"1").await.unwrap();
        // One that is never read, and one without objects.
        kv.commit(&format!("index/{n}"), "entry", b"1")
            .await
            .unwrap();
        assert!(kv.get(&name, "object").await.unwrap().is_some());
        for name in [name, format!("index/{n}"), format!("none/{n}")] {
            kv.kv.reclaim(&kv.claim, &name).await.unwrap();
        }
        if n % 50 == 7 {
            // The files of these are linked, and then removed.
            super::snapshots::rest(dir.path());
            let name = format!("s{n}");
            let made = super::snapshots::snapshot(&kv.driver, below.path(), &name).await;
            assert!(made.unwrap().linked.files > 0);
        }
        if n % 10 == 9 {
            let removed = kv.driver.shared.remove_reclaimed(Duration::ZERO);
            removed.unwrap();
        }
    }
    kv.flush();
    assert_eq!(held(&kv.driver), before);
}
