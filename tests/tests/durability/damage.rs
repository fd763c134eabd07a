//! Bytes that go bad on disk: what they held is `DATA_LOSS` and named, and everything else is there.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use larder_tests::otlp::{noise, service, span};
use larder_tests::{Client, Home, Options, Plugin, Query, eventually, http};
use tonic::Code;

const TRACES: u8 = 8;
/// So large that each trace's spans are an object of their own.
const SPAN_BYTES: usize = 100_000;

async fn store(client: &Client) {
    for number in 1..=TRACES {
        let text = noise(number.into(), SPAN_BYTES);
        let one = span([number; 16], 1)
            .at(u64::from(number) * 1_000_000)
            .attribute("text", text);
        client.store([service("kept").span(one)]).await;
    }
}

/// Spoils a byte in the middle of the largest object file.
fn spoil(home: &Home) {
    let files = home.kv_files("objects").into_iter();
    let file = files
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[tokio::test]
async fn a_damaged_object_is_data_loss_for_what_it_held_and_nothing_else_is() {
    let home = Home::new();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    store(&larder.client().await).await;
    let (status, _) = larder.insist("TERM").await;
    assert!(status.success());
    spoil(&home);

    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    let mut lost = Vec::new();
    for number in 1..=TRACES {
        match client.get_traces([[number; 16]]).await {
            Ok(traces) => assert_eq!(traces[0].span_ids(), [1], "trace {number}"),
            Err(status) => {
                assert_eq!(status.code(), Code::DataLoss, "{status:?}");
                lost.push(number);
            }
        }
    }
    let [lost] = lost[..] else {
        panic!("one trace is damaged, but these cannot be read: {lost:?}");
    };
    assert_eq!(client.services().await.unwrap(), ["kept"]);
    // Searches that do not come upon it are answered.
    let window = |from: u8, to: u8| {
        let at = |number: u8| u64::from(number) * 1_000_000;
        Query::default()
            .service("kept")
            .window(at(from), at(to).saturating_sub(1))
    };
    let others = [window(0, lost), window(lost + 1, TRACES + 1)];
    let mut found = 0;
    for query in &others {
        found += client.find(query).await.len();
    }
    assert_eq!(found, usize::from(TRACES) - 1);
    let hit = client.find_traces(&window(lost, lost + 1)).await;
    assert_eq!(hit.unwrap_err().code(), Code::DataLoss);

    larder.line("partition");
    eventually("the damage among the metrics", async || {
        let metrics = larder.metrics();
        (http::count(&metrics, "larder_kv_damaged_total", &[]) > 0).then_some(())
    })
    .await;
}

/// Damage in the index of one writer's generation must not keep new data from being written and found.
#[tokio::test]
async fn what_is_written_after_the_damage_is_kept() {
    let home = Home::new();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    store(&larder.client().await).await;
    larder.kill();
    spoil(&home);
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    let one = span([99; 16], 1).at(5);
    client.store([service("new").span(one)]).await;
    larder.kill();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    assert_eq!(client.get_trace([99; 16]).await.span_ids(), [1]);
    let query = Query::default().service("new");
    assert_eq!(client.find(&query).await, [[99; 16]]);
}
