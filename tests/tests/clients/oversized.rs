//! Oversized spans: refused by `partial_success`, or stored and read back unchanged.

use larder_tests::otlp::{key_value, noise, request, service, span};
use larder_tests::{Client, Query};
use prost::Message as _;

use crate::attacked::Attacked;

const MIB: usize = 1 << 20;

/// Exports, and returns the number of refused spans and the reason.
async fn refused(client: &Client, body: Vec<u8>) -> (i64, String) {
    let answer = client.export_bytes(body).await.unwrap();
    let partial = answer.partial_success.unwrap_or_default();
    (partial.rejected_spans, partial.error_message)
}

#[tokio::test]
async fn a_span_of_32_mib_is_refused_alone() {
    let server = Attacked::begin().await;
    let client = server.larder.client().await;
    let giant = span([2; 16], 1)
        .at(5)
        .attribute("text", "x".repeat(32 * MIB));
    let small = span([2; 16], 2).at(5);
    let body = request([service("a").spans([giant, small])]).encode_to_vec();
    let (spans, why) = refused(&client, body).await;
    assert_eq!(spans, 1, "{why}");
    assert!(why.contains("max_span_bytes"), "{why}");
    assert_eq!(client.get_trace([2; 16]).await.span_ids(), [2]);
    server.end().await;
}

/// A value that almost fills a message is stored, found by its value and read back.
#[tokio::test]
async fn a_giant_value_that_fits_a_message_is_kept() {
    let server = Attacked::begin().await;
    let client = server.larder.client().await;
    let value = noise(1, 3 * MIB);
    let one = span([2; 16], 1).at(5).attribute("text", &*value);
    client.store([service("a").span(one)]).await;
    let query = Query::default().attribute("text", &*value);
    assert_eq!(client.find(&query).await, [[2; 16]]);
    server.end().await;
}

/// Encodes a span with these keys.
fn wide(trace: u8, keys: impl Iterator<Item = String>) -> Vec<u8> {
    let mut one = span([trace; 16], 1).at(5);
    one.0.attributes = keys.map(|key| key_value(&key, true)).collect();
    request([service("a").span(one)]).encode_to_vec()
}

/// 18 MB of attributes in one span exceed `limits.max_span_bytes`, 3 MB do not.
#[tokio::test]
async fn a_million_attributes_are_refused_and_fewer_are_kept() {
    let server = Attacked::begin().await;
    let client = server.larder.client().await;
    let million = (0..1_000_000).map(|number| format!("key-{number}"));
    let (spans, why) = refused(&client, wide(2, million)).await;
    assert_eq!(spans, 1, "{why}");

    let fewer = (0..150_000).map(|number| format!("key-{number}"));
    assert_eq!(refused(&client, wide(3, fewer)).await, (0, String::new()));
    let query = Query::default().attribute("key-149999", true);
    assert_eq!(client.find(&query).await, [[3; 16]]);

    // Spread over many spans they are accepted.
    let spans = (1..=2_000_u64).map(|number| {
        let mut one = span([4; 16], number).at(5);
        let keys = (0..100).map(|key| key_value(&format!("{number}-{key}"), true));
        one.0.attributes = keys.collect();
        one
    });
    client.store([service("a").spans(spans)]).await;
    let query = Query::default().attribute("2000-99", true);
    assert_eq!(client.find(&query).await, [[4; 16]]);
    server.end().await;
}

/// Keys that collide in an unkeyed hash: all their sums, and all their differences to FNV's first prime, are equal. They must not cost
/// more than other keys.
#[tokio::test]
async fn keys_made_to_collide_cost_no_more_than_others() {
    let server = Attacked::begin().await;
    let client = server.larder.client().await;
    // "Aa" and "BB" have the same hash in Java, and so have all concatenations of equally many of them.
    let colliding = (0..1_u32 << 15).map(|number| {
        let pairs = (0..16).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
        pairs.collect::<String>()
    });
    assert_eq!(
        refused(&client, wide(2, colliding)).await,
        (0, String::new())
    );
    // Multiples of a power of two, as eight bytes: the same low bits everywhere.
    let aligned = (0..1_u64 << 15).map(|number| {
        let bytes = (number << 40).to_le_bytes();
        bytes.iter().map(|byte| char::from(byte & 0x7f)).collect()
    });
    assert_eq!(refused(&client, wide(3, aligned)).await, (0, String::new()));
    let query = Query::default().attribute("Aa".repeat(16), true);
    assert_eq!(client.find(&query).await, [[2; 16]]);
    server.end().await;
}
