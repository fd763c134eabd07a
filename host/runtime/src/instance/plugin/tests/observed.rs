//! An observer of the tenant's data: what it is told and when, and the place where it keeps what it derives.

use larder_model::storage::{Keep, KeepChange, Observer, Observers};
use larder_store::{Driver as _, MemoryDriver};

use super::*;
use crate::test_support::guest::KV;

/// Notes what it is told, and the state of the place that it has.
#[derive(Default)]
struct Notes {
    told: Mutex<Vec<String>>,
    keep: Mutex<Option<Arc<dyn Keep>>>,
    source: Mutex<Option<Weak<dyn StorageSource>>>,
    refuses: Mutex<bool>,
}

struct Noting(Arc<Notes>);

// === impl Notes ===

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }

    fn note(&self, text: impl Into<String>) {
        self.told.lock().push(text.into());
    }

    fn keep(&self) -> Arc<dyn Keep> {
        self.keep.lock().clone().unwrap()
    }

    async fn keys(&self) -> Vec<Vec<u8>> {
        let (entries, _) = self.keep().scan(b"").await.unwrap();
        entries.into_iter().map(|(key, _)| key).collect()
    }
}

#[async_trait::async_trait]
impl Observers for Noting {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        self.0.note(format!("open {tenant}"));
        *self.0.keep.lock() = Some(keep);
        *self.0.source.lock() = Some(storage);
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait::async_trait]
impl Observer for Noting {
    fn admit(&self, _now: u64, batch: &Batch) -> Result<(), storage::Error> {
        if batch.fragments().any(|it| it.otlp == b"outdated") {
            return Err(storage::Error::new(ErrorKind::Unavailable, "it is gone"));
        }
        Ok(())
    }

    async fn before_write(&self, _now: u64, batches: &[&Batch]) -> Result<(), storage::Error> {
        if *self.0.refuses.lock() {
            return Err(storage::Error::new(ErrorKind::ResourceExhausted, "full"));
        }
        let keep = self.0.keep();
        let mark = self.0.told.lock().len().to_be_bytes().to_vec();
        keep.commit(vec![KeepChange::Put(mark, Vec::new())]).await?;
        let fragments: usize = batches.iter().map(|it| it.len()).sum();
        self.0.note(format!("before {fragments}"));
        Ok(())
    }

    fn after_write(&self) {
        self.0.note("after");
    }

    fn counted(&self, _now: u64, _statistics: &Statistics) {
        self.0.note("counted");
    }

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), storage::Error> {
        self.0.note("forget");
        *self.0.keep.lock() = Some(keep);
        Ok(())
    }

    async fn close(&self) {
        self.0.note("close");
    }
}

/// A plugin that is observed, and its store.
struct Bench {
    component: Arc<Component>,
    notes: Arc<Notes>,
    kv: Arc<MemoryDriver>,
    _file: GuestFile,
}

impl Bench {
    async fn new(guest: Guest) -> Self {
        let (file, notes) = (GuestFile::new(&guest.build()), Arc::<Notes>::default());
        let kv = Arc::new(MemoryDriver::new());
        let host = Host {
            runtime: runtime(),
            kv: Arc::clone(&kv) as Arc<dyn kv::Driver>,
            metrics: Arc::new(Metrics::new()),
            observers: Some(Arc::new(Noting(Arc::clone(&notes)))),
        };
        let component = Component::load(&host, file.settings(limits()), LoadChecks::Describe).await;
        Self {
            component: component.unwrap(),
            notes,
            kv,
            _file: file,
        }
    }

    async fn open(&self) -> Arc<Plugin> {
        self.component.open("t").await.unwrap()
    }

    /// Opens the tenant with nobody who observes, and closes it.
    async fn open_unobserved(&self) {
        let host = Host {
            observers: None,
            ..self.component.host().clone()
        };
        let config = self.component.config().clone();
        let component = Component::load(&host, config, LoadChecks::Describe).await;
        let tenant = component.unwrap().open("t").await.unwrap();
        tenant.shutdown().await;
    }
}

fn replicated() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

#[tokio::test]
async fn an_observer_is_told_of_each_write_before_and_after_it_and_of_the_end() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    tenant.shutdown().await;
    let mut told = bench.notes.take();
    told.retain(|it| it != "counted");
    assert_eq!(told, ["open t", "before 1", "after", "close"]);
}

#[tokio::test]
async fn the_storage_of_an_observer_reads_and_keeps_no_tenant_open() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    let source = bench.notes.source.lock().clone().unwrap();
    assert_eq!(Arc::strong_count(&tenant), 1);
    let background = source.upgrade().unwrap().storage();
    assert_eq!(background.services().await.unwrap(), ["guest"]);
    assert!(
        !tenant.is_used(),
        "a tenant is evicted although it is observed"
    );
    let request = storage(&tenant);
    assert!(tenant.is_used());
    drop((request, background));
    assert!(!tenant.is_used());
    tenant.shutdown().await;
    drop(tenant);
    assert!(source.upgrade().is_none());
}

#[tokio::test]
async fn a_write_that_the_observer_refuses_does_not_reach_the_plugin() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    *bench.notes.refuses.lock() = true;
    let refused = tenant.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert!(services(&tenant).await.is_empty());
    *bench.notes.refuses.lock() = false;
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
}

#[tokio::test]
async fn a_write_that_the_observer_does_not_admit_is_refused_without_its_neighbours() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    let write = |otlp: &'static [u8]| tenant.write(batch(1, otlp));
    // Joined: all wait before the writer has its turn.
    let (one, outdated, other) = tokio::join!(write(b"one"), write(b"outdated"), write(b"other"));
    assert_eq!(outdated.unwrap_err().message(), "it is gone");
    one.unwrap();
    other.unwrap();
    // One that is refused alone is no write.
    write(b"outdated").await.unwrap_err();
    let mut told = bench.notes.take();
    told.retain(|it| it != "counted");
    assert_eq!(told, ["open t", "before 2", "after"]);
}

/// What a killed instance has begun may still be stored until the next one has fenced it.
#[tokio::test]
async fn a_write_that_kills_its_instance_has_ended_once_the_next_one_is_there() {
    let guest = replicated().with("write", "(unreachable)");
    let bench = Bench::new(guest).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap_err();
    until_ready(&tenant).await;
    tenant.write(batch(1, b"spans")).await.unwrap_err();
    let mut told = bench.notes.take();
    told.retain(|it| it != "counted");
    assert_eq!(
        told.get(..4).unwrap(),
        ["open t", "before 1", "after", "before 1"]
    );
    // What was kept is there in the next instance.
    assert_eq!(bench.notes.keys().await.len(), 2);
}

#[tokio::test]
async fn a_purge_gives_the_observer_an_empty_place() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    tenant.purge().await.unwrap();
    assert!(bench.notes.keys().await.is_empty());
    tenant.write(batch(1, b"spans")).await.unwrap();
    let mut told = bench.notes.take();
    told.retain(|it| it != "counted");
    assert_eq!(
        told,
        ["open t", "before 1", "after", "forget", "before 1", "after"]
    );
    tenant.shutdown().await;
    // As what is kept after a purge is kept.
    drop(bench.open().await);
    assert_eq!(bench.notes.keys().await.len(), 1);
}

#[tokio::test]
async fn what_is_kept_is_gone_once_the_tenant_was_open_without_the_observer() {
    let bench = Bench::new(replicated()).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    tenant.shutdown().await;
    bench.open().await.shutdown().await;
    assert_eq!(bench.notes.keys().await.len(), 1);
    bench.open_unobserved().await;
    drop(bench.open().await);
    assert!(bench.notes.keys().await.is_empty());
}

#[tokio::test]
async fn what_an_exclusive_plugin_loses_is_forgotten_and_its_place_is_not_in_kv() {
    let guest = Guest::new().with("write", TRAP_ON_X);
    let bench = Bench::new(guest).await;
    let tenant = bench.open().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(bench.notes.keys().await.len(), 1);
    assert!(!bench.notes.keep().is_durable());
    tenant.write(batch(1, b"X")).await.unwrap_err();
    until_ready(&tenant).await;
    assert!(bench.notes.keys().await.is_empty());
    let told = bench.notes.take();
    assert!(told.contains(&"forget".to_owned()), "{told:?}");
    let namespace = bench.kv.open("t").await.unwrap();
    assert!(namespace.partitions().await.unwrap().is_empty());
}

/// It drops what it has no room for when it is written to.
#[tokio::test]
async fn an_observer_is_told_the_counters_of_an_exclusive_plugin_within_each_write() {
    let bench = Bench::new(Guest::new().with("write", TRAP_ON_X)).await;
    let tenant = bench.open().await;
    for _ in 0..2 {
        tenant.write(batch(1, b"spans")).await.unwrap();
    }
    let told = bench.notes.take();
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    let whole = ["before 1", "counted", "after"];
    let writes = told.windows(3).filter(|it| *it == whole);
    assert_eq!(writes.count(), 2, "{told:?}");
}
