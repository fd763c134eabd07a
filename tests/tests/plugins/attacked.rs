//! A server with misbehaving plugins of many tenants, and a bystander tenant that must not lose a call.

use std::sync::Arc;

use larder_tests::otlp::{service, span};
use larder_tests::{
    Background, Client, Home, Larder, Options, Plugin, Progress, Query, eventually, http,
};
use serde_json::Value;
use tokio::task::{JoinSet, LocalSet};

use crate::attack::{Attack, Case, store_two};

/// Memory that the server may use above its start when all is over: the reopened instances of the attacked tenants, and memory that
/// allocators keep for each thread. A single leaked full instance takes 256 MiB.
const MEMORY_MARGIN: u64 = 96 << 20;
/// The same after answers of 80 MiB each, many at a time.
const GIANT_MARGIN: u64 = 128 << 20;
/// The well-behaved tenant.
const BYSTANDER: &str = "bystander";

/// A server with misbehaving plugins and a bystander.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) larder: Larder,
    memory: u64,
    margin: u64,
    bystander: Background<()>,
}

/// Configures a server with the hostile guest for each tenant.
pub(crate) fn options(plugin: Plugin) -> Options {
    Options::new(plugin)
        .purge()
        .environment("LARDER_TENANCY_ENABLED", "true")
        .environment("LARDER_KV_DRIVER", "memory")
        .environment("LARDER_LIMITS_MEMORY", "256MiB")
}

// === impl Attacked ===

impl Attacked {
    /// Starts the server and the bystander's load.
    pub(crate) async fn begin(options: Options) -> Self {
        Self::begin_in(options, &Home::new()).await
    }

    /// Like [`Attacked::begin`], on the data of an earlier server.
    pub(crate) async fn begin_in(options: Options, home: &Home) -> Self {
        let larder = options.start_in(home);
        let client = larder.client().await.tenant(BYSTANDER);
        store_two(&client).await;
        let bystander = Background::spawn(|progress| bystander_load(client, progress));
        bystander.calls(2).await;
        Self {
            memory: larder.memory("VmRSS"),
            margin: MEMORY_MARGIN,
            larder,
            bystander,
        }
    }

    /// Allows for giant answers.
    pub(crate) fn of_giants(self) -> Self {
        let margin = GIANT_MARGIN;
        Self { margin, ..self }
    }

    /// Runs all cases concurrently, each with its own tenant, and compares their outcomes; then purges everything and ends.
    pub(crate) async fn run(self, cases: impl IntoIterator<Item = Case>) -> Larder {
        let attacked = Arc::new(self);
        let mut attacks = JoinSet::new();
        let all = async {
            for (number, (misdeed, function, outcome)) in cases.into_iter().enumerate() {
                let attacked = Arc::clone(&attacked);
                attacks.spawn_local(async move {
                    let tenant = format!("victim-{number}");
                    let attack = Attack::begin(&attacked, tenant, (misdeed, function)).await;
                    attack.run(outcome).await;
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

    /// Returns a tenant's entry of `/tenants`.
    pub(crate) fn status(&self, tenant: &str) -> Value {
        status(&self.larder, tenant)
    }

    /// Returns the log's words about the data of a failed instance.
    pub(crate) fn data_loss_text(&self) -> &'static str {
        if self.status(BYSTANDER)["plugin"]["instancing"] == "exclusive" {
            "everything it held is lost"
        } else {
            "nothing is lost"
        }
    }

    /// Purges the attacked tenants, which frees their plugins' memory.
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

    /// Asserts that the bystander is still being served.
    pub(crate) async fn assert_bystander_served(&self) {
        self.bystander.calls(2).await;
    }

    /// Asserts that the bystander was always served, by its first instance, and that the memory is freed.
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

/// Returns a tenant's entry of `/tenants`.
pub(crate) fn status(larder: &Larder, tenant: &str) -> Value {
    let tenants = larder.get("/tenants").json();
    let mut all = tenants.as_array().expect("a list").iter();
    let found = all.find(|one| one["name"] == tenant);
    found.cloned().unwrap_or_default()
}

/// Writes, searches and reads until it is stopped; every call must succeed.
async fn bystander_load(client: Client, progress: Progress) {
    let query = Query::default().service("fine");
    let mut number = 0;
    while progress.is_running() {
        number += 1;
        let one = span([9; 16], number).at(5);
        client.store([service("more").span(one)]).await;
        let found = client.find_traces(&query).await;
        let found = found.expect("the bystander is served");
        let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
        assert_eq!(ids, [[2; 16], [1; 16]]);
        let services = client.services().await;
        assert_eq!(services.expect("the bystander is served"), ["fine", "more"]);
        progress.count();
        larder_tests::pace().await;
    }
}
