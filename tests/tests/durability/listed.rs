//! Listed values outlive kills. A query may judge fewer spans than there are, so it is answered only by what is listed.

use larder_tests::filter::{attr_at, regex};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query};

/// Spans of a round: more than a query may judge.
const SPANS: u8 = 20;

fn start(home: &Home) -> Larder {
    Options::new(Plugin::Kv)
        .purge()
        .environment("LARDER_LIMITS_QUERY_JUDGED_SPANS", "5")
        .start_in(home)
}

/// The value of a trace, which none of another trace contains.
fn value(number: u8) -> String {
    format!("value {number:03}")
}

/// Stores traces from `first` on, each with a value of its own.
async fn store(client: &Client, first: u8) {
    let spans = (first..first + SPANS).map(|number| {
        let one = span([number; 16], 1).at(u64::from(number));
        one.attribute("k", value(number).as_str())
    });
    client.store([service("a").spans(spans)]).await;
}

/// Asserts that each of these traces is found by its value, and that nothing is found by another one.
async fn finds(client: &Client, traces: impl IntoIterator<Item = u8>) {
    let query = |pattern: &str| {
        let pattern = regex(attr_at("span", "k"), pattern);
        Query::default().filter(pattern)
    };
    for number in traces {
        let found = client.search(&query(&value(number))).await;
        assert_eq!(found.unwrap(), [[number; 16]]);
    }
    let none = client.search(&query("another")).await;
    assert!(none.unwrap().is_empty());
}

#[tokio::test]
async fn listed_values_survive_kills() {
    let home = Home::new();
    for round in 0..5 {
        let larder = start(&home);
        larder.lists_values().await;
        let client = larder.client().await;
        let first = 1 + round * SPANS;
        finds(&client, 1..first).await;
        store(&client, first).await;
        if round % 2 == 0 {
            finds(&client, first..first + SPANS).await;
        }
        larder.kill();
    }
    let larder = start(&home);
    larder.lists_values().await;
    finds(&larder.client().await, 1..=5 * SPANS).await;
}

#[tokio::test]
async fn a_purge_forgets_listed_values_for_good() {
    let home = Home::new();
    let larder = start(&home);
    larder.lists_values().await;
    let client = larder.client().await;
    store(&client, 1).await;
    finds(&client, [1, 20]).await;
    assert_eq!(larder.post("/purge").status, 200);
    let keys = |larder: &Larder| larder.get("/attributes").json()["attributes"].clone();
    assert_eq!(keys(&larder), serde_json::json!([]));
    store(&client, 101).await;
    finds(&client, [101, 120]).await;
    let listed = keys(&larder);
    assert_eq!(listed[0]["values"], SPANS, "{listed}");
    larder.kill();
    let larder = start(&home);
    larder.lists_values().await;
    finds(&larder.client().await, [101, 120]).await;
    assert_eq!(keys(&larder), listed);
}
