//! A server under attack by the plugins of many tenants, and a tenant beside them that has to lose no call.

use std::sync::Arc;

use larder_tests::otlp::{service, span};
use larder_tests::{
    Background, Client, Home, Larder, Options, Plugin, Query, Turns, eventually, http,
};
use serde_json::Value;
use tokio::task::{JoinSet, LocalSet};

use crate::attack::{Attack, Case, store_two};

/// What the server may hold above what it held before, once all is over: the instances of the tenants that were attacked, opened
/// afresh, and what allocators keep, for each thread, of what they were given back. One instance that stays behind full is 256 MiB.
const MEMORY_MARGIN: u64 = 96 << 20;
/// The same after answers of 80 MiB each, many at a time.
const GIANT_MARGIN: u64 = 128 << 20;
/// The tenant that does nothing wrong.
const BYSTANDER: &str = "bystander";

/// See the module.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) larder: Larder,
    memory: u64,
    margin: u64,
    bystander: Background<()>,
}

/// A server whose guest does as it is told, one of each tenant.
pub(crate) fn options(plugin: Plugin) -> Options {
    Options::new(plugin)
        .purge()
        .environment("LARDER_TENANCY_ENABLED", "true")
        .environment("LARDER_KV_DRIVER", "memory")
        .environment("LARDER_LIMITS_MEMORY", "256MiB")
}

// === impl Attacked ===

impl Attacked {
    /// Serves, and has the bystander at work.
    pub(crate) async fn begin(options: Options) -> Self {
        Self::begin_in(options, &Home::new()).await
    }

    /// As [`Attacked::begin`], on what an earlier server has left there.
    pub(crate) async fn begin_in(options: Options, home: &Home) -> Self {
        let larder = options.start_in(home);
        let client = larder.client().await.tenant(BYSTANDER);
        store_two(&client).await;
        let bystander = Background::spawn(|turns| stand_by(client, turns));
        bystander.calls(2).await;
        Self {
            memory: larder.memory("VmRSS"),
            margin: MEMORY_MARGIN,
            larder,
            bystander,
        }
    }

    /// With giant answers to come.
    pub(crate) fn of_giants(self) -> Self {
        let margin = GIANT_MARGIN;
        Self { margin, ..self }
    }

    /// Holds every case against what it should do, all at a time, each with a tenant of its own; ends once the server has forgotten
    /// it all.
    pub(crate) async fn hold(self, cases: impl IntoIterator<Item = Case>) -> Larder {
        let attacked = Arc::new(self);
        let mut attacks = JoinSet::new();
        let all = async {
            for (number, (misdeed, function, outcome)) in cases.into_iter().enumerate() {
                let attacked = Arc::clone(&attacked);
                attacks.spawn_local(async move {
                    let tenant = format!("victim-{number}");
                    let attack = Attack::begin(&attacked, tenant, (misdeed, function)).await;
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
        let attacked = Arc::into_inner(attacked).expect("all attacks are over");
        attacked.purge_victims();
        attacked.end().await
    }

    /// What `/tenants` shows of a tenant.
    pub(crate) fn status(&self, tenant: &str) -> Value {
        status(&self.larder, tenant)
    }

    /// What the log says of the data of an instance that fails.
    pub(crate) fn loses(&self) -> &'static str {
        if self.status(BYSTANDER)["plugin"]["instancing"] == "exclusive" {
            "everything it held is lost"
        } else {
            "nothing is lost"
        }
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
        self.bystander.calls(2).await;
    }

    /// The bystander was served to the end, on the instance that it began with, and the memory is given back.
    pub(crate) async fn end(self) -> Larder {
        self.bystander.calls(2).await;
        self.bystander.stop().await;
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
async fn stand_by(client: Client, turns: Turns) {
    let query = Query::default().service("fine");
    let mut number = 0;
    while turns.go_on() {
        number += 1;
        let one = span([9; 16], number).at(5);
        client.store([service("more").span(one)]).await;
        let found = client.find_traces(&query).await;
        let found = found.expect("the bystander is served");
        let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
        assert_eq!(ids, [[2; 16], [1; 16]]);
        let services = client.services().await;
        assert_eq!(services.expect("the bystander is served"), ["fine", "more"]);
        turns.count();
        larder_tests::pace().await;
    }
}
