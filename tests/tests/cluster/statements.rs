//! What the metrics tell of the statements that a host sends to the store.

use larder_tests::http::{count, samples};
use larder_tests::otlp::{noise, service, span};
use larder_tests::{Cluster, Larder, Query, eventually};

const CALLS: &str = "larder_kv_statement_calls_total";
const ERRORS: &str = "larder_kv_statement_errors_total";

fn calls(host: &Larder, statement: &str) -> u64 {
    let label = format!("statement=\"{statement}\"");
    count(&host.get("/metrics").body, CALLS, &[&label])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_is_counted_and_timed_in_the_metrics() {
    let host = Cluster::new().host("a").start();
    let client = host.client().await;
    let (commits, puts) = (calls(&host, "SeatTurn"), calls(&host, "ObjectPut"));
    // Less would stand in the commit.
    let text = noise(1, 50_000);
    let one = span([1; 16], 1).at(1000).attribute("text", text);
    client.store([service("counted").span(one)]).await;
    assert!(calls(&host, "SeatTurn") > commits);
    assert!(calls(&host, "ObjectPut") > puts);
    // A search looks for a purge after its last read.
    let purges = calls(&host, "TenantNow");
    assert_eq!(client.find(&Query::default()).await, [[1; 16]]);
    assert!(calls(&host, "TenantNow") > purges);

    let metrics = host.get("/metrics").body;
    let durations = "larder_kv_statement_duration_seconds";
    let timed = samples(&metrics, &format!("{durations}_count"));
    for (label, calls) in samples(&metrics, CALLS) {
        let found = timed.iter().find(|it| it.0 == label).map(|it| it.1);
        assert_eq!(found.unwrap_or("0"), calls, "{label}");
    }
    for (label, calls) in &timed {
        let all = format!("le=\"+Inf\",{label}");
        let buckets = samples(&metrics, &format!("{durations}_bucket"));
        assert!(buckets.contains(&(&all, calls)), "{label}");
        let sums = samples(&metrics, &format!("{durations}_sum"));
        let sum = sums.iter().find(|it| it.0 == *label).unwrap().1;
        assert!(sum.parse::<f64>().unwrap() > 0.0, "{label}");
    }
    for none in ["retries", "speculative_executions"] {
        let name = format!("larder_kv_statement_{none}_total");
        assert!(!samples(&metrics, &name).is_empty());
        assert_eq!(count(&metrics, &name, &[]), 0, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_fail_are_counted() {
    let (cluster, mut forwarder) = Cluster::new().behind_forwarder();
    forwarder.open();
    let host = cluster.host("a").start();
    let before = host.get("/metrics").body;
    forwarder.close().await;
    eventually("a statement that failed", async || {
        let now = host.get("/metrics").body;
        (count(&now, ERRORS, &[]) > count(&before, ERRORS, &[])).then_some(())
    })
    .await;
}
