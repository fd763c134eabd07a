//! The service graph of two hosts: each answers by what both have written, from what one of them keeps.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Cluster, Home, Larder, Options, Plugin, eventually, timestamp};

use crate::copies::{copy, file};

/// Half an hour that is over.
const START: u64 = 1_790_000_100_000_000_000;
const END: u64 = START + 1_800_000_000_000;

async fn call(client: &Client, number: u8, start: u64) {
    let spans = [
        service("a").span(span([number; 16], 1).at(start)),
        service("b").span(span([number; 16], 2).parent(1).at(start + 1)),
    ];
    client.export(spans).await.unwrap();
}

async fn calls(client: &Client) -> Vec<(String, String, u64)> {
    let (start, end) = (timestamp(START), timestamp(END));
    let found = client.dependencies(Some(start), Some(end)).await.unwrap();
    let links = found.into_iter();
    let mut links: Vec<_> = links
        .map(|it| (it.parent, it.child, it.call_count))
        .collect();
    links.sort();
    links
}

fn links(all: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    let links = all.iter();
    links
        .map(|(parent, child, calls)| ((*parent).to_owned(), (*child).to_owned(), *calls))
        .collect()
}

/// The value of a gauge or counter.
fn figure(host: &Larder, name: &str) -> f64 {
    let metrics = host.metrics();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|it| it.parse().ok()).unwrap_or_default()
}

fn count(host: &Larder, name: &str) -> u64 {
    format!("{:.0}", figure(host, name)).parse().unwrap()
}

/// Waits until nothing is open or late any more on any of these hosts, and so many stretches are settled.
async fn settled(hosts: &[&Larder], stretches: u64) {
    eventually("what was written is settled", async || {
        let is_settled = hosts.iter().all(|host| {
            count(host, "larder_dependencies_settled_buckets") == stretches
                && count(host, "larder_dependencies_open_buckets") == 0
                && count(host, "larder_dependencies_late_traces") == 0
        });
        is_settled.then_some(())
    })
    .await;
}

/// Asks a host, which judges no trace for it.
async fn kept_calls(host: &Larder, client: &Client) -> Vec<(String, String, u64)> {
    let judged = || count(host, "larder_dependencies_judged_traces_total");
    eventually("an answer from what is kept", async || {
        let before = judged();
        let found = calls(client).await;
        (judged() == before).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependencies_are_kept_of_what_all_hosts_write() {
    let cluster = Cluster::new();
    let host = |id| {
        let options = cluster.host(id);
        options
            .environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "200ms")
            .start()
    };
    let [a, b] = ["a", "b"].map(host);
    let (on_a, on_b) = (a.client().await, b.client().await);
    for number in 1..4 {
        call(&on_a, number, START + u64::from(number)).await;
        call(
            &on_b,
            10 + number,
            START + u64::from(number) * 400_000_000_000,
        )
        .await;
    }
    let expected = links(&[("a", "b", 6)]);
    assert_eq!(
        (calls(&on_a).await, calls(&on_b).await),
        (expected.clone(), expected.clone())
    );
    settled(&[&a, &b], 4).await;
    assert_eq!(kept_calls(&a, &on_a).await, expected);
    assert_eq!(kept_calls(&b, &on_b).await, expected);
    let held = [&a, &b].map(|host| count(host, "larder_dependencies_held_tenants"));
    assert_eq!(held[0] + held[1], 1, "one of them works on it: {held:?}");

    // Another host joins, and nothing is counted anew for it.
    let c = host("c");
    let on_c = c.client().await;
    assert_eq!(kept_calls(&c, &on_c).await, expected);
    for host in [&a, &b, &c] {
        let anew = "the service graph is made anew";
        assert!(!host.lines().iter().any(|line| line.contains(anew)));
        assert_eq!(count(host, "larder_dependencies_settled_buckets"), 4);
    }

    // Late spans of traces that the other has written.
    let late = |number: u8| service("c").span(span([number; 16], 3).parent(2).at(START + 9));
    on_b.export([late(1)]).await.unwrap();
    let expected = links(&[("a", "b", 6), ("b", "c", 1)]);
    assert_eq!(
        (calls(&on_a).await, calls(&on_b).await),
        (expected.clone(), expected)
    );
    on_a.export([late(1), late(2)]).await.unwrap();
    let expected = links(&[("a", "b", 6), ("b", "c", 2)]);
    assert_eq!(
        (calls(&on_a).await, calls(&on_b).await),
        (expected.clone(), expected.clone())
    );
    settled(&[&a, &b], 4).await;
    assert_eq!(kept_calls(&a, &on_a).await, expected);
    assert_eq!(kept_calls(&b, &on_b).await, expected);
    c.kill();

    // The one that works on it is gone.
    let (gone, left, client) = if held[0] == 1 {
        (a, b, on_b)
    } else {
        (b, a, on_a)
    };
    gone.kill();
    assert_eq!(calls(&client).await, expected);
    call(&client, 30, START + 50).await;
    let expected = links(&[("a", "b", 7), ("b", "c", 2)]);
    assert_eq!(calls(&client).await, expected);
    eventually("another host that works on it", async || {
        (count(&left, "larder_dependencies_held_tenants") == 1).then_some(())
    })
    .await;
    settled(&[&left], 4).await;
    assert_eq!(kept_calls(&left, &client).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dependencies_of_what_was_copied_here_are_kept() {
    let home = Home::new();
    let serving = Options::new(Plugin::Kv).start_in(&home);
    let client = serving.client().await;
    for number in 1..4 {
        call(&client, number, START + u64::from(number)).await;
    }
    let from = serving.data_dir();
    serving.signal("TERM");
    let (status, lines) = serving.wait();
    assert!(status.success(), "{lines:?}");
    let cluster = Cluster::new();
    let to = file(&home, "target.yaml", &cluster.config());
    let copied = copy(&from, &to);
    assert!(copied.status.success(), "{copied:?}");

    // It adopts as it starts what no host has that is alive.
    let new = cluster
        .host("new")
        .environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "200ms")
        .start();
    let client = new.client().await;
    call(&client, 9, START + 50).await;
    let expected = links(&[("a", "b", 4)]);
    assert_eq!(calls(&client).await, expected);
    settled(&[&new], 1).await;
    assert_eq!(kept_calls(&new, &client).await, expected);
    let failed = "the upkeep of what a dead host has written failed";
    assert!(!new.lines().iter().any(|line| line.contains(failed)));
}
