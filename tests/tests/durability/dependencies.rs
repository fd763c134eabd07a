//! The calls that are kept of traces: whatever happens between, dependencies are those of the traces that are stored, and once what is new
//! has settled, no trace is read for them.

use std::time::{Duration, Instant};

use larder_tests::otlp::{ResourceBuilder, noise, service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, eventually, http, timestamp};

use crate::checks::{assert_whole, check};
use crate::incomplete::spoil;

/// The calls of traces are kept by stretches of this time.
const BUCKET: u64 = 300_000_000_000;
/// The beginning of such a stretch, long ago.
const BASE: u64 = 5_666_666 * BUCKET;
/// The traces of [`calls`].
const TRACES: u8 = 6;

/// A calling service, a called one, and the number of calls.
type Link = (String, String, u64);

/// The links of a window, both ends included.
struct Due {
    window: (u64, u64),
    links: Vec<Link>,
}

/// A server that keeps calls soon.
fn soon(plugin: Plugin) -> Options {
    Options::new(plugin)
        .environment("LARDER_DEPENDENCIES_KEPT", "true")
        .environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "50ms")
}

/// A server that keeps none as long as the test takes.
fn later(plugin: Plugin) -> Options {
    Options::new(plugin).environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "1h")
}

/// A server that judges all traces of a window, and leaves a store as an older release does.
fn off(plugin: Plugin) -> Options {
    Options::new(plugin).environment("LARDER_DEPENDENCIES_KEPT", "false")
}

fn link(parent: &str, child: &str, calls: u64) -> Link {
    (parent.to_owned(), child.to_owned(), calls)
}

fn due(from: u64, to: u64, links: impl IntoIterator<Item = Link>) -> Due {
    Due {
        window: (from, to),
        links: links.into_iter().collect(),
    }
}

/// The start of trace `number`, which is alone in its stretch of time.
fn start(number: u8) -> u64 {
    BASE + u64::from(number) * BUCKET
}

/// A call from `a` to `b`; a span of `c` waits for its parent.
fn call(number: u8) -> [ResourceBuilder; 3] {
    let (id, at) = ([number; 16], start(number));
    [
        service("a").span(span(id, 1).at(at).lasting(1000)),
        service("b").span(span(id, 2).parent(1).at(at)),
        service("c").span(span(id, 3).parent(4).at(at)),
    ]
}

/// The parent that the span of `c` waits for, which is called by `a`.
fn late(number: u8) -> ResourceBuilder {
    let one = span([number; 16], 4).parent(1).at(start(number) + 5);
    service("b").span(one)
}

fn calls() -> impl Iterator<Item = ResourceBuilder> {
    (1..=TRACES).flat_map(call)
}

/// What is due of [`calls`]: whole, and cut at both ends within a stretch.
fn due_of_calls() -> Vec<Due> {
    vec![
        due(BASE, start(99), [link("a", "b", 6)]),
        due(start(2) + 1, start(99), [link("a", "b", 4)]),
        due(BASE, start(6) + 999, [link("a", "b", 5)]),
        due(start(3), start(3) + 1000, [link("a", "b", 1)]),
    ]
}

/// What is due once the [`late`] span of the second trace is there.
fn due_with_late() -> Vec<Due> {
    vec![
        due(BASE, start(99), [link("a", "b", 7), link("b", "c", 1)]),
        due(start(2) + 1, start(99), [link("a", "b", 4)]),
        due(
            start(2),
            start(2) + 1000,
            [link("a", "b", 2), link("b", "c", 1)],
        ),
    ]
}

async fn links(client: &Client, (from, to): (u64, u64)) -> Vec<Link> {
    let (from, to) = (timestamp(from), timestamp(to));
    let found = client.dependencies(Some(from), Some(to)).await.unwrap();
    let found = found.into_iter();
    let mut links: Vec<Link> = found
        .map(|it| (it.parent, it.child, it.call_count))
        .collect();
    links.sort();
    links
}

#[track_caller]
fn assert_due(found: &[Link], due: &Due) {
    let (from, to) = due.window;
    let window = (from - BASE, to - BASE);
    assert_eq!(found, due.links, "from {} to {}", window.0, window.1);
}

/// Asserts that these are the answers now, whether or not they are read from traces.
async fn assert_served(client: &Client, due: &[Due]) {
    for due in due {
        assert_due(&links(client, due.window).await, due);
    }
}

fn number(larder: &Larder, metric: &str) -> f64 {
    let metrics = larder.metrics();
    let samples = http::samples(&metrics, metric);
    let values = samples.iter().map(|(_, value)| value.parse::<f64>());
    values.map(|value| value.expect("a number")).sum()
}

/// Traces that queries have judged.
fn judged(larder: &Larder) -> u64 {
    http::count(
        &larder.metrics(),
        "larder_dependencies_judged_traces_total",
        &[],
    )
}

/// Returns once all of these answers were given without judging a trace. They are right all the time before.
async fn settles(larder: &Larder, client: &Client, due: &[Due]) {
    eventually("answers from what is kept", async || {
        let before = judged(larder);
        assert_served(client, due).await;
        (judged(larder) == before).then_some(())
    })
    .await;
}

/// Stores [`calls`] with a server that keeps them, and stops it.
async fn keep_calls(home: &Home) {
    let larder = soon(Plugin::Kv).start_in(home);
    let client = larder.client().await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    stop(larder).await;
}

async fn stop(larder: Larder) {
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success(), "{status}");
}

/// Nothing is read for windows of which all is kept, and all of it is read by a server that keeps nothing.
async fn answers_come_from_what_is_kept(plugin: Plugin) {
    let larder = soon(plugin).start();
    let client = larder.client().await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    let open = http::count(&larder.metrics(), "larder_dependencies_open_buckets", &[]);
    assert_eq!(open, 0);
    assert!(number(&larder, "larder_dependencies_kept_bytes") > 0.0);
    assert!(number(&larder, "larder_dependencies_settling_seconds_total") > 0.0);

    let larder = off(plugin).start();
    let client = larder.client().await;
    client.store(calls()).await;
    assert_served(&client, &due_of_calls()).await;
    let before = judged(&larder);
    links(&client, (BASE, start(99))).await;
    assert_eq!(judged(&larder), before + u64::from(TRACES));
}

larder_tests::with_plugins!(answers_come_from_what_is_kept:
    kv = Kv, brittle = Brittle, memory = Memory, minimal = Minimal);

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_without_reading_a_trace() {
    let home = Home::new();
    let larder = soon(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    // After a start the oldest second of what is stored is judged until it is kept anew, as some of it may be gone.
    client
        .store([service("a").span(span([99; 16], 1).at(start(200)))])
        .await;
    let first = Instant::now();
    eventually("a second to pass", async || {
        (first.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    stop(larder).await;
    for _ in 0..2 {
        let larder = later(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        // It is used once the plugin has told what is stored.
        eventually("an answer for which nothing is judged", async || {
            let before = judged(&larder);
            assert_served(&client, &due_of_calls()).await;
            (judged(&larder) == before).then_some(())
        })
        .await;
        stop(larder).await;
    }
}

#[tokio::test]
async fn a_kill_before_and_after_calls_are_kept_leaves_every_answer_right() {
    let home = Home::new();
    let larder = later(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    client.store(calls()).await;
    assert_served(&client, &due_of_calls()).await;
    larder.kill();
    for _ in 0..3 {
        let larder = soon(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        settles(&larder, &client, &due_of_calls()).await;
        larder.kill();
    }
    let larder = soon(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    client.store([late(2)]).await;
    assert_served(&client, &due_with_late()).await;
    larder.kill();
    let larder = later(Plugin::Kv).start_in(&home);
    assert_served(&larder.client().await, &due_with_late()).await;
}

/// A span of a trace of its own, in the stretch of time after this many.
fn alone(number: u16) -> ResourceBuilder {
    let mut id = [0xee; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let at = BASE + (1000 + u64::from(number)) * BUCKET;
    service("a").span(span(id, 1).at(at))
}

/// Of more stretches than can be marked one by one, all count, and a span in one of them takes its trace out of a window.
#[tokio::test]
async fn a_client_that_makes_up_times_leaves_every_answer_right_after_a_kill() {
    let home = Home::new();
    keep_calls(&home).await;
    let larder = later(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    client.store((0..5000).map(alone)).await;
    let far = span([3; 16], 9).at(BASE + 10_000 * BUCKET);
    client.store([service("a").span(far)]).await;
    let due = [
        due(BASE, start(99), [link("a", "b", 5)]),
        due(start(3), start(3) + 1000, []),
        due(BASE, BASE + 20_000 * BUCKET, [link("a", "b", 6)]),
    ];
    assert_served(&client, &due).await;
    larder.kill();
    let larder = later(Plugin::Kv).start_in(&home);
    assert_served(&larder.client().await, &due).await;
    let open = http::count(&larder.metrics(), "larder_dependencies_open_buckets", &[]);
    assert_eq!(open, 4096);
}

/// That a trace has changed is as durable as the span that changed it.
async fn a_late_span_counts_at_once_and_after_a_kill(plugin: Plugin) {
    let home = Home::new();
    let larder = soon(plugin).start_in(&home);
    let client = larder.client().await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    stop(larder).await;

    let larder = later(plugin).start_in(&home);
    let client = larder.client().await;
    assert_served(&client, &due_of_calls()).await;
    client.store([late(2)]).await;
    assert_served(&client, &due_with_late()).await;
    larder.kill();
    let larder = later(plugin).start_in(&home);
    assert_served(&larder.client().await, &due_with_late()).await;
    larder.kill();
    let larder = soon(plugin).start_in(&home);
    settles(&larder, &larder.client().await, &due_with_late()).await;
}

larder_tests::with_plugins!(a_late_span_counts_at_once_and_after_a_kill: kv = Kv, brittle = Brittle);

/// A store of an older release has nothing that is kept, and an older release that opens one of this release notes nothing there.
#[tokio::test]
async fn what_was_written_without_keeping_is_counted_once_it_is_kept() {
    let home = Home::new();
    let larder = off(Plugin::Kv).start_in(&home);
    larder.client().await.store(calls()).await;
    stop(larder).await;
    let larder = soon(Plugin::Kv).start_in(&home);
    settles(&larder, &larder.client().await, &due_of_calls()).await;
    stop(larder).await;

    let larder = off(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    client.store([late(2)]).await;
    assert_served(&client, &due_with_late()).await;
    stop(larder).await;
    // Not even for a moment is an answer made of what was kept before.
    let larder = later(Plugin::Kv).start_in(&home);
    assert_served(&larder.client().await, &due_with_late()).await;
    stop(larder).await;
    let larder = soon(Plugin::Kv).start_in(&home);
    settles(&larder, &larder.client().await, &due_with_late()).await;
}

/// Another plugin sees nothing of what the first one has stored, nor of what is kept of it.
#[tokio::test]
async fn what_is_kept_of_one_plugin_s_traces_is_not_answered_by_another() {
    let home = Home::new();
    keep_calls(&home).await;
    let larder = soon(Plugin::Hostile).start_in(&home);
    let client = larder.client().await;
    assert_served(&client, &[due(BASE, start(99), [])]).await;
    client.store(call(1)).await;
    let one = [due(BASE, start(99), [link("a", "b", 1)])];
    settles(&larder, &client, &one).await;
    stop(larder).await;
    let larder = soon(Plugin::Kv).start_in(&home);
    settles(&larder, &larder.client().await, &due_of_calls()).await;
}

async fn a_purge_forgets_what_is_kept(plugin: Plugin) {
    let larder = soon(plugin).purge().start();
    let client = larder.client().await;
    for _ in 0..2 {
        client.store(calls()).await;
        settles(&larder, &client, &due_of_calls()).await;
        assert_eq!(larder.post("/purge").status, 200);
        assert_served(&client, &[due(BASE, start(99), [])]).await;
    }
}

larder_tests::with_plugins!(a_purge_forgets_what_is_kept: kv = Kv, memory = Memory, minimal = Minimal);

#[tokio::test]
async fn what_is_kept_is_each_tenant_s_own() {
    let home = Home::new();
    let options = || soon(Plugin::Kv).environment("LARDER_TENANCY_ENABLED", "true");
    let one = [due(BASE, start(99), [link("a", "b", 1)])];
    let larder = options().purge().start_in(&home);
    let client = larder.client().await;
    let (all, few) = (client.tenant("all"), client.tenant("few"));
    all.store(calls()).await;
    few.store(call(1)).await;
    settles(&larder, &all, &due_of_calls()).await;
    settles(&larder, &few, &one).await;
    assert_eq!(larder.post("/purge?tenant=all").status, 200);
    assert_served(&all, &[due(BASE, start(99), [])]).await;
    settles(&larder, &few, &one).await;
    stop(larder).await;
    let larder = options().start_in(&home);
    let client = larder.client().await;
    assert_served(&client.tenant("all"), &[due(BASE, start(99), [])]).await;
    settles(&larder, &client.tenant("few"), &one).await;
}

/// An idle tenant is evicted although its calls are being kept, and goes on where it was.
#[tokio::test]
async fn an_evicted_tenant_goes_on_with_what_is_kept() {
    let larder = soon(Plugin::Kv)
        .environment("LARDER_TENANCY_ENABLED", "true")
        .environment("LARDER_TENANCY_IDLE_TIMEOUT", "1s")
        .start();
    let client = larder.client().await.tenant("t");
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    eventually("the tenant's eviction", async || {
        let open = http::count(&larder.metrics(), "larder_tenants_open", &[]);
        (open == 0).then_some(())
    })
    .await;
    settles(&larder, &client, &due_of_calls()).await;
}

/// Traces that a limit has dropped no longer count.
#[tokio::test]
async fn what_retention_drops_does_not_count_any_more() {
    let larder = soon(Plugin::Brittle).setting("max_bytes", "2MiB").start();
    let client = larder.client().await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    let mut large = 0;
    eventually("the first traces to be dropped", async || {
        large += 1;
        let one = span([100; 16], large).at(start(50));
        let one = one.attribute("text", noise(large, 100_000));
        client.store([service("large").span(one)]).await;
        let left = client.get_traces([[1; 16]]).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
    eventually("the calls of what is left", async || {
        let ids = (1..=TRACES).map(|number| [number; 16]);
        let before = client.get_traces(ids.clone()).await.unwrap().len();
        let found = links(&client, (BASE, start(99))).await;
        let after = client.get_traces(ids).await.unwrap().len();
        let calls: u64 = found.iter().map(|(_, _, calls)| calls).sum();
        (before == after && calls == after as u64).then_some(())
    })
    .await;
}

/// What is damaged of it is told by `larder check`. `larder repair` gives it back, and it is counted anew.
#[tokio::test]
async fn damage_of_what_is_kept_is_told_and_repaired() {
    let home = Home::new();
    keep_calls(&home).await;
    assert_whole(Plugin::Kv, &home);
    let mut repaired = 0;
    for at in 0..home.kv_files("objects").len() {
        let home = home.copy();
        spoil(&home.kv_files("objects")[at]);
        let told = check(Plugin::Kv, &home);
        if !told.stdout.contains("partition _host/graph/") {
            continue;
        }
        assert_eq!(told.status.code(), Some(1), "{told:?}");
        let repair = |apply: Option<&'static str>| {
            Options::new(Plugin::Kv)
                .arguments(["repair"].into_iter().chain(apply))
                .run_in(&home)
        };
        let told = repair(None);
        assert_eq!(told.status.code(), Some(1), "{told:?}");
        for line in ["lost        0\n", "mended      1\n"] {
            assert!(told.stdout.contains(line), "{told:?}");
        }
        let told = repair(Some("--apply"));
        assert!(told.status.success(), "{told:?}");
        assert_whole(Plugin::Kv, &home);
        let larder = soon(Plugin::Kv).start_in(&home);
        settles(&larder, &larder.client().await, &due_of_calls()).await;
        repaired += 1;
    }
    assert!(repaired > 0);
}

/// A snapshot has what is kept with the traces that it was made of.
#[tokio::test]
async fn a_restored_snapshot_has_what_was_kept() {
    let (home, restored) = (Home::new(), Home::new());
    let folder = home.path().join("snapshots");
    std::fs::create_dir(&folder).unwrap();
    let larder = soon(Plugin::Kv)
        .environment("LARDER_KV_SNAPSHOT_DIR", folder.to_str().unwrap())
        .start_in(&home);
    let client = larder.client().await;
    client.store(calls()).await;
    settles(&larder, &client, &due_of_calls()).await;
    assert_eq!(larder.post("/snapshot?to=one").status, 200);
    client.store([late(2)]).await;
    assert_served(&client, &due_with_late()).await;
    stop(larder).await;
    let exit = Options::bare()
        .without_port_flags()
        .own_cache()
        .arguments(["restore", "--from"])
        .arguments([folder.join("one")])
        .run_in(&restored);
    assert!(exit.status.success(), "{exit:?}");
    let larder = soon(Plugin::Kv).start_in(&restored);
    let client = larder.client().await;
    settles(&larder, &client, &due_of_calls()).await;
    client.store([late(2)]).await;
    settles(&larder, &client, &due_with_late()).await;
}
