//! What was not durable is lost, in the order in which it was written.

use std::sync::Arc;

use larder_core::testing::MemoryKeep;
use larder_model::storage::{Batch, Keep, Term};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::support::{DAY, Fragments, NOW, SMALL, Tenant, check_found, unavailable};

/// A tenant with a fragment that refers to a dictionary which is gone, and one that refers to that of `keep`.
async fn after_a_loss(keep: &Arc<MemoryKeep>, fragments: &Arc<Fragments>) -> Tenant {
    let lost = Tenant::open(&Arc::new(MemoryKeep::default()), fragments).await;
    lost.store(NOW, &["gone"]).await;
    let tenant = Tenant::open(keep, fragments).await;
    tenant.store(NOW, &["one"]).await;
    tenant
}

#[tokio::test]
async fn values_that_were_lost_are_durable_again_before_the_next_write() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["one"]).await;
    keep.sync();
    tenant.store(NOW, &["two"]).await;
    // Nothing of this is to be recorded.
    let batch = tenant.walk(NOW, &["two"]);
    keep.lose();
    assert_eq!(tenant.found().unwrap(), ["one", "two"]);
    tenant.write(NOW, &[&batch]).await.unwrap();
    assert_eq!(tenant.found().unwrap(), ["one", "two"]);
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn the_day_of_a_value_that_was_lost_is_written_again() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let later = NOW + 9 * DAY;
    tenant.store(NOW, &["one", "old"]).await;
    keep.sync();
    tenant.store(later, &["one"]).await;
    keep.lose();
    tenant.write(later, &[]).await.unwrap();
    let reopened = Tenant::open(&keep, &fragments).await;
    reopened.counted(later, Some(later));
    assert_eq!(reopened.found().unwrap(), ["one"]);
}

/// As where the claim of an id was lost: the state begins anew, while fragments are left.
#[tokio::test]
async fn a_dictionary_whose_log_was_lost_is_written_again_whole() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["one"]).await;
    keep.lose();
    assert!(keep.entries().is_empty());
    tenant.store(NOW, &["two"]).await;
    assert_eq!(tenant.found().unwrap(), ["one", "two"]);
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn nothing_is_recorded_before_what_was_lost_is() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["one"]).await;
    let batch = tenant.walk(NOW, &["two"]);
    keep.lose();
    keep.fail(Some(unavailable()));
    for _ in 0..2 {
        let refused = tenant.write(NOW, &[&batch]).await.unwrap_err();
        assert_eq!(refused.message(), unavailable().message());
        assert_eq!(tenant.found().unwrap(), ["one"]);
    }
    // What lists nothing needs no dictionary.
    tenant.write(NOW, &[]).await.unwrap();
    keep.fail(None);
    tenant.write(NOW, &[&batch]).await.unwrap();
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["one", "two"]);
}

/// It was not complete before the loss, and is not after it.
#[tokio::test]
async fn a_dictionary_that_has_lost_values_before_is_not_trusted_after_another_loss() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = after_a_loss(&keep, &fragments).await;
    keep.lose();
    tenant.store(NOW, &["two"]).await;
    assert_eq!(tenant.found(), None);
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found(), None);
}

/// A loss may take back what retention had dropped, also what refers to an earlier dictionary.
#[tokio::test]
async fn what_was_told_of_retention_before_a_loss_does_not_count_after_it() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = after_a_loss(&keep, &fragments).await;
    keep.sync();
    let later = NOW + 9 * DAY;
    tenant.counted(later, Some(later));
    keep.lose();
    tenant.store(later, &["two"]).await;
    assert_eq!(tenant.found(), None);
    // Retention has dropped it once more.
    tenant.counted(later, Some(later));
    tenant.store(later, &["three"]).await;
    assert_eq!(tenant.found().unwrap(), ["three", "two"]);
}

#[derive(Clone, Debug)]
enum Step {
    Walk(Vec<u8>),
    Write(usize),
    WriteAll,
    Sync,
    /// The process ends, and all that is not durable is lost.
    Crash,
    /// The process ends, and starts again.
    Restart,
    /// The store is opened anew in the running process, without what was not durable.
    Lose,
    /// The same, and the claim of an id is lost with it: the place is empty, while fragments are left.
    LoseClaim,
    Purge,
    /// The place is gone, as after an older release has used the store.
    Forget,
    Hours(u64),
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0..12_u8, 1..5).prop_map(Step::Walk),
        4 => (0..3_usize).prop_map(Step::Write),
        3 => Just(Step::WriteAll),
        3 => Just(Step::Sync),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => Just(Step::Lose),
        1 => Just(Step::LoseClaim),
        1 => Just(Step::Purge),
        1 => Just(Step::Forget),
        2 => (1..70_u64).prop_map(Step::Hours),
        2 => (0..4_u64).prop_map(Step::Expire),
    ]
}

/// A tenant whose process may end, with the times of its fragments' writes.
struct Run {
    keep: Arc<MemoryKeep>,
    fragments: Arc<Fragments>,
    tenant: Tenant,
    written: Vec<(u64, Vec<Term>)>,
    /// Number of those that are durable.
    synced: usize,
    on_their_way: Vec<Batch>,
    now: u64,
}

impl Run {
    async fn new() -> Self {
        let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
        Self {
            tenant: Tenant::within(SMALL, &keep, &fragments).await,
            keep,
            fragments,
            written: Vec::new(),
            synced: 0,
            on_their_way: Vec::new(),
            now: NOW,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Walk(values) => {
                let values: Vec<_> = values.iter().map(|it| format!("v{it}")).collect();
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                self.on_their_way.push(self.tenant.walk(self.now, &values));
            }
            Step::Write(at) if at < self.on_their_way.len() => {
                let batch = self.on_their_way.remove(at);
                self.write(&[&batch]).await;
            }
            Step::Write(_) => {}
            Step::WriteAll => {
                let batches = std::mem::take(&mut self.on_their_way);
                self.write(&batches.iter().collect::<Vec<_>>()).await;
            }
            Step::Sync => {
                self.keep.sync();
                self.synced = self.written.len();
            }
            Step::Crash => {
                self.keep.lose();
                self.written.truncate(self.synced);
                self.restart().await;
            }
            Step::Restart => self.restart().await,
            Step::Lose => {
                self.keep.lose();
                self.written.truncate(self.synced);
            }
            Step::LoseClaim => {
                self.keep.lose_all();
                self.written.truncate(self.synced);
            }
            Step::Purge => {
                self.keep = Arc::new(MemoryKeep::default());
                self.written.clear();
                self.synced = 0;
                let keep = Arc::clone(&self.keep) as Arc<dyn Keep>;
                self.tenant.observer.forget(keep).await.unwrap();
                self.keep.sync();
            }
            Step::Forget => {
                self.keep = Arc::new(MemoryKeep::default());
                self.synced = self.written.len();
                self.restart().await;
            }
            Step::Hours(hours) => self.now += hours * DAY / 24,
            Step::Expire(days) => {
                let oldest = self.now.saturating_sub(days * DAY);
                let synced = self.written.iter().take(self.synced);
                self.synced = synced.filter(|(at, _)| *at >= oldest).count();
                self.written.retain(|(at, _)| *at >= oldest);
                let oldest = self.written.iter().map(|(at, _)| *at).min();
                self.tenant.counted(self.now, oldest);
            }
        }
        self.put();
    }

    async fn restart(&mut self) {
        self.on_their_way.clear();
        self.tenant.observer.close().await;
        self.put();
        self.tenant = Tenant::within(SMALL, &self.keep, &self.fragments).await;
    }

    /// Has the storage find what was written.
    fn put(&self) {
        let terms = self.written.iter().map(|(_, terms)| terms.clone());
        *self.fragments.terms.lock() = terms.collect();
    }

    async fn write(&mut self, batches: &[&Batch]) {
        let observer = &self.tenant.observer;
        let admitted = batches.iter().copied();
        let admitted = admitted.filter(|batch| observer.admit(self.now, batch).is_ok());
        let admitted: Vec<&Batch> = admitted.collect();
        if observer.before_write(self.now, &admitted).await.is_ok() {
            let fragments = admitted.iter().flat_map(|batch| batch.fragments());
            let terms = fragments.map(|fragment| (self.now, fragment.terms.to_vec()));
            self.written.extend(terms);
            self.tenant.observer.after_write();
        }
        // What an answer of the storage begins in the background.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// A search for any value by the dictionary finds what a search by the values themselves does.
    fn check(&self) {
        let Some(found) = self.tenant.found() else {
            return;
        };
        let written = self.written.iter().map(|(_, terms)| terms);
        check_found(&found, written);
    }
}

proptest! {
    #[test]
    fn what_a_stored_fragment_calls_listed_is_found(steps in vec(step(), 1..50)) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for step in steps {
                run.step(step).await;
                run.check();
            }
        });
    }
}
