//! Writes to three hosts of one store while hosts and nodes of Cassandra are killed, stopped and cut off at random, and then looks for
//! everything that was acknowledged. `tests/cluster.sh` runs it.
//!
//! `NODES=3 tests/cassandra.sh cargo run --example chaos -- MINUTES [SEED]`
//!
//! The exit code is 1 if
//! - an acknowledged Export is not complete on every host, or one is there more often than it was sent,
//! - a host has shown spans and does not show them any more, or does not show what was acknowledged before it was asked,
//! - anyone shows what a host took after another process had claimed its id, or it acknowledges that,
//! - a host or a node does not come back.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "what cannot be done ends it"
)]

mod history;
mod hosts;
mod load;
mod nodes;

use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use history::History;
use hosts::{Clients, Hosts};
use larder_tests::{Cluster, Ledger, Rng};
use nodes::Nodes;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let minutes = arguments.next().and_then(|minutes| minutes.parse().ok());
    let minutes: u64 = minutes.expect("usage: chaos MINUTES [SEED]");
    let seed = arguments.next().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("{minutes} minutes with the seed {seed}");

    let mut rng = Rng::new(seed);
    let ledger = Arc::new(Ledger::new(rng.next()));
    let mut nodes = Nodes::from_env();
    let mut hosts = Hosts::start(Cluster::new()).await;
    let clients = hosts.clients();
    let history = Arc::new(History::new());
    let load = load::start(&clients, &ledger, &history, &mut rng);
    let end = Instant::now() + Duration::from_mins(minutes);
    let (mut of_hosts, mut of_nodes) = (Rng::new(rng.next()), Rng::new(rng.next()));
    tokio::join!(
        hosts.trouble(end, &mut of_hosts, &ledger, &history),
        nodes.trouble(end, &mut of_nodes, &history),
    );
    // The last one may have come back just now.
    hosts.ready(&history).await;
    load.stop().await;

    let verified = verify(&clients, &ledger, &history).await;
    let zombies = hosts.zombies();
    load::look_for_zombies(&clients, &ledger, zombies, &history).await;
    history.print();
    let total = ledger.total();
    println!(
        "{} Exports: {} tries, {} acknowledged; {} sent to hosts whose id another process had",
        ledger.len(),
        total.tries,
        total.acknowledged,
        zombies.len()
    );
    println!("{verified} of {} hosts have all of it", clients.len());
    let wrong = history.wrong();
    for wrong in &wrong {
        println!("WRONG: {wrong}");
    }
    if wrong.is_empty() && total.acknowledged > 0 {
        ExitCode::SUCCESS
    } else {
        println!("reproduce with the seed {seed}");
        ExitCode::FAILURE
    }
}

/// Looks for every Export on every host, byte for byte. Returns the number of hosts that have all.
async fn verify(clients: &Clients, ledger: &Arc<Ledger>, history: &History) -> usize {
    let mut complete = 0;
    for place in 0..clients.len() {
        let (client, ledger) = (clients.get(place), Arc::clone(ledger));
        // It says by a panic what is missing, which is printed with its place.
        let verified = tokio::spawn(async move { ledger.verify_all(&client).await }).await;
        match verified {
            Ok(()) => complete += 1,
            Err(_) => history.note_wrong(format!("host {place} has not all; its panic says what")),
        }
    }
    complete
}
