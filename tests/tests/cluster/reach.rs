//! A store that is not reached, at a start and later.

use larder_tests::otlp::{service, span};
use larder_tests::{Cluster, Home, eventually};
use tonic::Code;

use crate::ready;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_a_store_that_is_not_there() {
    let (cluster, mut forwarder) = Cluster::new().behind_forwarder();
    let host = cluster.host("a").starting_in(&Home::new());
    let client = host.client().await;
    // It says where it has looked.
    host.wait_for_line(&cluster.nodes()[0].to_string()).await;
    assert_eq!(host.get("/livez").status, 200);
    assert_eq!(host.get("/readyz").status, 503);
    let one = span([1; 16], 1).at(1000);
    let refused = client.export([service("early").span(one.clone())]).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);

    forwarder.open();
    let client = ready(&host).await;
    client.store([service("waited").span(one)]).await;
    assert_eq!(client.services().await.unwrap(), ["waited"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_loses_the_store_serves_again_once_it_has_it() {
    let (cluster, mut forwarder) = Cluster::new().behind_forwarder();
    forwarder.open();
    let host = cluster.host("a").start();
    let client = host.client().await;
    let store = async |number: u8| {
        let one = span([number; 16], 1).at(1000);
        client.export([service("kept").span(one)]).await
    };
    store(1).await.unwrap();

    forwarder.close().await;
    let refused = store(2).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    eventually("a host that is not ready", async || {
        (host.get("/readyz").status == 503).then_some(())
    })
    .await;
    assert_eq!(host.get("/livez").status, 200);

    forwarder.open();
    ready(&host).await;
    store(3).await.unwrap();
    for number in [1, 3] {
        assert_eq!(client.get_trace([number; 16]).await.span_ids(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_has_lost_the_store_ends_well() {
    let (cluster, mut forwarder) = Cluster::new().behind_forwarder();
    forwarder.open();
    let host = cluster.host("a").start();
    let client = host.client().await;
    let one = span([1; 16], 1).at(1000);
    client.store([service("kept").span(one)]).await;

    forwarder.close().await;
    host.signal("TERM");
    let (status, lines) = host.wait();
    assert!(status.success(), "{status}: {lines:?}");
    let told = "could not be told that this host ends: nothing acknowledged is lost";
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:?}");

    forwarder.open();
    let other = cluster.host("b").start();
    let client = ready(&other).await;
    assert_eq!(client.get_trace([1; 16]).await.span_ids(), [1]);
}
