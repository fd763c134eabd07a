//! Copies between drivers, with a target that fails and that tells the order of what is written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod target;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{CopyError, CopyOptions, CopyProgress, Extent, Standing, copy, look};
use crate::embedded::{Durability, EmbeddedDriver, Options};
use crate::test_support::{all, key, put};
use crate::{
    Change, Driver, Error, MAX_COMMIT_BYTES, MemoryDriver, Namespace, Object, Scan, Stored,
};
use target::{Target, Write};

const TENANT: &str = "t";

fn embedded(dir: &Path) -> EmbeddedDriver {
    let options = options(dir);
    EmbeddedDriver::open(options).unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        durability: Durability::Sync,
        quotas: crate::Quotas::default(),
        min_free: 0,
        open_files: 64,
        scheduler: Arc::default(),
    }
}

fn object(partition: &str, sort: &str, bytes: usize) -> Object {
    Object {
        key: key(partition, sort),
        value: vec![sort.len().to_le_bytes()[0]; bytes],
    }
}

/// Writes as a plugin does: data, then a head that refers to it; some of it repaired, some of the host's own, and a partition reclaimed.
async fn fill(driver: &dyn Driver, writer: &str) {
    let kv = driver.open(TENANT).await.unwrap();
    let claim = kv.claim(writer).await.unwrap();
    let (data, index) = (format!("data/1/{writer}"), format!("index/2/{writer}"));
    for n in 0..5 {
        let sort = format!("o{n}");
        kv.put(&claim, vec![object(&data, &sort, 900_000)])
            .await
            .unwrap();
    }
    kv.put(&claim, vec![object(&index, "h", 10)]).await.unwrap();
    kv.put(&claim, vec![object(&format!("index/3/{writer}"), "h", 10)])
        .await
        .unwrap();
    let gone = format!("index/1/{writer}");
    kv.put(&claim, vec![object(&gone, "h", 10)]).await.unwrap();
    kv.reclaim(&claim, &gone).await.unwrap();
    kv.commit(&claim, &index, vec![put("h", "repaired"), put("k", "new")])
        .await
        .unwrap();
    kv.commit(&claim, &data, vec![Change::Delete(b"o3".to_vec())])
        .await
        .unwrap();
    let head = format!("head/{writer}");
    for n in 0..20 {
        let entry = put(&format!("e{n:02}"), vec![n; 50_000]);
        kv.commit(&claim, &head, vec![entry]).await.unwrap();
    }
    let roots = vec![put("m", vec![1; 100_000]), put("s", "stamp")];
    kv.commit(&claim, &head, roots).await.unwrap();
    let host = kv.claim(&format!("_host/graph/{writer}")).await.unwrap();
    kv.commit(&host, "_host/graph/state", vec![put("k", "v")])
        .await
        .unwrap();
    kv.sync(kv.generation()).await.unwrap();
}

type Values = BTreeMap<(String, Vec<u8>), (Vec<u8>, bool)>;

/// All values that a plugin sees, and whether each is an object.
async fn values(kv: &dyn Namespace) -> Values {
    let mut found = Values::new();
    for name in kv.partitions().await.unwrap() {
        if name.starts_with("_host/") {
            continue;
        }
        for entry in kv.scan(&name, &all()).await.unwrap().entries {
            let at = crate::Key {
                partition: name.clone(),
                sort: entry.sort.clone(),
            };
            let got = kv.get(&[at]).await.unwrap();
            assert_eq!(got, [Some(entry.value.clone())]);
            let one = Scan {
                start: entry.sort.clone(),
                max_entries: 1,
                ..all()
            };
            let object = kv.scan_stored(&name, Stored::Object, &one).await.unwrap();
            let is_object = object.entries.iter().any(|it| it.sort == entry.sort);
            found.insert((name.clone(), entry.sort), (entry.value, is_object));
        }
    }
    found
}

async fn open(driver: &dyn Driver) -> Arc<dyn Namespace> {
    driver.open(TENANT).await.unwrap()
}

fn once() -> CopyOptions {
    CopyOptions {
        at_once: 3,
        repetitions: 0,
    }
}

async fn run(source: &dyn Driver, target: &dyn Driver) -> Result<(Extent, Standing), CopyError> {
    copy(source, target, TENANT, (once(), &CopyProgress::default())).await
}

async fn standing(source: &dyn Driver, target: &dyn Driver) -> Standing {
    look(source, Some(target), TENANT).await.unwrap().1
}

async fn assert_equal(source: &dyn Driver, target: &dyn Driver) {
    let (from, to) = (open(source).await, open(target).await);
    let (wanted, found) = (values(&*from).await, values(&*to).await);
    assert!(!wanted.is_empty());
    assert!(found == wanted, "{:?} {:?}", found.keys(), wanted.keys());
    let plugins = |ids: Vec<String>| {
        let ids = ids.into_iter().filter(|id| !id.starts_with("_host/"));
        ids.collect::<Vec<_>>()
    };
    let wanted = plugins(from.writers().await.unwrap());
    assert_eq!(to.writers().await.unwrap(), wanted);
}

#[tokio::test]
async fn a_folder_is_copied_as_it_is_and_stays_as_it_was() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let writer = {
        let source = embedded(dir.path());
        let writer = source.writer_id();
        fill(&source, &writer).await;
        fill(&source, "another").await;
        source.close().await.unwrap();
        writer
    };
    let source = EmbeddedDriver::open_read_only(options(dir.path()), scratch.path());
    let source = source.unwrap().unwrap();

    let memory = MemoryDriver::new();
    let progress = CopyProgress::default();
    assert_eq!(standing(&source, &memory).await, Standing::Ready);
    assert!(memory.tenants().await.unwrap().is_empty());
    let copied = copy(&source, &memory, TENANT, (once(), &progress)).await;
    let (extent, before) = copied.unwrap();
    assert_eq!(before, Standing::Ready);
    assert_eq!((extent.writers.len(), extent.partitions), (2, 8));
    assert_equal(&source, &memory).await;
    let wanted = values(&*open(&source).await).await;
    assert_eq!(progress.values(), wanted.len() as u64);

    let other = tempfile::tempdir().unwrap();
    assert!(EmbeddedDriver::give_writer_id(other.path(), &writer).unwrap());
    assert!(!EmbeddedDriver::give_writer_id(other.path(), &writer).unwrap());
    let target = embedded(other.path());
    assert_eq!(target.writer_id(), writer);
    run(&source, &target).await.unwrap();
    assert_equal(&source, &target).await;
    target.close().await.unwrap();
    drop(target);
    let target = embedded(other.path());
    assert_equal(&source, &target).await;
    assert_eq!(run(&source, &target).await.unwrap().1, Standing::Copied);
}

#[tokio::test]
async fn no_head_is_there_before_all_that_it_refers_to() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let target = Target::new();
    run(&source, &target).await.unwrap();
    let writes = target.writes();
    let is_head = |it: &Write| it.partition == "head/a";
    let first = writes.iter().position(is_head).unwrap();
    let of_data = |it: &Write| !is_head(it) && !it.partition.starts_with("_host/");
    assert!(writes[first..].iter().all(|it| !of_data(it)));
    let puts = writes.iter().rposition(|it| it.is_put).unwrap();
    let commits = writes.iter().position(|it| of_data(it) && !it.is_put);
    assert!(puts < commits.unwrap());
    let heads: Vec<&Write> = writes.iter().filter(|it| is_head(it)).collect();
    let (last, rest) = heads.split_last().unwrap();
    assert!(!rest.is_empty());
    // The roots of the head come together, with as much before them as fits.
    assert_eq!(
        last.sorts[last.sorts.len() - 2..],
        [b"m".to_vec(), b"s".to_vec()]
    );
    assert_eq!(last.sorts.len(), 5);
    assert!(heads.iter().all(|it| it.bytes <= MAX_COMMIT_BYTES));
    assert!(rest.iter().all(|it| !it.sorts.contains(&b"m".to_vec())));
}

#[tokio::test]
async fn what_the_host_of_a_folder_keeps_of_its_data_is_outdated() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let dir = tempfile::tempdir().unwrap();
    let target = embedded(dir.path());
    let kv = open(&target).await;
    let before = kv.claim(&target.writer_id()).await.unwrap();
    run(&source, &target).await.unwrap();
    let now = kv.claim(&target.writer_id()).await.unwrap();
    assert_eq!(now.epoch, before.epoch + 2);
}

#[tokio::test]
async fn what_no_commit_takes_is_put() {
    let source = MemoryDriver::new();
    let kv = open(&source).await;
    let claim = kv.claim("a").await.unwrap();
    let large = put("l", vec![7; MAX_COMMIT_BYTES + 1]);
    kv.commit(&claim, "head/a", vec![put("k", "v"), large, put("m", "v")])
        .await
        .unwrap();
    let target = MemoryDriver::new();
    run(&source, &target).await.unwrap();
    let found = values(&*open(&target).await).await;
    let kinds: Vec<bool> = found.values().map(|(_, is_object)| *is_object).collect();
    assert_eq!(kinds, [false, true, false]);
}

#[tokio::test]
async fn data_that_no_copy_has_put_there_is_refused() {
    let (source, target) = (MemoryDriver::new(), MemoryDriver::new());
    fill(&source, "a").await;
    fill(&target, "a").await;
    let before = values(&*open(&target).await).await;
    let Standing::Refused(why) = run(&source, &target).await.unwrap().1 else {
        panic!("not refused");
    };
    assert!(why.contains("writer `a`"), "{why}");
    assert_eq!(standing(&source, &target).await, Standing::Refused(why));
    assert!(before == values(&*open(&target).await).await);

    let target = MemoryDriver::new();
    let kv = open(&target).await;
    let claim = kv.claim("b").await.unwrap();
    kv.put(&claim, vec![object("data/1/a", "x", 1)])
        .await
        .unwrap();
    let Standing::Refused(why) = run(&source, &target).await.unwrap().1 else {
        panic!("not refused");
    };
    assert!(why.contains("partition `data/1/a`"), "{why}");
}

#[tokio::test]
async fn a_live_host_with_the_id_is_told() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let target = Target::new();
    target.hold("a");
    let failed = run(&source, &target).await.unwrap_err();
    assert_eq!(failed, CopyError::Target(Error::Held("a is alive".into())));
    assert!(target.writes().is_empty());
}

#[tokio::test]
async fn a_writer_whose_number_another_has_is_refused() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let target = Target::numbering("b", crate::local_number("a"));
    let kv = open(&target).await;
    let claim = kv.claim("b").await.unwrap();
    kv.commit(&claim, "head/b", vec![put("k", "v")])
        .await
        .unwrap();
    let Standing::Refused(why) = run(&source, &target).await.unwrap().1 else {
        panic!("not refused");
    };
    assert!(why.contains("`b`"), "{why}");
}

#[tokio::test]
async fn a_source_that_has_changed_is_copied_anew_until_something_is_visible() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let target = Target::new();
    // Cut off among the objects, and then changed.
    target.fail_write(4);
    run(&source, &target).await.unwrap_err();
    assert_eq!(standing(&source, &target).await, Standing::Begun);
    let kv = open(&source).await;
    let claim = kv.claim("a").await.unwrap();
    kv.put(&claim, vec![object("data/1/a", "a-before", 10)])
        .await
        .unwrap();
    kv.commit(&claim, "head/a", vec![put("s", "newer")])
        .await
        .unwrap();
    assert_eq!(run(&source, &target).await.unwrap().1, Standing::Begun);
    assert_equal(&source, &target).await;
    assert_eq!(standing(&source, &target).await, Standing::Copied);

    kv.commit(&claim, "head/a", vec![put("s", "newest")])
        .await
        .unwrap();
    let Standing::Refused(why) = run(&source, &target).await.unwrap().1 else {
        panic!("not refused");
    };
    assert!(why.contains("was copied"), "{why}");
}

#[tokio::test]
async fn what_a_host_has_done_since_is_not_undone() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let writes = {
        let target = Target::new();
        run(&source, &target).await.unwrap();
        target.writes()
    };
    let last_of_head = writes.iter().rposition(|it| it.partition == "head/a");
    let last_of_head = last_of_head.unwrap();

    // Cut off after everything was visible: another host has adopted the writer.
    let target = Target::new();
    target.fail_write(last_of_head + 1);
    run(&source, &target).await.unwrap_err();
    let kv = open(&target).await;
    let claim = kv.claim("a").await.unwrap();
    kv.commit(&claim, "head/a", vec![put("s", "adopted")])
        .await
        .unwrap();
    assert_eq!(run(&source, &target).await.unwrap().1, Standing::Begun);
    let stamp = kv.get(&[key("head/a", "s")]).await.unwrap();
    assert_eq!(stamp, [Some(b"adopted".to_vec())]);
    // It was not even fenced.
    kv.commit(&claim, "head/a", vec![put("s", "adopted still")])
        .await
        .unwrap();

    // Cut off before: what another host has changed is not overwritten.
    let target = Target::new();
    target.fail_write(last_of_head);
    run(&source, &target).await.unwrap_err();
    let kv = open(&target).await;
    let claim = kv.claim("a").await.unwrap();
    kv.commit(&claim, "head/a", vec![put("e00", "changed")])
        .await
        .unwrap();
    let failed = run(&source, &target).await.unwrap_err();
    assert!(matches!(&failed, CopyError::Refused(why) if why.contains("`head/a`")));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_repeated_while_the_target_is_not_reached() {
    let source = MemoryDriver::new();
    fill(&source, "a").await;
    let target = Target::new();
    target.fail_write(4);
    let options = CopyOptions {
        repetitions: 1,
        ..once()
    };
    let copied = copy(
        &source,
        &target,
        TENANT,
        (options, &CopyProgress::default()),
    )
    .await;
    assert_eq!(copied.unwrap().1, Standing::Ready);
    assert_equal(&source, &target).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_copy_that_is_cut_off_anywhere_goes_on_to_the_same_end(
        failures in prop::collection::vec((0_usize..60, any::<bool>()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let source = MemoryDriver::new();
            fill(&source, "a").await;
            fill(&source, "b").await;
            let target = Target::new();
            for (call, applied) in failures {
                target.fail_call(call, applied);
                if let Err(error) = run(&source, &target).await {
                    let may_pass = |it: &Error| it.may_pass();
                    assert!(matches!(&error, CopyError::Target(it) if may_pass(it)), "{error}");
                }
            }
            target.stop_failing();
            run(&source, &target).await.unwrap();
            assert_equal(&source, &target).await;
            assert_eq!(standing(&source, &target).await, Standing::Copied);
        });
    }
}
