//! `kill -9` at random moments never loses acknowledged data.
//!
//! `LARDER_CRASH_ROUNDS` sets the number of rounds of each test. Every round has one kill under load, and about every third round
//! another one while the server opens the data of the last one.

use std::sync::Arc;

use larder_tests::{Home, Ledger, Options, Plugin, Rng, eventually};

use crate::load::Load;

/// The default number of rounds, for continuous integration.
pub(crate) const ROUNDS: u64 = 6;
pub(crate) const CONNECTIONS: u64 = 4;
/// The number of recent Exports that are checked after each restart; the end checks all of them.
const RECENT: u64 = 240;

pub(crate) fn rounds() -> u64 {
    std::env::var("LARDER_CRASH_ROUNDS").map_or(ROUNDS, |rounds| {
        rounds.parse().expect("LARDER_CRASH_ROUNDS is a number")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_data_survives_every_kill() {
    survives(|| Options::new(Plugin::Kv)).await;
}

/// With a short retention, buckets are closed, sealed and dropped continuously.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_data_survives_every_kill_while_the_index_is_built() {
    survives(|| Options::new(Plugin::Brittle)).await;
}

async fn survives(options: impl Fn() -> Options) {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    let mut kills = 0;
    for _ in 0..rounds() {
        if rng.below(3) == 0 {
            kill_while_it_opens(options(), &home, &mut rng).await;
            kills += 1;
        }
        let larder = options().start_in(&home);
        let client = larder.client().await;
        let end = ledger.len();
        ledger
            .verify(&client, end.saturating_sub(RECENT)..end)
            .await;

        let load = Load::start(&larder, &ledger, CONNECTIONS).await;
        load.acknowledged(1 + rng.below(60)).await;
        for _ in 0..rng.below(1000) {
            tokio::task::yield_now().await;
        }
        larder.kill();
        kills += 1;
        load.stop().await;
    }
    let larder = options().start_in(&home);
    let client = larder.client().await;
    ledger.verify_all(&client).await;
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success(), "{status}");

    let larder = options().start_in(&home);
    ledger.verify_all(&larder.client().await).await;
    tell(kills, &ledger);
}

/// Kills a server at a change of the driver's files, or once it serves.
pub(crate) async fn kill_while_it_opens(options: Options, home: &Home, rng: &mut Rng) {
    let larder = options.spawn_in(home);
    let files = || ["journal", "tree", "objects"].map(|folder| home.kv_files(folder));
    let mut changes = rng.below(6);
    let mut last = files();
    eventually("a moment to kill it", async || {
        let now = files();
        if now != last {
            last = now;
            changes = changes.saturating_sub(1);
        }
        let lines = larder.lines();
        let serves = lines.iter().any(|line| line.contains("Serving Jaeger"));
        (changes == 0 || serves).then_some(())
    })
    .await;
    larder.kill();
}

#[expect(clippy::print_stderr, reason = "the figures of a long run")]
pub(crate) fn tell(kills: u64, ledger: &Ledger) {
    eprintln!("{kills} kills, {:?}", ledger.total());
}
