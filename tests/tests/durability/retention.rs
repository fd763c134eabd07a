//! `kill -9` while retention drops data: data within its limits stays, dropped data does not come back, and leaves nothing behind.
//!
//! After each kill a server without limits opens the store, so that nothing is dropped while it is checked. With
//! `LARDER_CRASH_ROUNDS`, see `kills`, the end also waits for the files of reclaimed partitions to be deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_tests::{Home, Larder, Ledger, Options, Plugin, Rng, eventually, http};
use prost::Message as _;

use crate::kills::{CONNECTIONS, ROUNDS, kill_while_it_opens, rounds, tell};
use crate::load::Load;

/// The shortest retention that is allowed; a bucket takes a second.
const RETENTION: Duration = Duration::from_secs(24);
const MAX_BYTES: u64 = 2 << 20;
/// A 24th is dropped at a time.
const BUCKET_BYTES: u64 = MAX_BYTES / 24;
/// The size of the head of an empty store.
const EMPTY_BYTES: u64 = 4 << 10;

/// The plugin whose data is dropped. The host keeps nothing beside it, so that the bytes stored are the plugin's.
fn lenient() -> Options {
    Options::new(Plugin::Brittle)
        .environment("LARDER_DEPENDENCIES_KEPT", "false")
        .environment("LARDER_INGEST_DICTIONARY", "false")
}

/// Keeps little data, in parts so small that there are many of them.
fn strict() -> Options {
    lenient()
        .setting("retention", &format!("{}s", RETENTION.as_secs()))
        .setting("max_bytes", &MAX_BYTES.to_string())
}

fn stored(larder: &Larder) -> u64 {
    http::count(&larder.metrics(), "larder_kv_stored_bytes", &[])
}

/// Returns the most bytes that Exports from this one on can take, including those in flight at the time.
fn most_stored(ledger: &Ledger, from: u64) -> u64 {
    let numbers = from.saturating_sub(4 * CONNECTIONS)..ledger.len();
    let resources = numbers.map(|number| ledger.resource(number).0);
    let each = resources.map(|resource| {
        let spans = resource.scope_spans.iter().map(|it| it.spans.len() as u64);
        2 * resource.encoded_len() as u64 + 300 * spans.sum::<u64>()
    });
    each.sum()
}

/// Returns the first Export that must not be dropped for size: it and all later ones fit twice.
fn first_with_room(ledger: &Ledger) -> u64 {
    let mut first = ledger.len();
    while first > 0 && most_stored(ledger, first - 1) < MAX_BYTES / 2 {
        first -= 1;
    }
    first
}

/// Checks all data after a kill at that moment. `gone` holds the Exports that were missing before, and must stay missing. Returns the
/// number of Exports that had to be there.
async fn verify(
    larder: &Larder,
    ledger: &Ledger,
    killed: Instant,
    gone: &mut BTreeSet<u64>,
) -> usize {
    let client = larder.client().await;
    let exports = ledger.so_far();
    let with_room = first_with_room(ledger);
    let due = |number: u64| {
        let export = exports[usize::try_from(number).unwrap()];
        let is_young = |at: Instant| killed.saturating_duration_since(at) < RETENTION;
        number >= with_room && export.acknowledged_at.is_some_and(is_young)
    };
    let kept = ledger.verify_kept(&client, due).await;
    let back: Vec<&u64> = gone.intersection(&kept).collect();
    assert!(back.is_empty(), "back from the dead: {back:?}");
    gone.extend((0..ledger.len()).filter(|it| !kept.contains(it)));
    (0..ledger.len()).filter(|it| due(*it)).count()
}

/// Every round has one kill under load, and one of a server without limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unexpired_data_survives_every_kill_while_retention_drops_the_rest() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    let (mut kills, mut due, mut gone) = (0, 0, BTreeSet::new());
    for _ in 0..rounds() {
        if rng.below(3) == 0 {
            kill_while_it_opens(strict(), &home, &mut rng).await;
            kills += 1;
        }
        let larder = strict().start_in(&home);
        let load = Load::start(&larder, &ledger, CONNECTIONS).await;
        load.acknowledged(60 + rng.below(120)).await;
        let killed = Instant::now();
        larder.kill();
        load.stop().await;

        let larder = lenient().start_in(&home);
        due += verify(&larder, &ledger, killed, &mut gone).await;
        larder.kill();
        kills += 2;
    }
    assert!(due > 0, "nothing had to be there");
    assert!(!gone.is_empty(), "nothing was dropped");

    let larder = strict().start_in(&home);
    eventually("room to be made", async || {
        (stored(&larder) <= MAX_BYTES + BUCKET_BYTES).then_some(())
    })
    .await;
    let client = larder.client().await;
    eventually("all to be too old", async || {
        (stored(&larder) <= EMPTY_BYTES && ledger.is_missing(&client).await).then_some(())
    })
    .await;
    assert!(client.services().await.unwrap().is_empty());
    if rounds() > ROUNDS {
        let objects = || home.kv_files("objects");
        eventually("files to be removed", async || {
            objects().is_empty().then_some(())
        })
        .await;
    }
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success(), "{status}");
    let exit = lenient().arguments(["check"]).run_in(&home);
    assert!(exit.status.success(), "{exit:?}");
    tell(kills, &ledger);
}
