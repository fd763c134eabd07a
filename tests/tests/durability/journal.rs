//! The end of the journal after a crash: a partial frame, or arbitrary bytes. Also images of the folder, taken during writes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use larder_proto::storage::v2::{GetTraceParams, GetTracesRequest};
use larder_tests::otlp::{noise, service, span as span_of};
use larder_tests::{Home, Ledger, Options, Plugin, Rng, method};
use prost::Message as _;

use crate::load::Load;

fn append(journal: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(journal).unwrap();
    file.write_all(bytes).unwrap();
}

/// Encodes the header of a frame and a part of its contents, under an unused number.
fn part_of_a_frame(length: u32) -> Vec<u8> {
    let mut frame = b"LJF1".to_vec();
    frame.extend(u64::MAX.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend([7; 8]);
    frame.extend([1; 100]);
    frame
}

#[tokio::test]
async fn an_invalid_frame_at_the_end_of_the_journal_loses_nothing() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Ledger::new(rng.next()));
    let garbage: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes())
        .take(1000)
        .flatten()
        .collect();
    for tail in [
        part_of_a_frame(100_000),
        part_of_a_frame(100),
        part_of_a_frame(u32::MAX),
        b"LJF".to_vec(),
        b"LJF1".repeat(50),
        vec![0; 4096],
        garbage,
    ] {
        let larder = Options::new(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        ledger.verify_all(&client).await;
        for _ in 0..8 {
            ledger.store(&client).await;
        }
        larder.kill();
        append(home.kv_files("journal").last().unwrap(), &tail);
    }
    let larder = Options::new(Plugin::Kv).start_in(&home);
    ledger.verify_all(&larder.client().await).await;
    let damaged = larder
        .lines()
        .into_iter()
        .find(|line| line.contains("is damaged"));
    assert_eq!(damaged, None, "a torn end is no damage");
}

/// A journal that is cut after what was acknowledged at some moment still has all of that, and no Export in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_journal_has_everything_acknowledged_before_the_cut() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    for _ in 0..20 {
        ledger.store(&client).await;
    }
    let journal = home.kv_files("journal").pop().unwrap();
    let kept = fs::metadata(&journal).unwrap().len();
    let before = ledger.so_far();
    let load = Load::start(&larder, &ledger, 4).await;
    load.acknowledged(15).await;
    larder.kill();
    load.stop().await;

    // On a loaded machine the journal may have been folded into the tree meanwhile.
    let length = fs::metadata(&journal).map_or(kept, |it| it.len());
    for _ in 0..6 {
        let image = home.copy();
        if length > kept {
            let cut = kept + rng.below(length - kept);
            let journal = image.kv_files("journal").pop().unwrap();
            let file = OpenOptions::new().write(true).open(journal).unwrap();
            file.set_len(cut).unwrap();
        }
        let larder = Options::new(Plugin::Kv).start_in(&image);
        let known = ledger.with_acknowledged(&before);
        known.verify_all(&larder.client().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_the_folder_has_everything_acknowledged_before_it() {
    for plugin in [Plugin::Kv, Plugin::Brittle] {
        let mut rng = Rng::from_env();
        let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
        let larder = Options::new(plugin).start_in(&home);
        let load = Load::start(&larder, &ledger, 4).await;
        for taken in 1..4 {
            load.acknowledged(taken * 25).await;
            let before = ledger.so_far();
            // The server is stopped while the image is made; the load pauses, so only the image has to be checked.
            larder.signal("STOP");
            larder.is_stopped();
            let image = home.copy();
            let other = Options::new(plugin).start_in(&image);
            let known = ledger.with_acknowledged(&before);
            known.verify_all(&other.client().await).await;
            larder.signal("CONT");
        }
        load.stop().await;
        ledger.verify_all(&larder.client().await).await;
    }
}

/// With `periodic` durability, what was acknowledged since the last sync is not on disk yet. An answer that nobody reads is cut off by the
/// drain; what its task holds must not keep the store from being closed.
#[tokio::test]
async fn a_stop_brings_everything_to_disk_even_if_it_cuts_off_calls() {
    let (home, ledger) = (Home::new(), Ledger::new(Rng::from_env().next()));
    let periodic = || {
        Options::new(Plugin::Kv)
            .environment("LARDER_KV_DURABILITY", "periodic")
            .environment("LARDER_KV_SYNC_INTERVAL", "1m")
            .environment("LARDER_LIMITS_DRAIN_TIMEOUT", "100ms")
    };
    let larder = periodic().start_in(&home);
    let client = larder.client().await;
    for _ in 0..8 {
        ledger.store(&client).await;
    }
    // More than a connection holds.
    let large = |span| {
        let one = span_of([9; 16], span).attribute("text", noise(span, 1 << 20));
        service("large").span(one)
    };
    for span in 1..=8 {
        client.store([large(span)]).await;
    }
    let request = GetTracesRequest {
        query: vec![GetTraceParams {
            trace_id: vec![9; 16],
            ..GetTraceParams::default()
        }],
    };
    let call = client.call();
    let unread = call
        .open(method::GET_TRACES, request.encode_to_vec().into())
        .await
        .unwrap();
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert!(status.success(), "{lines:?}");
    assert!(
        lines.concat().contains("limits.drain_timeout"),
        "the answer was not cut off: {lines:?}"
    );
    drop(unread);

    for journal in home.kv_files("journal") {
        assert_eq!(fs::metadata(journal).unwrap().len(), 0, "frames are left");
    }
    let larder = periodic().start_in(&home);
    ledger.verify_all(&larder.client().await).await;
}
