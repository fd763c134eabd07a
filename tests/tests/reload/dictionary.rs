//! `ingest.dictionary`: fragments whose values are listed beside others.

use larder_tests::filter::{attr_at, regex};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query};
use tonic::{Code, Status};

use super::{configure, reload};

/// A query may judge five spans, so a pattern is answered only if no more than that have values that are not listed.
const LIMITS: &str = "limits: { query_judged_spans: 5 }\n";

fn turned(on: bool) -> String {
    format!("{LIMITS}ingest: {{ dictionary: {on} }}\n")
}

fn turn(larder: &Larder, home: &Home, on: bool) {
    configure(home, &turned(on));
    let report = reload(larder);
    assert_eq!(report["taken"][0], "ingest.dictionary", "{report}");
}

/// Stores twenty traces from `first` on, each with a value of its own.
async fn store(client: &Client, key: &str, first: u8) {
    let spans = (first..first + 20).map(|number| {
        let one = span([number; 16], 1).at(u64::from(number));
        one.attribute(key, format!("value {number}").as_str())
    });
    client.store([service("a").spans(spans)]).await;
}

async fn search(client: &Client, key: &str, pattern: &str) -> Result<Vec<u8>, Status> {
    let query = Query::default().filter(regex(attr_at("span", key), pattern));
    let found = client.search(&query).await?;
    Ok(found.iter().map(|id| id[0]).collect())
}

async fn values_are_listed_while_it_is_on(plugin: Plugin) {
    let home = Home::new();
    let larder = Options::new(plugin).config(&turned(false)).start_in(&home);
    larder.lists_values().await;
    let client = larder.client().await;
    store(&client, "early", 1).await;
    turn(&larder, &home, true);
    store(&client, "k", 101).await;
    assert_eq!(
        search(&client, "k", "value 10[12]").await.unwrap(),
        [102, 101]
    );
    assert!(search(&client, "k", "another").await.unwrap().is_empty());
    let refused = search(&client, "early", "another").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    // What was listed is searched for, and what is not listed any more has to be judged.
    turn(&larder, &home, false);
    assert!(search(&client, "k", "another").await.unwrap().is_empty());
    store(&client, "k", 201).await;
    let refused = search(&client, "k", "another").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    let all = "limits: { query_judged_spans: 1000 }\n";
    configure(&home, &format!("{all}ingest: {{ dictionary: false }}\n"));
    reload(&larder);
    assert_eq!(search(&client, "k", "value .01").await.unwrap(), [201, 101]);
    assert_eq!(search(&client, "early", "value 7").await.unwrap(), [7]);
}

larder_tests::with_plugins!(values_are_listed_while_it_is_on: kv = Kv, memory = Memory);
