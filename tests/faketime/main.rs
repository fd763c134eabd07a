//! A system clock that is 400 days ahead, by libfaketime, whose path `LIBFAKETIME` has. `tests/faketime.sh` runs this.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs;

use larder_tests::http::count;
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, eventually};

/// The traces of servers whose clock was right.
const RIGHT: u8 = 10;

fn right_clock() -> Options {
    Options::new(Plugin::Kv).own_cache()
}

/// The system's clock is ahead, and the monotonic one and the times of files are as they are.
fn clock_ahead() -> Options {
    let library = std::env::var("LIBFAKETIME").expect("LIBFAKETIME; run tests/faketime.sh");
    right_clock()
        .environment("LD_PRELOAD", &library)
        .environment("FAKETIME", "+400d")
        .environment("DONT_FAKE_MONOTONIC", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .environment("NO_FAKE_STAT", "1")
}

async fn store(client: &Client, number: u8) {
    let one = span([number; 16], 1);
    client.store([service("service").span(one)]).await;
}

/// Returns how many of the traces of a right clock are there.
async fn count_right(client: &Client) -> usize {
    let ids: Vec<[u8; 16]> = (1..=RIGHT).map(|number| [number; 16]).collect();
    client.get_traces(&ids).await.unwrap().len()
}

/// Returns once retention has gone over what is stored: the count of spans is taken after it.
async fn until_maintained(larder: &Larder, spans: u64) {
    eventually("the count of spans", async || {
        let stored = count(&larder.metrics(), "larder_storage_spans", &[]);
        (stored == spans).then_some(())
    })
    .await;
}

async fn stop(larder: Larder) {
    let (status, lines) = larder.signal_until_exit("TERM").await;
    assert!(status.success(), "{lines:?}");
}

/// A store with [`RIGHT`] traces.
async fn stored() -> Home {
    let home = Home::new();
    let larder = right_clock().start_in(&home);
    let client = larder.client().await;
    for number in 1..=RIGHT {
        store(&client, number).await;
    }
    until_maintained(&larder, RIGHT.into()).await;
    stop(larder).await;
    home
}

#[tokio::test]
async fn a_start_with_a_clock_far_ahead_forgets_nothing_until_it_is_confirmed() {
    let home = stored().await;

    let larder = clock_ahead().start_in(&home);
    larder.line_of(&["the system's clock has jumped", "POST /clock"]);
    let ready = larder.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains("POST /clock"), "{ready:?}");
    let jump = count(&larder.metrics(), "larder_clock_jump_seconds", &[]);
    assert!((399 * 86_400..401 * 86_400).contains(&jump), "{jump}");
    let client = larder.client().await;
    // Each count is one of a round of retention.
    for number in 1..=10 {
        store(&client, RIGHT + number).await;
        until_maintained(&larder, (RIGHT + number).into()).await;
        assert_eq!(count_right(&client).await, usize::from(RIGHT));
    }
    stop(larder).await;

    let larder = right_clock().start_in(&home);
    assert_eq!(larder.get("/readyz").body, "ok\n");
    let client = larder.client().await;
    store(&client, 100).await;
    until_maintained(&larder, u64::from(RIGHT) + 11).await;
    assert_eq!(count_right(&client).await, usize::from(RIGHT));
    stop(larder).await;

    let larder = clock_ahead().start_in(&home);
    let client = larder.client().await;
    assert_eq!(count_right(&client).await, usize::from(RIGHT));
    assert!(larder.post("/clock").body.contains("is believed"));
    assert_eq!(larder.get("/readyz").body, "ok\n");
    eventually("retention", async || {
        (count_right(&client).await == 0).then_some(())
    })
    .await;
    // Written by the clock that is believed now.
    let late = client.get_traces(&[[RIGHT + 1; 16]]).await.unwrap();
    assert_eq!(late.len(), 1);
    stop(larder).await;
}

/// A store of an older version has no file with the time; its files have one.
#[tokio::test]
async fn a_store_of_an_older_version_is_as_safe() {
    let home = stored().await;
    fs::remove_file(home.data().join("kv/CLOCK")).unwrap();
    let larder = clock_ahead().start_in(&home);
    larder.line("the system's clock has jumped");
    let client = larder.client().await;
    store(&client, RIGHT + 1).await;
    until_maintained(&larder, u64::from(RIGHT) + 1).await;
    assert_eq!(count_right(&client).await, usize::from(RIGHT));
    stop(larder).await;
}
