//! Random sequences of calls, compared with a model.

use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::Subject;
use super::fixture::{assert_fenced, assert_never_again, key_of, noise, pages, partitions, reopen};
use super::model::Model;
use crate::test_support::{all, put};
use crate::{Change, Claim, Driver, Entry, Namespace, Object, Scan};

/// Sort keys of which some begin with others.
const SORTS: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x00\xff",
    b"a",
    b"a\x00",
    b"a\xff",
    b"b",
    b"\xff\xff",
];
const PARTITIONS: u8 = 4;
/// Each partition is one writer's.
const WRITERS: u8 = 2;

#[derive(Clone, Debug)]
enum Step {
    /// Puts objects: sort keys with lengths of values.
    Put(u8, Vec<(u8, usize)>),
    /// Commits changes: `None` deletes.
    Commit(u8, Vec<(u8, Option<usize>)>),
    Reclaim(u8),
    Claim(u8),
    Retire(u8),
    /// With `forget`, the tenant is removed and opened anew.
    Purge {
        forget: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let sort = || 0..u8::try_from(SORTS.len()).unwrap_or(u8::MAX);
    let objects = proptest::collection::btree_map(sort(), 0..5000_usize, 1..4);
    let change = (sort(), proptest::option::weighted(0.7, 0..300_usize));
    let changes = proptest::collection::vec(change, 1..5);
    prop_oneof![
        6 => (0..PARTITIONS, objects).prop_map(|(p, o)| Step::Put(p, o.into_iter().collect())),
        8 => (0..PARTITIONS, changes).prop_map(|(p, c)| Step::Commit(p, c)),
        1 => (0..PARTITIONS).prop_map(Step::Reclaim),
        2 => (0..WRITERS).prop_map(Step::Claim),
        1 => (0..WRITERS).prop_map(Step::Retire),
        1 => any::<bool>().prop_map(|forget| Step::Purge { forget }),
        1 => Just(Step::Restart),
    ]
}

/// A tenant of the driver, and the model of it.
struct Both<'a> {
    subject: &'a dyn Subject,
    driver: Arc<dyn Driver>,
    tenant: String,
    kv: Arc<dyn Namespace>,
    claims: Vec<Claim>,
    model: Model,
    /// Number of reclaims of each partition, as a suffix of its name.
    reclaims: [u32; PARTITIONS as usize],
    /// Makes values differ.
    seed: u64,
}

pub async fn any_sequence_of_calls_has_the_results_of_the_model(subject: &dyn Subject) {
    let mut runner = TestRunner::new(Config {
        cases: subject.random_cases(),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let driver = Mutex::new((Some(subject.driver().await), 0_u32));
    let steps = proptest::collection::vec(step(), 1..25);
    let ran = block_in_place(|| {
        runner.run(&steps, |steps| {
            let (taken, tenant) = {
                let mut driver = driver.lock();
                driver.1 += 1;
                // A sequence with a restart has the only handle. If it fails, the next one has no driver.
                let restarts = steps.iter().any(|step| matches!(step, Step::Restart));
                let taken = if restarts {
                    driver.0.take()
                } else {
                    driver.0.clone()
                };
                (taken, driver.1)
            };
            let taken = taken.expect("an earlier sequence has ended the driver");
            let run = Both::run(subject, taken, format!("t{tenant}"), steps);
            let kept = Handle::current().block_on(run);
            driver.lock().0 = Some(kept);
            Ok(())
        })
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

// === impl Both ===

impl<'a> Both<'a> {
    /// Returns the driver, which may be another one after a restart.
    async fn run(
        subject: &'a dyn Subject,
        driver: Arc<dyn Driver>,
        tenant: String,
        steps: Vec<Step>,
    ) -> Arc<dyn Driver> {
        let kv = driver.open(&tenant).await.unwrap();
        let mut both = Self {
            subject,
            driver,
            tenant,
            kv,
            claims: Vec::new(),
            model: Model::default(),
            reclaims: [0; PARTITIONS as usize],
            seed: 0,
        };
        both.claim_all().await;
        for step in steps {
            both.step(step).await;
        }
        both.compare_all().await;
        both.driver.forget(&both.tenant).await.unwrap();
        both.driver
    }

    async fn claim_all(&mut self) {
        self.claims.clear();
        for id in [self.driver.writer_id(), "other".to_owned()] {
            let claim = self.kv.claim(&id).await.unwrap();
            self.claims.push(claim);
        }
    }

    fn name(&self, partition: u8) -> String {
        let reclaims = self.reclaims[usize::from(partition)];
        format!("p{partition}-{reclaims}")
    }

    fn writer(&self, partition: u8) -> &Claim {
        &self.claims[usize::from(partition % WRITERS)]
    }

    fn value(&mut self, length: usize) -> Vec<u8> {
        self.seed += 1;
        let mut value = noise(length / 2, self.seed);
        value.resize(length, 0);
        value
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(partition, objects) => self.put(partition, objects).await,
            Step::Commit(partition, changes) => self.commit(partition, changes).await,
            Step::Reclaim(partition) => self.reclaim(partition).await,
            Step::Claim(writer) => self.claim(writer, false).await,
            Step::Retire(writer) => self.claim(writer, true).await,
            Step::Purge { forget } => self.purge(forget).await,
            Step::Restart => self.restart().await,
        }
    }

    async fn put(&mut self, partition: u8, objects: Vec<(u8, usize)>) {
        let name = self.name(partition);
        let objects = objects.into_iter().map(|(sort, length)| Object {
            key: key_of(&name, SORTS[usize::from(sort)]),
            value: self.value(length),
        });
        let objects: Vec<_> = objects.collect();
        let by = self.writer(partition);
        self.kv.put(by, objects.clone()).await.unwrap();
        self.model.put(objects);
        self.compare(partition).await;
    }

    async fn commit(&mut self, partition: u8, changes: Vec<(u8, Option<usize>)>) {
        let changes = changes.into_iter().map(|(sort, length)| {
            let sort = SORTS[usize::from(sort)].to_vec();
            match length {
                Some(length) => Change::Put(Entry {
                    sort,
                    value: self.value(length),
                }),
                None => Change::Delete(sort),
            }
        });
        let changes: Vec<_> = changes.collect();
        let (by, name) = (self.writer(partition).clone(), self.name(partition));
        self.kv.commit(&by, &name, changes.clone()).await.unwrap();
        self.model.commit(&by.writer, &name, changes);
        self.compare(partition).await;
    }

    async fn reclaim(&mut self, partition: u8) {
        let (by, name) = (self.writer(partition).clone(), self.name(partition));
        self.kv.reclaim(&by, &name).await.unwrap();
        self.model.reclaim(&name);
        let again = self.kv.commit(&by, &name, vec![put("x", "again")]).await;
        assert_never_again(&again);
        self.reclaims[usize::from(partition)] += 1;
        self.compare(partition).await;
    }

    /// Claims an id again, after it was retired or not. What comes late under the old claim is refused.
    async fn claim(&mut self, writer: u8, retire: bool) {
        let old = self.claims[usize::from(writer)].clone();
        if retire {
            self.kv.retire(&old).await.unwrap();
            self.model.writers.remove(&old.writer);
        } else {
            self.claims[usize::from(writer)] = self.kv.claim(&old.writer).await.unwrap();
        }
        let late = vec![put("late", "late")];
        let late = self.kv.commit(&old, &self.name(writer), late).await;
        assert_fenced(&late);
        if retire {
            self.claims[usize::from(writer)] = self.kv.claim(&old.writer).await.unwrap();
        }
        self.compare(writer).await;
    }

    async fn purge(&mut self, forget: bool) {
        let old = Arc::clone(&self.kv);
        if forget {
            self.driver.forget(&self.tenant).await.unwrap();
            self.kv = self.driver.open(&self.tenant).await.unwrap();
        } else {
            self.kv = self.driver.renew(&self.tenant).await.unwrap();
        }
        let late = vec![put("late", "late")];
        let late = old.commit(&self.claims[0], &self.name(0), late).await;
        assert_fenced(&late);
        assert!(!old.is_current().await.unwrap());
        self.model = Model::default();
        self.claim_all().await;
        self.compare_all().await;
    }

    async fn restart(&mut self) {
        if !self.driver.is_durable() {
            return;
        }
        self.kv.sync(self.kv.generation()).await.unwrap();
        // Another driver stands in for what is dropped.
        let spare: Arc<dyn Driver> = Arc::new(crate::MemoryDriver::new());
        self.kv = spare.open("spare").await.unwrap();
        let old = std::mem::replace(&mut self.driver, spare);
        let reopened = reopen(self.subject, old).await;
        self.driver = reopened.expect("a durable driver can be opened again");
        self.kv = self.driver.open(&self.tenant).await.unwrap();
        self.compare_all().await;
        self.claim_all().await;
    }

    async fn compare(&self, partition: u8) {
        let name = self.name(partition);
        let due = self.model.entries(&name);
        // Another size of pages each time.
        let max_entries = match self.seed % 4 {
            0 => u32::MAX,
            small => u32::try_from(small).unwrap_or(1),
        };
        for descending in [false, true] {
            let scan = Scan {
                descending,
                max_entries,
                ..all()
            };
            let mut found = pages(&*self.kv, &name, &scan).await;
            if descending {
                found.reverse();
            }
            assert!(found == due, "{name}: {found:?} is not {due:?}");
        }
        let keys: Vec<_> = SORTS.iter().map(|sort| key_of(&name, sort)).collect();
        let got = self.kv.get(&keys).await.unwrap();
        for (key, got) in keys.iter().zip(got) {
            let due = due.iter().find(|entry| entry.sort == key.sort);
            let due = due.map(|entry| &entry.value);
            assert!(got.as_ref() == due, "{key:?}: {got:?} is not {due:?}");
        }
        self.model.check_partitions(&partitions(&*self.kv).await);
        let mut writers = self.kv.writers().await.unwrap();
        writers.sort();
        assert!(writers.iter().eq(&self.model.writers), "{writers:?}");
    }

    async fn compare_all(&self) {
        for partition in 0..PARTITIONS {
            self.compare(partition).await;
        }
    }
}
