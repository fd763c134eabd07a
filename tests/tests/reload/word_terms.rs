//! `ingest.word_terms`: fragments with terms of words and without them beside each other.

use larder_proto::expression::v1::Call;
use larder_tests::filter::{attr_at, call, eq, exists, list, lte, ne, regex, string};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query};
use tonic::Code;

use super::{configure, reload};

/// Texts of the attribute `k`, one for each trace.
const TEXTS: [&str; 6] = [
    "Connection timed out after 30s",
    "timeout",
    "TimeoutError",
    "GET /cart",
    "",
    "a 42",
];

fn start(plugin: Plugin, home: &Home, yaml: &str) -> Larder {
    Options::new(plugin).config(yaml).start_in(home)
}

/// Without a dictionary, as a listed text has no terms of words.
fn turn(on: bool) -> String {
    format!("ingest: {{ word_terms: {on}, dictionary: false }}\n")
}

/// Stores a trace for each text, at its number.
async fn store(client: &Client, texts: impl IntoIterator<Item = (u8, String)>) {
    let spans = texts.into_iter().map(|(number, text)| {
        let one = span([number; 16], 1).at(u64::from(number));
        one.attribute("k", text.as_str())
    });
    client.store([service("a").spans(spans)]).await;
}

/// Returns a server that has every text twice: written without terms of words, by numbers from 1, and with them, by numbers from 101.
async fn mixed(plugin: Plugin, home: &Home) -> Larder {
    let larder = start(plugin, home, &turn(false));
    let client = larder.client().await;
    let texts = |first: u8| (first..).zip(TEXTS.map(str::to_owned));
    store(&client, texts(1)).await;
    configure(home, &turn(true));
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "ingest.word_terms", "{report}");
    store(&client, texts(101)).await;
    larder
}

/// Asserts that each filter finds these texts, by their positions, in both of their traces.
async fn finds(larder: &Larder, rows: impl IntoIterator<Item = (Call, &[u8])>) {
    let client = larder.client().await;
    for (filter, texts) in rows {
        let query = Query::default().filter(filter);
        let found = client.search(&query).await.unwrap();
        let found: Vec<u8> = found.iter().map(|id| id[0]).collect();
        let newest_first = texts.iter().rev();
        let with = newest_first.clone().map(|text| text + 101);
        let without = newest_first.map(|text| text + 1);
        assert_eq!(found, with.chain(without).collect::<Vec<_>>(), "{query:?}");
    }
}

fn words(operator: &str, words: &[&str]) -> Call {
    let words = list("string", words.iter().copied());
    call(operator, [attr_at("span", "k"), words])
}

async fn words_are_found_in_all_fragments(plugin: Plugin) {
    let home = Home::new();
    let larder = mixed(plugin, &home).await;
    let fulltext = |listed: &[&str]| words("fulltext", listed);
    let phrase = |listed: &[&str]| words("phrase", listed);
    let rows: [(Call, &[u8]); 12] = [
        (fulltext(&["timed", "connection"]), &[0]),
        (fulltext(&["TIMED"]), &[0]),
        (fulltext(&["timeout"]), &[1]),
        (fulltext(&["timeouterror"]), &[2]),
        (fulltext(&["time"]), &[]),
        (fulltext(&["timeout", "30s"]), &[]),
        (fulltext(&["a"]), &[5]),
        (fulltext(&["42", "a"]), &[5]),
        (phrase(&["get", "cart"]), &[3]),
        (phrase(&["cart", "get"]), &[]),
        (phrase(&["timed", "out", "after"]), &[0]),
        (phrase(&["42"]), &[5]),
    ];
    finds(&larder, rows).await;
}

async fn keys_and_values_are_found_in_all_fragments(plugin: Plugin) {
    let home = Home::new();
    let larder = mixed(plugin, &home).await;
    let key = || attr_at("span", "k");
    let all: &[u8] = &[0, 1, 2, 3, 4, 5];
    let rows: [(Call, &[u8]); 6] = [
        (exists(key()), all),
        (ne(key(), "timeout"), &[0, 2, 3, 4, 5]),
        (eq(key(), string("")), &[4]),
        (eq(key(), "GET /cart"), &[3]),
        (regex(key(), "TimeoutE"), &[2]),
        (lte(key(), "GET"), &[0, 4]),
    ];
    finds(&larder, rows).await;
}

/// A query may judge five spans, so it is answered only if an index leaves no more.
async fn words_are_answered_by_an_index(plugin: Plugin) {
    let home = Home::new();
    let limits = "limits: { query_judged_spans: 5 }\n";
    let larder = start(plugin, &home, &format!("{limits}{}", turn(true)));
    let client = larder.client().await;
    let orders = |first: u8| {
        let orders = (first..).take(20);
        orders.map(|number| (number, format!("order {} failed", 500 + u32::from(number))))
    };
    store(&client, orders(1)).await;
    let one = Query::default().filter(words("fulltext", &["507", "failed"]));
    assert_eq!(client.search(&one).await.unwrap(), [[7; 16]]);
    let all = Query::default().filter(words("fulltext", &["failed"]));
    let refused = client.search(&all).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    // What is written without terms has to be judged.
    configure(&home, &format!("{limits}{}", turn(false)));
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "ingest.word_terms", "{report}");
    store(&client, orders(101)).await;
    let refused = client.search(&one).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("query_judged_spans"),
        "{refused:?}"
    );
}

larder_tests::with_plugins!(words_are_found_in_all_fragments: kv = Kv, memory = Memory);
larder_tests::with_plugins!(keys_and_values_are_found_in_all_fragments: kv = Kv, memory = Memory);
larder_tests::with_plugins!(words_are_answered_by_an_index: kv = Kv, memory = Memory);
