//! Tenants of several hosts that share a store: a claim that is lost is claimed again, nobody fights over an id, a purge by another host
//! is followed, and what dead hosts have written is kept up.

use std::sync::atomic::{AtomicBool, AtomicU64};

use larder_model::storage::{Keep, KeepChange, Observer, Observers, Upkept};
use larder_store::{Driver, MemoryHost, SharedMemory};

use super::*;
use crate::test_support::guest::KV;

/// Deletes what `$write` has committed, and says that there is no more to do; `$gone` says that nothing refers to the id.
const EXPIRES: &str = r#"
  (data (i32.const 8500) "\01\00\00\00\01\20\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 8600) "\00\00\00\00\01\00\00\00")
  (global $is_a (mut i32) (i32.const 0))
  (func $gone (result i32) (i32.const 8600))
  (func $expire (result i32)
    (if (global.get $is_a) (then
      (call $commit (i32.const 8192) (i32.const 1) (i32.const 8500) (i32.const 1) (i32.const 8300))))
    (i32.const 4096))
"#;
/// `open`: remembers whether the id of the writer begins with `a`.
const OPEN: &str =
    "(global.set $is_a (i32.eq (i32.load8_u (local.get 1)) (i32.const 97))) (i32.const 4096)";

/// Counts what it is told, and has the place that it was given last.
#[derive(Default)]
pub(super) struct Seen {
    opened: AtomicU64,
    forgotten: AtomicU64,
    writes: AtomicU64,
    /// Whether it keeps something of each write.
    notes: AtomicBool,
    keep: Mutex<Option<Arc<dyn Keep>>>,
    adopted: Mutex<Option<(String, Arc<dyn Keep>)>>,
    /// What came of the last upkeep of a dead host's data.
    upkept: Mutex<Option<Upkept>>,
}

struct Seeing(Arc<Seen>);

#[async_trait::async_trait]
impl Observers for Seeing {
    async fn open(
        &self,
        _: &str,
        keep: Arc<dyn Keep>,
        _: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        *self.0.keep.lock() = Some(keep);
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait::async_trait]
impl Observer for Seeing {
    async fn before_write(&self, _: u64, _: &[&Batch]) -> Result<(), storage::Error> {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        if self.0.notes.load(Ordering::SeqCst) {
            self.0.note().await?;
        }
        Ok(())
    }

    fn after_write(&self) {}

    fn counted(&self, _: u64, _: &Statistics) {}

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), storage::Error> {
        self.0.forgotten.fetch_add(1, Ordering::SeqCst);
        *self.0.keep.lock() = Some(keep);
        Ok(())
    }

    async fn close(&self) {}

    async fn before_upkeep(&self, dead: Option<&str>) -> Result<(), storage::Error> {
        let adopted = self.0.adopted.lock();
        let is_known = dead.is_none_or(|dead| adopted.as_ref().is_some_and(|it| it.0 == dead));
        let refused = || storage::Error::new(ErrorKind::Unavailable, "it is not adopted");
        is_known.then_some(()).ok_or_else(refused)
    }

    async fn after_upkeep(&self, dead: Option<&str>, _: u64, upkept: Upkept) {
        if dead.is_some() {
            *self.0.upkept.lock() = Some(upkept);
        }
    }

    async fn adopted(&self, dead: &str, keep: Arc<dyn Keep>) {
        *self.0.adopted.lock() = Some((dead.to_owned(), keep));
    }
}

// === impl Seen ===

impl Seen {
    /// Keeps something, as an observer does in the background.
    async fn note(&self) -> Result<(), storage::Error> {
        let keep = self.keep.lock().clone().unwrap();
        keep.commit(vec![KeepChange::Put(b"k".to_vec(), b"v".to_vec())])
            .await
    }

    fn counts(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (of(&self.opened), of(&self.forgotten), of(&self.writes))
    }
}

pub(super) fn guest() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

fn expiring() -> Guest {
    let guest = guest().and(EXPIRES);
    guest.with("open", OPEN).with("maintain", "(call $expire)")
}

/// The plugin of the default tenant on one host.
pub(super) async fn open_observed(
    host: &Arc<MemoryHost>,
    guest: Guest,
    seen: Option<&Arc<Seen>>,
) -> Arc<Plugin> {
    open_limited(host, guest, seen, limits()).await
}

/// The same within these limits.
pub(super) async fn open_limited(
    host: &Arc<MemoryHost>,
    guest: Guest,
    seen: Option<&Arc<Seen>>,
    limits: Limits,
) -> Arc<Plugin> {
    let file = GuestFile::new(&guest.build());
    let on = Host {
        runtime: runtime(),
        kv: Arc::clone(host) as Arc<dyn Driver>,
        metrics: Arc::new(Metrics::new()),
        observers: seen.map(|seen| Arc::new(Seeing(Arc::clone(seen))) as Arc<dyn Observers>),
    };
    let limits = Limits {
        restart_delay: Duration::from_millis(10),
        ..limits
    };
    let component = Component::load(&on, file.settings(limits), LoadChecks::Describe).await;
    component.unwrap().open(DEFAULT_TENANT).await.unwrap()
}

async fn open_on(host: &Arc<MemoryHost>) -> Arc<Plugin> {
    open_observed(host, guest(), None).await
}

/// The answer to a query, as `larder-search` makes it: run once more if a purge has overtaken it.
pub(super) async fn answered(storage: &Arc<dyn Storage>) -> Vec<String> {
    for _ in 0..2 {
        let found = storage.services().await;
        if storage.still_current().await.unwrap() {
            return found.unwrap();
        }
    }
    panic!("overtaken twice by one purge");
}

pub(super) async fn write(tenant: &Arc<Plugin>) -> Result<(), storage::Error> {
    tenant.write(batch(1, b"spans")).await
}

async fn refused(tenant: &Arc<Plugin>) -> String {
    let refused = write(tenant).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    refused.to_string()
}

/// Has the others take a host for dead, and one of them adopt its id.
async fn adopt(host: &MemoryHost, by: &MemoryHost) {
    host.set_alive(false);
    let namespace = by.open(DEFAULT_TENANT).await.unwrap();
    for id in [
        host.writer_id(),
        format!("_host/graph/{}", host.writer_id()),
    ] {
        let adopted = namespace.adopt(&id).await.unwrap();
        let is_known = namespace.writers().await.unwrap().contains(&id);
        assert_eq!(adopted.is_some(), is_known, "{id}");
    }
    host.set_alive(true);
}

async fn ids(host: &MemoryHost) -> Vec<String> {
    let namespace = host.open(DEFAULT_TENANT).await.unwrap();
    namespace.writers().await.unwrap()
}

#[tokio::test]
async fn a_writer_that_was_fenced_claims_again_and_the_next_write_is_stored() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    adopt(&a, &b).await;
    let refused = write(&on_a).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("losing its claim"), "{text}");
    assert!(!refused.is_of_void_write(), "a part of it may be stored");
    write(&on_a).await.unwrap();
    assert_eq!(answered(&storage(&on_a)).await, ["guest"]);
    assert_eq!(on_a.status().restarts, 1);
}

#[tokio::test]
async fn hosts_with_ids_of_their_own_never_fence_each_other() {
    let store = SharedMemory::new();
    let seen = [Arc::new(Seen::default()), Arc::new(Seen::default())];
    let on_a = open_observed(&store.host("a"), guest(), Some(&seen[0])).await;
    let on_b = open_observed(&store.host("b"), guest(), Some(&seen[1])).await;
    for _ in 0..5 {
        for (tenant, seen) in [(&on_a, &seen[0]), (&on_b, &seen[1])] {
            write(tenant).await.unwrap();
            seen.note().await.unwrap();
            tenant.adopter.visit(Instant::now()).await;
            assert_eq!(answered(&storage(tenant)).await, ["guest"]);
        }
    }
    assert_eq!((on_a.status().restarts, on_b.status().restarts), (0, 0));
}

#[tokio::test]
async fn the_claim_of_what_is_kept_is_claimed_again_without_a_write() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let seen = Arc::new(Seen::default());
    let on_a = open_observed(&a, guest(), Some(&seen)).await;
    seen.note().await.unwrap();
    adopt(&a, &b).await;
    seen.note().await.unwrap_err();
    while on_a.status().restarts == 0 || on_a.status().state != State::Ready {
        tokio::task::yield_now().await;
    }
    seen.note().await.unwrap();
    assert_eq!(seen.counts(), (1, 0, 0), "nothing is forgotten");
}

#[tokio::test]
async fn while_another_host_has_the_id_reads_go_on_and_writes_are_refused() {
    let store = SharedMemory::new();
    let (a, copy) = (store.host("a"), store.host("a"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    let seen = Arc::new(Seen::default());
    let on_copy = open_observed(&copy, guest(), Some(&seen)).await;
    assert_eq!(answered(&storage(&on_copy)).await, ["guest"]);
    let text = refused(&on_copy).await;
    assert!(text.contains("in use by another host"), "{text}");
    let serving = on_copy.serving();
    assert!(*serving.reads.borrow() && !*serving.writes.borrow());
    write(&on_a).await.unwrap();
    assert_eq!(on_a.status().restarts, 0, "nobody has taken its id");
    assert_eq!(seen.counts(), (0, 0, 0));

    a.set_alive(false);
    until_ready(&on_copy).await;
    write(&on_copy).await.unwrap();
    assert_eq!(seen.counts(), (1, 0, 1), "observed from the first write on");
    assert_eq!(on_copy.status().restarts, 0);
    // Its host was not dead after all, and now the other one has its id.
    a.set_alive(true);
    refused(&on_a).await;
    let text = refused(&on_a).await;
    assert!(text.contains("in use by another host"), "{text}");
    write(&on_copy).await.unwrap();
    on_copy.shutdown().await;
}

#[tokio::test]
async fn a_tenant_without_a_writer_is_closed_and_its_writes_are_refused() {
    let store = SharedMemory::new();
    let (a, copy) = (store.host("a"), store.host("a"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    let on_copy = open_on(&copy).await;
    on_copy.shutdown().await;
    refused(&on_copy).await;
}

#[tokio::test]
async fn a_purge_by_another_host_is_followed_by_reads() {
    let store = SharedMemory::new();
    let (on_a, on_b) = (open_on(&store.host("a")).await, {
        let seen = Arc::new(Seen::default());
        let on_b = open_observed(&store.host("b"), guest(), Some(&seen)).await;
        (on_b, seen)
    });
    let (on_b, seen) = on_b;
    write(&on_b).await.unwrap();
    let before = storage(&on_b);
    assert_eq!(answered(&before).await, ["guest"]);
    on_a.purge().await.unwrap();
    assert!(answered(&before).await.is_empty());
    assert_eq!(seen.counts(), (1, 1, 1), "the observer is told");
    write(&on_a).await.unwrap();
    assert_eq!(answered(&before).await, ["guest"]);
    assert_eq!(answered(&storage(&on_b)).await, ["guest"]);
    write(&on_b).await.unwrap();
    assert_eq!(on_b.status().restarts, 0, "a purge is no failure");
    seen.note().await.unwrap();
}

#[tokio::test]
async fn a_purge_by_another_host_is_followed_by_writes() {
    let store = SharedMemory::new();
    let (on_a, on_b) = (
        open_on(&store.host("a")).await,
        open_on(&store.host("b")).await,
    );
    write(&on_b).await.unwrap();
    for _ in 0..3 {
        on_a.purge().await.unwrap();
        assert!(answered(&storage(&on_a)).await.is_empty());
        // Nobody has told this host.
        assert!(write(&on_b).await.unwrap_err().is_of_void_write());
        write(&on_b).await.unwrap();
        assert_eq!(answered(&storage(&on_a)).await, ["guest"]);
        assert_eq!(answered(&storage(&on_b)).await, ["guest"]);
    }
    assert_eq!(on_b.status().restarts, 0, "a purge is no failure");
}

/// The observer is the first whose claim is gone.
#[tokio::test]
async fn a_purge_by_another_host_is_followed_by_what_is_noted_of_a_write() {
    let store = SharedMemory::new();
    let seen = Arc::new(Seen::default());
    let on_a = open_on(&store.host("a")).await;
    let on_b = open_observed(&store.host("b"), guest(), Some(&seen)).await;
    seen.notes.store(true, Ordering::SeqCst);
    write(&on_b).await.unwrap();
    for _ in 0..3 {
        on_a.purge().await.unwrap();
        assert!(write(&on_b).await.unwrap_err().is_of_void_write());
        write(&on_b).await.unwrap();
        assert_eq!(answered(&storage(&on_a)).await, ["guest"]);
    }
    assert_eq!(on_b.status().restarts, 0, "a purge is no failure");
}

/// What it has read is in its hands when the purge answers.
#[tokio::test]
async fn a_query_that_began_before_a_purge_by_another_host_is_void() {
    let store = SharedMemory::new();
    let b = store.host("b");
    let (on_a, on_b) = (open_on(&store.host("a")).await, open_on(&b).await);
    write(&on_b).await.unwrap();
    let began = storage(&on_b);
    b.hold_answers(true);
    let read = {
        let began = Arc::clone(&began);
        tokio::spawn(async move { began.services().await })
    };
    b.answer_is_held().await;
    on_a.purge().await.unwrap();
    b.hold_answers(false);
    assert_eq!(read.await.unwrap().unwrap(), ["guest"]);
    assert!(!began.still_current().await.unwrap());
    assert!(began.services().await.unwrap().is_empty());
    assert!(began.still_current().await.unwrap());
    assert!(answered(&storage(&on_b)).await.is_empty());
}

/// It has committed when the purge answers.
#[tokio::test]
async fn a_write_that_a_purge_by_another_host_took_is_not_acknowledged() {
    let store = SharedMemory::new();
    let b = store.host("b");
    let (on_a, on_b) = (open_on(&store.host("a")).await, open_on(&b).await);
    b.hold_answers(true);
    let written = {
        let on_b = Arc::clone(&on_b);
        tokio::spawn(async move { write(&on_b).await })
    };
    b.answer_is_held().await;
    on_a.purge().await.unwrap();
    b.hold_answers(false);
    let refused = written.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.is_of_void_write());
    assert!(answered(&storage(&on_a)).await.is_empty());
    while write(&on_b).await.is_err() {
        until_ready(&on_b).await;
    }
    assert_eq!(answered(&storage(&on_a)).await, ["guest"]);
}

#[tokio::test]
async fn what_a_plugin_holds_in_its_memory_is_purged_by_another_host_as_well() {
    let store = SharedMemory::new();
    let counting = || {
        Guest::new()
            .with("write", TRAP_ON_X)
            .with("services", ONE_SERVICE_IF_WRITTEN)
    };
    let on_a = open_observed(&store.host("a"), counting(), None).await;
    let on_b = open_observed(&store.host("b"), counting(), None).await;
    write(&on_b).await.unwrap();
    let began = storage(&on_b);
    assert_eq!(answered(&began).await, ["guest"]);
    on_a.purge().await.unwrap();
    assert!(answered(&began).await.is_empty());
    write(&on_b).await.unwrap();
    assert_eq!(answered(&began).await, ["guest"]);
}

#[tokio::test]
async fn what_a_dead_host_has_written_expires_and_its_id_goes() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let seen = Arc::new(Seen::default());
    let on_a = open_observed(&a, guest(), Some(&seen)).await;
    write(&on_a).await.unwrap();
    seen.note().await.unwrap();
    let guest = expiring().with("retire", "(call $gone)");
    let on_b = open_observed(&b, guest, None).await;
    on_b.adopter.visit(Instant::now()).await;
    assert_eq!(answered(&storage(&on_b)).await, ["guest"]);
    assert_eq!(ids(&b).await, ["_host/graph/a", "a"], "its host is alive");
    a.set_alive(false);
    on_b.adopter.visit(Instant::now()).await;
    assert!(answered(&storage(&on_b)).await.is_empty());
    assert!(ids(&b).await.is_empty());
    // It was not dead after all: it claims a new place.
    a.set_alive(true);
    refused(&on_a).await;
    write(&on_a).await.unwrap();
    assert_eq!(answered(&storage(&on_b)).await, ["guest"]);
    assert_eq!(on_b.status().restarts, 0);
}

#[tokio::test]
async fn what_a_dead_host_has_written_unobserved_gets_a_place() {
    let store = SharedMemory::new();
    let (a, b, c) = (store.host("a"), store.host("b"), store.host("c"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    a.set_alive(false);
    let adopts = async |host: &Arc<MemoryHost>| {
        let seen = Arc::new(Seen::default());
        let plugin = open_observed(host, guest(), Some(&seen)).await;
        plugin.adopter.visit(Instant::now()).await;
        let adopted = seen.adopted.lock().take();
        (plugin, adopted)
    };
    let (on_b, adopted) = adopts(&b).await;
    let (dead, keep) = adopted.unwrap();
    assert_eq!(dead, "a");
    assert!(!keep.is_whole().await, "nobody knows what it wrote");
    let put = |value: &[u8]| vec![KeepChange::Put(b"k".to_vec(), value.to_vec())];
    keep.commit(put(b"v")).await.unwrap();
    let of_a = async |plugin: &Arc<Plugin>| {
        let keep = plugin.starter.keep().await.unwrap();
        let states = keep.hosts(&[b"k".to_vec()]).await.unwrap();
        let state = states.into_iter().find(|it| it.host == "a").unwrap();
        state.values
    };
    assert_eq!(of_a(&on_b).await, [Some(b"v".to_vec())]);

    // It is that of whoever adopts the data after this one.
    let (_on_c, adopted) = adopts(&c).await;
    assert!(adopted.is_none(), "b is alive");
    c.set_alive(false);
    b.set_alive(false);
    let (_on_d, adopted) = adopts(&store.host("d")).await;
    let (dead, of_d) = adopted.unwrap();
    assert_eq!(dead, "a");
    of_d.commit(put(b"w")).await.unwrap();
    keep.commit(put(b"x")).await.unwrap_err();
}

#[tokio::test]
async fn what_a_dead_host_has_written_unobserved_expires() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    a.set_alive(false);
    let seen = Arc::new(Seen::default());
    let on_b = open_observed(&b, expiring(), Some(&seen)).await;
    on_b.adopter.visit(Instant::now()).await;
    assert!(answered(&storage(&on_b)).await.is_empty());
    let upkept = seen.upkept.lock().unwrap();
    assert_eq!(upkept.has_dropped, Some(false), "it counts nothing");
}

#[tokio::test]
async fn an_adopted_id_is_kept_up_again_until_its_host_is_back() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    let on_b = open_observed(&b, expiring(), None).await;
    a.set_alive(false);
    let now = Instant::now();
    on_b.adopter.visit(now).await;
    assert!(answered(&storage(&on_b)).await.is_empty());
    assert_eq!(ids(&b).await, ["a"]);
    // Another one finds it adopted.
    let on_c = open_observed(&store.host("c"), expiring(), None).await;
    on_c.adopter.visit(now).await;
    a.set_alive(true);
    refused(&on_a).await;
    write(&on_a).await.unwrap();
    on_b.adopter.visit(now + Duration::from_hours(1)).await;
    assert_eq!(answered(&storage(&on_b)).await, ["guest"], "it is fenced");
    write(&on_a).await.unwrap();
    assert_eq!(on_a.status().restarts, 1);
    assert_eq!(on_b.status().restarts, 0);
}

#[tokio::test]
async fn what_is_purged_is_no_longer_adopted() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let on_a = open_on(&a).await;
    write(&on_a).await.unwrap();
    let on_b = open_observed(&b, expiring(), None).await;
    a.set_alive(false);
    let now = Instant::now();
    on_b.adopter.visit(now).await;
    on_b.purge().await.unwrap();
    a.set_alive(true);
    while write(&on_a).await.is_err() {
        until_ready(&on_a).await;
    }
    on_b.adopter.visit(now + Duration::from_hours(1)).await;
    assert_eq!(answered(&storage(&on_b)).await, ["guest"]);
}
