//! Two hosts of one store behind a real proxy, as `tests/proxy.sh` runs it: they restart one after the other, and no call through the proxy
//! fails. Its clients try nothing again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod calls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use larder_tests::{
    Background, Client, Cluster, Home, Larder, Ledger, Options, Progress, Query, Rng, eventually,
    http, method, pace,
};

use crate::calls::Calls;

/// The times that each host restarts.
const ROUNDS: usize = 4;
const WRITERS: usize = 4;
const READERS: usize = 2;
/// Calls that are made between two steps of a restart.
const MEANWHILE: u64 = 50;

/// The hosts, at the addresses that the proxy knows.
struct Hosts {
    cluster: Cluster,
    addresses: Vec<IpAddr>,
    homes: Vec<Home>,
}

/// What every client works with.
#[derive(Clone)]
struct World {
    calls: Arc<Calls>,
    ledger: Arc<Ledger>,
}

// === impl Hosts ===

impl Hosts {
    fn from_env() -> Self {
        let addresses = variable("LARDER_TEST_PROXY_HOSTS");
        let addresses: Vec<IpAddr> = addresses
            .split(',')
            .map(|address| address.parse().expect("an address"))
            .collect();
        Self {
            cluster: Cluster::new(),
            homes: addresses.iter().map(|_| Home::new()).collect(),
            addresses,
        }
    }

    fn options(&self, place: usize) -> Options {
        let address = self.addresses[place];
        self.cluster
            .host(["a", "b"][place])
            .without_port_flags()
            .arguments(["--grpc-endpoint".to_owned(), format!("{address}:17271")])
            .arguments(["--admin-endpoint".to_owned(), format!("{address}:17270")])
    }

    fn start(&self, place: usize) -> Larder {
        self.options(place).start_in(&self.homes[place])
    }
}

// === impl World ===

impl World {
    /// Exports until stopped, each once.
    async fn write(self, client: Client, progress: Progress) {
        while progress.is_running() {
            let number = self.ledger.next();
            let export = self.ledger.export(&client, number);
            self.calls.made("Export", export).await;
            progress.count();
        }
    }

    /// Looks for something that was acknowledged, by its id and in a search, until stopped.
    async fn read(self, client: Client, mut rng: Rng, progress: Progress) {
        while progress.is_running() {
            let sent = self.ledger.len();
            let number = rng.below(sent.max(1));
            if number >= sent || self.ledger.get(number).acknowledged == 0 {
                pace().await;
                continue;
            }
            let resource = self.ledger.resource(number).0;
            let span = &resource.scope_spans[0].spans[0];
            let by_id = client.get_traces([&span.trace_id]);
            if let Some(traces) = self.calls.made("GetTraces", by_id).await {
                let mut spans = traces.iter().flat_map(larder_tests::Trace::spans);
                if !spans.any(|it| it.span_id == span.span_id) {
                    self.calls.note(&format!("Export {number} is not there"));
                }
            }
            let at = span.start_time_unix_nano;
            let query = Query::default().window(at, at).depth(100);
            let search = client.find_trace_ids(&query);
            if let Some(found) = self.calls.made("FindTraceIDs", search).await
                && found.iter().all(|it| it.trace_id != span.trace_id)
            {
                self.calls.note(&format!("Export {number} is not found"));
            }
            progress.count();
        }
    }

    /// Starts clients, each with a connection of its own.
    async fn load(&self, rng: &mut Rng) -> Background<()> {
        let mut load = Background::default();
        for _ in 0..WRITERS {
            let (world, client) = (self.clone(), Client::connect(proxy()).await);
            load.and(|progress| world.write(client, progress));
        }
        for _ in 0..READERS {
            let (world, client) = (self.clone(), Client::connect(proxy()).await);
            let rng = Rng::new(rng.next());
            load.and(|progress| world.read(client, rng, progress));
        }
        load
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_restart_one_after_the_other_fail_no_call() {
    let mut rng = Rng::from_env();
    let world = World {
        calls: Arc::default(),
        ledger: Arc::new(Ledger::new(rng.next())),
    };
    let hosts = Hosts::from_env();
    let mut running = vec![hosts.start(0), hosts.start(1)];
    let client = Client::connect(proxy()).await;
    eventually("a proxy that has seen a host", async || {
        client.services().await.ok()
    })
    .await;

    let load = world.load(&mut rng).await;
    takes_calls(&running[0]).await;
    takes_calls(&running[1]).await;
    for _ in 0..ROUNDS {
        for place in [0, 1] {
            load.calls(MEANWHILE).await;
            let host = running.remove(place);
            host.signal("TERM");
            let (status, lines) = host.wait();
            assert!(status.success(), "{status}: {lines:?}");
            load.calls(MEANWHILE).await;
            running.insert(place, hosts.start(place));
            // Or the other would stop before the proxy has seen that this one is back.
            takes_calls(&running[place]).await;
        }
    }
    load.calls(MEANWHILE).await;
    load.stop().await;

    world.calls.print();
    for host in &running {
        world.ledger.verify_all(&host.client().await).await;
    }
    println!("both hosts have all of it");
    let wrong = world.calls.wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_documented_configuration_is_the_tested_one() {
    let documented = include_str!("../../../host/docs/cluster.md");
    assert!(documented.contains(include_str!("../../proxy/haproxy.cfg")));
}

/// Waits until the proxy has sent a host an Export, and it has acknowledged it.
async fn takes_calls(host: &Larder) {
    let method = format!("rpc_method=\"{}\"", method::EXPORT.trim_start_matches('/'));
    let labels = [&*method, "rpc_response_status_code=\"OK\""];
    let name = "rpc_server_call_duration_seconds_count";
    eventually("an Export through the proxy", async || {
        (http::count(&host.metrics(), name, &labels) > 0).then_some(())
    })
    .await;
}

fn proxy() -> SocketAddr {
    let proxy = variable("LARDER_TEST_PROXY");
    proxy.parse().expect("LARDER_TEST_PROXY is an address")
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: tests/proxy.sh runs this test with a proxy"))
}
