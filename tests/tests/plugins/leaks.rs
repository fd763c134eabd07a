//! Instances do not share memory.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Options, Plugin, eventually};
use tonic::Code;

use crate::attack::store_two;

async fn tell(client: &Client, name: &str, id: u64) -> Result<(), Code> {
    let one = span([7; 16], id).at(5);
    let answer = client.export([service(name).span(one)]).await;
    answer.map(drop).map_err(|status| status.code())
}

/// Covers readers, the next writer, and instances after a purge.
#[tokio::test]
async fn instances_share_no_memory() {
    let larder = Options::new(Plugin::Hostile).purge().start();
    let client = &larder.client().await;
    store_two(client).await;
    for round in 1..=3 {
        tell(client, "remember this", round).await.unwrap();
        let services = client.services().await.unwrap();
        assert_eq!(services, ["fine", "remember this"]);
    }
    assert_eq!(larder.post("/purge").status, 200);
    assert!(client.services().await.unwrap().is_empty());
    assert_eq!(tell(client, "die", 1).await, Err(Code::Unavailable));
    eventually("an instance that writes", async || {
        tell(client, "fine", 1).await.ok()
    })
    .await;
    assert_eq!(client.services().await.unwrap(), ["fine"]);
}
