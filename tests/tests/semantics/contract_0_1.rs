//! Version 0.1.0 of the contract: the imports, used by a plugin that was built for it and keeps its data in `kv`.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Options, Plugin, Query};

async fn store(client: &Client, number: u8) {
    let one = span([number; 16], 1).name("op").at(number.into());
    client.store([service("a").span(one)]).await;
}

async fn assert_stored(client: &Client, newest_first: &[u8]) {
    let ids: Vec<_> = newest_first.iter().map(|number| [*number; 16]).collect();
    assert_eq!(client.find(&Query::default().service("a")).await, ids);
    assert_eq!(client.get_traces(&ids).await.unwrap().len(), ids.len());
    assert_eq!(client.services().await.unwrap(), ["a"]);
    assert_eq!(client.operations("a", "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn readers_see_kv_writes_also_after_a_restart() {
    let home = Home::new();
    let larder = Options::new(Plugin::Replicated0_1).start_in(&home);
    let client = larder.client().await;
    store(&client, 1).await;
    assert_stored(&client, &[1]).await;
    store(&client, 2).await;
    assert_stored(&client, &[2, 1]).await;
    larder.kill();
    let larder = Options::new(Plugin::Replicated0_1).start_in(&home);
    assert_stored(&larder.client().await, &[2, 1]).await;
}

#[tokio::test]
async fn messages_are_logged() {
    let larder = Options::new(Plugin::Replicated0_1).start();
    let client = larder.client().await;
    let one = span([1; 16], 1).at(5);
    // The plugin logs a message and never returns.
    let spinning = tokio::spawn(async move {
        let spinning = client.export([service("spin on write").span(one)]);
        spinning.await.map(drop)
    });
    larder.wait_for_line("the writer spins").await;
    spinning.abort();
}
