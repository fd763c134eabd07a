//! Two hosts over one database, by a plugin that keeps its data there: what one of them acknowledges, the other has at once, whatever happens
//! to it. Each has a `kv` of its own, as they share nothing but the database. Needs a PostgreSQL: `tests/postgres.sh` runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_tests::filter::{and, attr, gt, int, lt, regex, string};
use larder_tests::otlp::{service, span};
use larder_tests::{
    Background, Client, Home, Larder, Ledger, Options, Plugin, Progress, Query, Rng, timestamp,
};

/// Connections that write to a host.
const WRITERS: usize = 3;

/// Tables of their own, which are empty at first. They stay after the test, as does all that is in this PostgreSQL.
struct Database {
    schema: String,
}

// === impl Database ===

impl Database {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        assert!(
            std::env::var_os("LARDER_TESTS_FILE").is_some(),
            "LARDER_TESTS_FILE is not set: tests/postgres.sh runs this test with a PostgreSQL"
        );
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            schema: format!("hosts_{}_{number}", std::process::id()),
        }
    }

    /// A host with the plugin that `LARDER_TESTS_FILE` names, which stands in for [`Plugin::Minimal`].
    fn host(&self) -> Options {
        Options::new(Plugin::Minimal).setting("schema", &self.schema)
    }
}

/// Exports to a host until stopped, each once. A host that is to be killed may end it earlier.
async fn write(client: Client, ledger: Arc<Ledger>, progress: Progress, is_killed: bool) {
    while progress.is_running() {
        let number = ledger.next();
        match ledger.export(&client, number).await {
            Ok(()) => progress.count(),
            Err(status) => {
                assert!(is_killed, "Export {number}: {status}");
                return;
            }
        }
    }
}

async fn load(host: &Larder, ledger: &Arc<Ledger>, is_killed: bool) -> Background<()> {
    let mut load = Background::default();
    for _ in 0..WRITERS {
        let (client, ledger) = (host.client().await, Arc::clone(ledger));
        load.and(|progress| write(client, ledger, progress, is_killed));
    }
    load
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_host_has_acknowledged_the_other_has_at_once() {
    let database = Database::new();
    let (a, b) = (database.host().start(), database.host().start());
    let clients = [a.client().await, b.client().await];
    let ledger = Ledger::new(Rng::from_env().next());
    for turn in 0..20 {
        let [one, other] = &clients;
        let (writer, reader) = if turn % 2 == 0 {
            (one, other)
        } else {
            (other, one)
        };
        let number = ledger.store(writer).await;
        ledger.verify(reader, number..number + 1).await;
        let services = names(reader).await;
        assert_eq!(
            (services.len(), &services),
            (5.min(turn + 1), &names(writer).await)
        );
    }
    for client in &clients {
        ledger.verify_all(client).await;
    }
}

/// A host that went by the values that it has listed, in its own `kv`, would know only those that it has written itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_and_ranges_find_what_the_other_host_has_written() {
    let database = Database::new();
    let (a, b) = (database.host().start(), database.host().start());
    let clients = [a.client().await, b.client().await];
    for number in 0..6_u8 {
        let one = span([number + 1; 16], 1)
            .at(5)
            .attribute("color", format!("dark-{number}"))
            .attribute("size", i64::from(number));
        let client = &clients[usize::from(number % 2)];
        client.store([service("paint").span(one)]).await;
        for client in &clients {
            for filter in [
                regex(attr("color"), string(&format!("d.*-{number}"))),
                and([
                    gt(attr("size"), int(i64::from(number) - 1)),
                    lt(attr("size"), int(i64::from(number) + 1)),
                ]),
            ] {
                let text = larder_tests::filter::text(&filter);
                let found = client.find(&Query::default().filter(filter)).await;
                assert_eq!(found, [[number + 1; 16]], "{text}");
            }
        }
    }
}

/// As with the values: a host that kept calls would keep those that it has seen itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependencies_count_the_calls_that_the_other_host_has_written() {
    let database = Database::new();
    let (a, b) = (database.host().start(), database.host().start());
    let clients = [a.client().await, b.client().await];
    let mut calls = 0;
    for number in 0..4_u8 {
        let trace = [number + 1; 16];
        let caller = service("shop").span(span(trace, 1).at(5));
        let called = service("stock").span(span(trace, 2).parent(1).at(6));
        clients[usize::from(number % 2)]
            .store([caller, called])
            .await;
        calls += 1;
        for client in &clients {
            let (start, end) = (timestamp(0), timestamp(10));
            let all = client.dependencies(Some(start), Some(end)).await.unwrap();
            let counts: Vec<_> = all.iter().map(|it| it.call_count).collect();
            assert_eq!(counts, [calls]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_write_the_same_tenant_at_the_same_time_lose_and_double_nothing() {
    let database = Database::new();
    let (a, b) = (database.host().start(), database.host().start());
    // Their Exports have the same traces, services and operations, whose rows they both want to make.
    let ledger = Arc::new(Ledger::new(Rng::from_env().next()));
    let (to_a, to_b) = (
        load(&a, &ledger, false).await,
        load(&b, &ledger, false).await,
    );
    to_a.calls(150).await;
    to_b.calls(150).await;
    to_a.stop().await;
    to_b.stop().await;
    // Each was sent once, so it is there once.
    let total = ledger.total();
    assert_eq!(
        (total.tries, total.acknowledged),
        (ledger.len(), ledger.len())
    );
    for host in [&a, &b] {
        ledger.verify_all(&host.client().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_has_lost_nothing_that_it_acknowledged() {
    let database = Database::new();
    let b = database.host().start();
    let ledger = Arc::new(Ledger::new(Rng::from_env().next()));
    // The second time with the same folder, and then with an empty one: nothing of the tenant is in it.
    let home = Home::new();
    for home in [&home, &home, &Home::new()] {
        let a = database.host().start_in(home);
        ledger.verify_all(&a.client().await).await;
        let to_a = load(&a, &ledger, true).await;
        let to_b = load(&b, &ledger, false).await;
        to_a.calls(60).await;
        a.kill();
        // The other goes on, and waits for nothing that the dead one had begun.
        to_b.calls(60).await;
        to_a.stop().await;
        to_b.stop().await;
        // What was on its way to the dead one is there as a whole or not at all, and never twice.
        ledger.verify_all(&b.client().await).await;
    }
}

/// The services that a host lists.
async fn names(client: &Client) -> BTreeSet<String> {
    let services = client.services().await.unwrap();
    services.into_iter().collect()
}
