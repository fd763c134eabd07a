//! Several hosts over one store: what one of them acknowledges, the others have at once, whatever happens to it. Needs a Cassandra:
//! `tests/cassandra.sh` runs it.
//!
//! The suites of a storage run through two hosts as well, with `LARDER_TESTS_HOSTS=2`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod backups;
mod checks;
mod copies;
mod follow;
mod graph;
mod ids;
mod kills;
mod purges;
mod reach;
mod statements;
mod tenants;

use larder_tests::{Client, Cluster, Larder, Scene, eventually};

/// Two hosts of a store of their own, and a scene on each with the same services, ids and times.
struct Hosts {
    a: Larder,
    b: Larder,
    on_a: Scene,
    on_b: Scene,
}

impl Hosts {
    async fn start() -> Self {
        let cluster = Cluster::new();
        let [a, b] = ["a", "b"].map(|id| cluster.host(id).purge().start());
        let on_a = Scene::of(&a).await;
        let on_b = on_a.on(&b).await;
        Self { a, b, on_a, on_b }
    }

    /// Returns the scene on one host and on the other, in turns.
    fn turn(&self, number: u64) -> (&Scene, &Scene) {
        if number.is_multiple_of(2) {
            (&self.on_a, &self.on_b)
        } else {
            (&self.on_b, &self.on_a)
        }
    }
}

/// Waits until a host serves.
async fn ready(host: &Larder) -> Client {
    eventually("a host that is ready", async || {
        (host.get("/readyz").status == 200).then_some(())
    })
    .await;
    host.client().await
}
