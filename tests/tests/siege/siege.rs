//! A server under attack by the plugins of many tenants, and a tenant beside them that has to lose no call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query, eventually, http};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet, LocalSet};

use crate::cells::{Attack, Cell, store_two};

/// What the server may hold above what it held before, once all is over: the instances of the tenants that were attacked, opened
/// afresh, and what allocators keep, for each thread, of what they were given back. One instance that stays behind full is 256 MiB.
const MEMORY_MARGIN: u64 = 96 << 20;
/// The same after answers of 80 MiB each, many at a time.
const GIANT_MARGIN: u64 = 128 << 20;
/// The tenant that does nothing wrong.
const BYSTANDER: &str = "bystander";

/// See the module.
#[derive(Debug)]
pub(crate) struct Siege {
    pub(crate) larder: Larder,
    memory: u64,
    margin: u64,
    calls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    bystander: JoinHandle<()>,
}

/// A server whose guest does as it is told, one of each tenant.
pub(crate) fn options() -> Options {
    Options::new(Plugin::Rogue)
        .purge()
        .environment("LARDER_TENANCY_ENABLED", "true")
        .environment("LARDER_KV_DRIVER", "memory")
        .environment("LARDER_LIMITS_MEMORY", "256MiB")
}

// === impl Siege ===

impl Siege {
    /// Serves, and has the bystander at work.
    pub(crate) async fn begin(options: Options) -> Self {
        Self::begin_in(options, &Home::new()).await
    }

    /// As [`Siege::begin`], on what an earlier server has left there.
    pub(crate) async fn begin_in(options: Options, home: &Home) -> Self {
        let larder = options.start_in(home);
        let client = larder.client().await.tenant(BYSTANDER);
        store_two(&client).await;
        let (calls, stop) = <(Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let work = stand_by(client, Arc::clone(&calls), Arc::clone(&stop));
        let bystander = tokio::spawn(work);
        let siege = Self {
            memory: 0,
            margin: MEMORY_MARGIN,
            larder,
            calls,
            stop,
            bystander,
        };
        siege.assert_stands_by().await;
        let memory = siege.larder.memory("VmRSS");
        Self { memory, ..siege }
    }

    /// With giant answers to come.
    pub(crate) fn of_giants(self) -> Self {
        let margin = GIANT_MARGIN;
        Self { margin, ..self }
    }

    /// Holds every cell against what it should do, all at a time, each with a tenant of its own; ends once the server has forgotten
    /// it all.
    pub(crate) async fn hold(self, cells: impl IntoIterator<Item = Cell>) -> Larder {
        let siege = Arc::new(self);
        let mut attacks = JoinSet::new();
        let all = async {
            for (number, (misdeed, function, outcome)) in cells.into_iter().enumerate() {
                let siege = Arc::clone(&siege);
                attacks.spawn_local(async move {
                    let tenant = format!("victim-{number}");
                    let attack = Attack::begin(&siege, tenant, (misdeed, function)).await;
                    attack.hold(outcome).await;
                });
            }
            while let Some(ended) = attacks.join_next().await {
                if let Err(error) = ended {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        };
        LocalSet::new().run_until(all).await;
        let siege = Arc::into_inner(siege).expect("all attacks are over");
        siege.purge_victims();
        siege.end().await
    }

    /// What `/tenants` shows of a tenant.
    pub(crate) fn status(&self, tenant: &str) -> Value {
        status(&self.larder, tenant)
    }

    /// What their plugins hold in memory goes with what they stored.
    pub(crate) fn purge_victims(&self) {
        let tenants = self.larder.get("/tenants").json();
        let names = tenants.as_array().expect("a list").iter();
        for name in names.filter_map(|one| one["name"].as_str()) {
            if name != BYSTANDER {
                let path = format!("/purge?tenant={name}");
                assert_eq!(self.larder.post(&path).status, 200, "{name}");
            }
        }
    }

    /// The bystander is served from here on.
    pub(crate) async fn assert_stands_by(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        eventually("calls of the bystander", async || {
            assert!(!self.bystander.is_finished(), "the bystander lost a call");
            (self.calls.load(Ordering::Relaxed) > before + 1).then_some(())
        })
        .await;
    }

    /// The bystander was served to the end, on the instance that it began with, and the memory is given back.
    pub(crate) async fn end(self) -> Larder {
        self.assert_stands_by().await;
        self.stop.store(true, Ordering::Relaxed);
        self.bystander.await.expect("the bystander lost no call");
        let seen = status(&self.larder, BYSTANDER);
        assert_eq!(seen["plugin"]["restarts"], 0, "{seen}");
        eventually("the memory that was taken", async || {
            (self.larder.memory("VmRSS") <= self.memory + self.margin).then_some(())
        })
        .await;
        assert_eq!(self.larder.get("/readyz").status, 200);
        let metrics = self.larder.metrics();
        let ready = http::count(&metrics, "larder_plugin_ready", &[]);
        assert_eq!(ready, http::count(&metrics, "larder_tenants_open", &[]));
        self.larder
    }
}

/// What `/tenants` shows of a tenant.
pub(crate) fn status(larder: &Larder, tenant: &str) -> Value {
    let tenants = larder.get("/tenants").json();
    let mut all = tenants.as_array().expect("a list").iter();
    let found = all.find(|one| one["name"] == tenant);
    found.cloned().unwrap_or_default()
}

/// Writes, searches and reads until it is told to stop; every call has to be served.
async fn stand_by(client: Client, calls: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let query = Query::default().service("fine");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let one = span([9; 16], number).at(5);
        client.store([service("more").span(one)]).await;
        let found = client.find_traces(&query).await;
        let found = found.expect("the bystander is served");
        let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
        assert_eq!(ids, [[2; 16], [1; 16]]);
        let services = client.services().await;
        assert_eq!(services.expect("the bystander is served"), ["fine", "more"]);
        calls.fetch_add(1, Ordering::Relaxed);
        larder_tests::pace().await;
    }
}
