//! Words of a text through an index that has been sealed, flushed and opened again: V16.
//!
//! A query may judge few spans, so it is answered only if the index leaves few of them. The index has no words beyond the first 64 of a
//! value, or beyond its first 4096 bytes, and of a number the last four digits; the answers have all of them.

use larder_proto::expression::v1::Call;
use larder_tests::filter::{attr, fulltext, phrase};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query};
use tonic::Code;

/// The traces of texts with words that the index does not have.
const UNLISTED: u8 = 4;
/// The traces of short texts with a number each.
const ORDERS: u8 = 60;
/// More than are left for any word of the rows, and fewer than there are orders.
const LIMIT: &str = "limits: { query_judged_spans: 10 }\n";

fn start(plugin: Plugin, home: &Home) -> Larder {
    Options::new(plugin).config(LIMIT).start_in(home)
}

/// The texts of `k`, of the traces 1, 2 and so on.
fn texts() -> Vec<String> {
    let many = (0..70).map(|number| format!("word{number:02}"));
    let unlisted = [
        format!("{}behind the beginning", "pad ".repeat(1100)),
        many.collect::<Vec<_>>().join(" "),
        // The beginning ends within the word.
        format!("{}boundary", " ".repeat(4092)),
        format!("tail {}", "y".repeat(200)),
    ];
    assert_eq!(unlisted.len(), usize::from(UNLISTED));
    let orders = (1..=ORDERS).map(|number| format!("order {} failed", 2000 + u16::from(number)));
    let alike = ["1007", "31007", "71007"].map(|number| format!("order {number} paid"));
    unlisted.into_iter().chain(orders).chain(alike).collect()
}

async fn store(client: &Client) {
    for (number, text) in (1..).zip(texts()) {
        let one = span([number; 16], 1).at(u64::from(number));
        client
            .store([service("a").span(one.attribute("k", text))])
            .await;
    }
}

/// Each filter with the traces that it finds, the newest first.
fn rows() -> Vec<(Call, Vec<u8>)> {
    let k = || attr("k");
    let long = "y".repeat(200);
    let last = UNLISTED + ORDERS;
    vec![
        (fulltext(k(), ["behind"]), vec![1]),
        (fulltext(k(), ["BEGINNING", "behind", "pad"]), vec![1]),
        (phrase(k(), ["pad", "behind", "the"]), vec![1]),
        (phrase(k(), ["behind", "pad"]), vec![]),
        (fulltext(k(), ["word69"]), vec![2]),
        (fulltext(k(), ["word69", "word00"]), vec![2]),
        (phrase(k(), ["word63", "word64", "word65"]), vec![2]),
        (phrase(k(), ["word65", "word64"]), vec![]),
        (fulltext(k(), ["word70"]), vec![]),
        (fulltext(k(), ["boundary"]), vec![3]),
        (fulltext(k(), ["boun"]), vec![]),
        (fulltext(k(), [long.as_str()]), vec![4]),
        (phrase(k(), ["tail", long.as_str()]), vec![4]),
        (fulltext(k(), [&long[1..]]), vec![]),
        (fulltext(k(), ["2010", "failed"]), vec![UNLISTED + 10]),
        (phrase(k(), ["order", "1007"]), vec![last + 1]),
        (fulltext(k(), ["31007"]), vec![last + 2]),
        (phrase(k(), ["71007", "paid"]), vec![last + 3]),
        (fulltext(k(), ["41007"]), vec![]),
        (fulltext(k(), ["paid"]), vec![last + 3, last + 2, last + 1]),
    ]
}

async fn check(larder: &Larder) {
    let client = larder.client().await;
    for (filter, expected) in rows() {
        let query = Query::default().filter(filter);
        let found = client.search(&query).await.unwrap();
        let found: Vec<u8> = found.iter().map(|id| id[0]).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    // Without an index that leaves few, a query is refused.
    let all = Query::default().filter(fulltext(attr("k"), ["failed"]));
    let refused = client.search(&all).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("limits.query_judged_spans"),
        "{refused:?}"
    );
}

async fn words_are_found_through_the_index_after_a_restart(plugin: Plugin) {
    let home = Home::new();
    let larder = start(plugin, &home);
    store(&larder.client().await).await;
    check(&larder).await;
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());

    let larder = start(plugin, &home);
    check(&larder).await;
    larder.kill();
    check(&start(plugin, &home)).await;
}

// The second one is kv with parts so small that most of the texts are in sealed and merged segments.
larder_tests::with_plugins!(
    words_are_found_through_the_index_after_a_restart: kv = Kv, sealed = Brittle
);
