//! `kill -9` at random moments: what was acknowledged is there, whatever the moment.
//!
//! `LARDER_CRASH_ROUNDS` is how many rounds each test runs; every round has one kill under load, and every third round about one
//! more while the server opens what the last one has left.

use std::sync::Arc;

use larder_tests::{Home, Options, Plugin, eventually};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::load::Load;

/// What continuous integration has time for.
pub(crate) const ROUNDS: u64 = 6;
pub(crate) const CONNECTIONS: u64 = 4;
/// Exports that are looked at again after each restart; the end looks at all of them.
const RECENT: u64 = 240;

pub(crate) fn rounds() -> u64 {
    std::env::var("LARDER_CRASH_ROUNDS").map_or(ROUNDS, |rounds| {
        rounds.parse().expect("LARDER_CRASH_ROUNDS is a number")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    survives(|| Options::new(Plugin::Kv)).await;
}

/// Buckets are closed, sealed and dropped all the time when little is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_while_the_index_is_built() {
    survives(|| Options::new(Plugin::Brittle)).await;
}

async fn survives(options: impl Fn() -> Options) {
    let mut dice = Dice::cast();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(dice.next())));
    let mut kills = 0;
    for _ in 0..rounds() {
        if dice.below(3) == 0 {
            kill_while_it_opens(options(), &home, &mut dice).await;
            kills += 1;
        }
        let larder = options().start_in(&home);
        let client = larder.client().await;
        let end = ledger.len();
        ledger
            .verify(&client, end.saturating_sub(RECENT)..end)
            .await;

        let load = Load::start(&larder, &ledger, CONNECTIONS).await;
        load.acknowledged(1 + dice.below(60)).await;
        for _ in 0..dice.below(1000) {
            tokio::task::yield_now().await;
        }
        larder.kill();
        kills += 1;
        load.stop().await;
    }
    let larder = options().start_in(&home);
    let client = larder.client().await;
    ledger.verify_all(&client).await;
    let (status, _) = larder.insist("TERM").await;
    assert!(status.success(), "{status}");

    let larder = options().start_in(&home);
    ledger.verify_all(&larder.client().await).await;
    tell(kills, &ledger);
}

/// Kills a server at a change of the driver's files, or once it serves.
pub(crate) async fn kill_while_it_opens(options: Options, home: &Home, dice: &mut Dice) {
    let larder = options.spawn_in(home);
    let files = || ["journal", "tree", "objects"].map(|folder| home.kv_files(folder));
    let mut changes = dice.below(6);
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
