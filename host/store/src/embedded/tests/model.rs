//! Compares the driver with the in-memory driver under random calls, restarts, crashes and snapshots.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::snapshots::{rest, snapshot};
use super::{Opened, all, copy, noise, open};
use crate::{Change, Claim, Driver, Entry, MemoryDriver, Namespace, Object, Page, Scan, restore};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8, usize),
    Commit(u8, Vec<(u8, Option<usize>)>),
    Reclaim(u8),
    Flush,
    Compact,
    Restart,
    Crash,
    Purge,
    /// Goes on with a snapshot, or with the store that it is restored to. With `rested`, object files are linked where that is possible.
    Snapshot {
        rested: bool,
        restored: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..6_u8, proptest::option::weighted(0.7, 0..300_usize));
    prop_oneof![
        6 => (0..4_u8, 0..6_u8, 0..5000_usize).prop_map(|(p, s, l)| Step::Put(p, s, l)),
        8 => (0..4_u8, proptest::collection::vec(change, 1..5)).prop_map(|(p, c)| Step::Commit(p, c)),
        1 => (0..4_u8).prop_map(Step::Reclaim),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        2 => Just(Step::Restart),
        2 => Just(Step::Crash),
        1 => Just(Step::Purge),
        2 => any::<(bool, bool)>().prop_map(|(rested, restored)| Step::Snapshot { rested, restored }),
    ]
}

/// The driver and its model, side by side.
struct Both {
    real: Opened,
    model: MemoryDriver,
    namespace: Arc<dyn Namespace>,
    claim: Claim,
    /// The folder of the driver.
    dir: PathBuf,
    dirs: Vec<TempDir>,
    /// Stores of which a snapshot was made, with what they had when it was left.
    left: Vec<(Opened, Vec<(String, Page)>)>,
    /// Number of reclaims of each partition, as a suffix of its name.
    names: HashMap<u8, u32>,
    /// Makes values differ.
    seed: u64,
}

impl Both {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let model = MemoryDriver::new();
        let namespace = model.open("t").await.unwrap();
        let claim = namespace.claim("w").await.unwrap();
        Self {
            real: open(dir.path()).await,
            model,
            namespace,
            claim,
            dir: dir.path().to_owned(),
            dirs: vec![dir],
            left: Vec::new(),
            names: HashMap::new(),
            seed: 0,
        }
    }

    fn name(&self, partition: u8) -> String {
        format!(
            "p{partition}-{}",
            self.names.get(&partition).copied().unwrap_or(0)
        )
    }

    fn value(&mut self, length: usize) -> Vec<u8> {
        self.seed += 1;
        let mut value = noise(length / 2, self.seed);
        value.resize(length, 0);
        value
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(partition, sort, length) => {
                let object = Object {
                    key: super::key(&self.name(partition), &sort.to_string()),
                    value: self.value(length),
                };
                self.real
                    .kv
                    .put(&self.real.claim, vec![object.clone()])
                    .await
                    .unwrap();
                self.namespace.put(&self.claim, vec![object]).await.unwrap();
            }
            Step::Commit(partition, changes) => {
                let name = self.name(partition);
                let mut made = Vec::new();
                for (sort, length) in changes {
                    let sort = sort.to_string().into_bytes();
                    made.push(match length {
                        Some(length) => Change::Put(Entry {
                            sort,
                            value: self.value(length),
                        }),
                        None => Change::Delete(sort),
                    });
                }
                self.real
                    .kv
                    .commit(&self.real.claim, &name, made.clone())
                    .await
                    .unwrap();
                self.namespace
                    .commit(&self.claim, &name, made)
                    .await
                    .unwrap();
            }
            Step::Reclaim(partition) => {
                let name = self.name(partition);
                self.real.kv.reclaim(&self.real.claim, &name).await.unwrap();
                self.namespace.reclaim(&self.claim, &name).await.unwrap();
                assert!(self.real.commit(&name, "x", b"1").await.is_err());
                *self.names.entry(partition).or_default() += 1;
            }
            Step::Flush => self.real.flush(),
            Step::Compact => {
                let store = self.real.driver.shared.store();
                super::super::durable::compact(&store).unwrap();
            }
            Step::Restart => {
                let spare = TempDir::new().unwrap();
                let old = std::mem::replace(&mut self.real, open(spare.path()).await);
                drop(old);
                self.real = open(&self.dir).await;
            }
            Step::Crash => {
                self.real.sync().await.unwrap();
                let image = TempDir::new().unwrap();
                copy(&self.dir, image.path());
                self.real = open(image.path()).await;
                self.dir = image.path().to_owned();
                self.dirs.push(image);
            }
            Step::Purge => {
                self.real.kv = self.real.driver.renew("t").await.unwrap();
                self.real.claim = self.real.kv.claim("w").await.unwrap();
                self.namespace = self.model.renew("t").await.unwrap();
                self.claim = self.namespace.claim("w").await.unwrap();
            }
            Step::Snapshot { rested, restored } => self.snapshot(rested, restored).await,
        }
    }

    async fn snapshot(&mut self, rested: bool, restored: bool) {
        if rested {
            rest(&self.dir);
        }
        let below = TempDir::new().unwrap();
        let made = snapshot(&self.real.driver, below.path(), "s")
            .await
            .unwrap();
        // Not in the snapshot, but in files that it may have too.
        for partition in 0..4 {
            let (name, value) = (self.name(partition), self.value(3000));
            self.real.put(&name, "after", &value).await.unwrap();
        }
        self.dir = if restored {
            let data = below.path().join("restored");
            restore(&made.path, &data).unwrap();
            data.join("kv")
        } else {
            made.path.join("kv")
        };
        let old = std::mem::replace(&mut self.real, open(&self.dir).await);
        let contents = contents(&old).await;
        self.left.push((old, contents));
        self.dirs.push(below);
    }

    async fn compare(&self) {
        let partitions = self.namespace.partitions().await.unwrap();
        let real = self.real.kv.partitions().await.unwrap();
        // A partition whose first commit only deletes exists for the driver, but not for the model.
        assert!(
            partitions.iter().all(|name| real.contains(name)),
            "{partitions:?} {real:?}"
        );
        for name in real {
            for descending in [false, true] {
                let scan = Scan {
                    descending,
                    ..all()
                };
                let expected = self.namespace.scan(&name, &scan).await.unwrap();
                assert_eq!(self.real.kv.scan(&name, &scan).await.unwrap(), expected);
                let short = Scan {
                    start: b"1".to_vec(),
                    end: Some(b"4".to_vec()),
                    max_entries: 2,
                    ..scan
                };
                let expected = self.namespace.scan(&name, &short).await.unwrap();
                assert_eq!(self.real.kv.scan(&name, &short).await.unwrap(), expected);
            }
        }
        let checked = self.real.driver.check(&mut |damage| panic!("{damage:?}"));
        assert_eq!(checked.damaged, 0);
    }

    /// Checks that no store was changed by writes to a snapshot of it.
    async fn compare_left(&self) {
        for (store, before) in &self.left {
            assert_eq!(&contents(store).await, before);
            let checked = store.driver.check(&mut |damage| panic!("{damage:?}"));
            assert_eq!(checked.damaged, 0);
        }
    }
}

/// Every partition with its entries.
async fn contents(store: &Opened) -> Vec<(String, Page)> {
    let mut contents = Vec::new();
    for name in store.kv.partitions().await.unwrap() {
        let page = store.kv.scan(&name, &all()).await.unwrap();
        contents.push((name, page));
    }
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_sequence_of_steps_has_the_results_of_the_model(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut both = Both::new().await;
            for step in steps {
                both.step(step).await;
                both.compare().await;
            }
            both.compare_left().await;
        });
    }
}
