//! Two processes that write under one id, of which one may be held up.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Cluster, Home, Query, eventually};
use tonic::{Code, Status};

use crate::ready;

async fn export(client: &Client, number: u8) -> Result<(), Status> {
    let one = span([number; 16], 1).at(1000 + u64::from(number));
    client
        .export([service("claimed").span(one)])
        .await
        .map(drop)
}

/// Returns the numbers of the traces, by a search and by their ids, of 1 to 9.
async fn traces(client: &Client) -> Vec<u8> {
    let mut found = client.find(&Query::default()).await;
    found.sort_unstable();
    let by_id = client.get_traces((1..=9).map(|it| [it; 16])).await;
    let mut by_id: Vec<[u8; 16]> = by_id.unwrap().iter().map(|trace| trace.id).collect();
    by_id.sort_unstable();
    assert_eq!(found, by_id);
    found.iter().map(|id| id[0]).collect()
}

/// The second never fights for the id: it says who has it, and takes it once that one is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_with_the_same_id_is_not_ready_and_says_who_has_it() {
    let cluster = Cluster::new();
    let host = |address| {
        let options = cluster.host("a");
        options.environment("LARDER_KV_CASSANDRA_ADDRESS", address)
    };
    let first = host("first.example").start();
    let of_first = first.client().await;
    export(&of_first, 1).await.unwrap();

    let second = host("second.example").starting_in(&Home::new());
    let of_second = second.client().await;
    second.wait_for_line("two hosts must not have one id").await;
    second.line_of(&["first.example", "second.example"]);
    let answer = second.get("/readyz");
    assert_eq!(answer.status, 503, "{}", answer.body);
    for told in ["first.example", "`kv.cassandra.host`"] {
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    let refused = export(&of_second, 2).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    // The first has lost nothing by it.
    assert_eq!(first.get("/readyz").status, 200);
    export(&of_first, 3).await.unwrap();
    assert_eq!(traces(&of_first).await, [1, 3]);

    first.kill();
    let of_second = ready(&second).await;
    export(&of_second, 4).await.unwrap();
    assert_eq!(traces(&of_second).await, [1, 3, 4]);
}

/// With tenants each plugin stands for itself, but all write under the one id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_with_the_same_id_is_not_ready_with_tenants_either() {
    let cluster = Cluster::new();
    let host = |address| {
        let options = cluster.host("a");
        options
            .environment("LARDER_KV_CASSANDRA_ADDRESS", address)
            .environment("LARDER_TENANCY_ENABLED", "true")
            .start()
    };
    let (first, second) = (host("first.example"), host("second.example"));
    let (of_first, of_second) = (first.client().await, second.client().await);
    export(&of_first.tenant("acme"), 1).await.unwrap();
    assert_eq!(
        second.get("/readyz").status,
        200,
        "it has been asked for none"
    );
    let refused = export(&of_second.tenant("acme"), 2).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let answer = second.get("/readyz");
    assert_eq!(answer.status, 503, "{}", answer.body);
    for told in ["first.example", "`kv.cassandra.host`"] {
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    assert_eq!(first.get("/readyz").status, 200);

    first.kill();
    let of_second = ready(&second).await;
    let of_acme = of_second.tenant("acme");
    eventually("a write under the id", async || {
        export(&of_acme, 3).await.ok()
    })
    .await;
    assert_eq!(traces(&of_acme).await, [1, 3]);
}

/// A host that was stopped for so long that another process has its id now: what it is asked to write is neither acknowledged nor read by
/// anyone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_wakes_up_after_its_id_was_claimed_writes_nothing() {
    let cluster = Cluster::new();
    let [old, other] = ["a", "b"].map(|id| cluster.host(id).start());
    let (of_old, of_other) = (old.client().await, other.client().await);
    export(&of_old, 1).await.unwrap();
    export(&of_other, 2).await.unwrap();

    old.signal("STOP");
    old.is_stopped();
    // They wait in its sockets.
    let late = [3, 4].map(|number| {
        let client = of_old.clone();
        tokio::spawn(async move { export(&client, number).await })
    });
    let new = cluster.host("a").starting_in(&Home::new());
    let of_new = ready(&new).await;
    export(&of_new, 5).await.unwrap();
    assert_eq!(traces(&of_other).await, [1, 2, 5]);

    old.signal("CONT");
    for late in late {
        let refused = late.await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }
    let refused = export(&of_old, 6).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    eventually("a host that knows that it has lost its id", async || {
        (old.get("/readyz").status == 503).then_some(())
    })
    .await;

    // Nor has it taken anything from the one that has the id now.
    export(&of_new, 7).await.unwrap();
    for client in [&of_new, &of_other] {
        assert_eq!(traces(client).await, [1, 2, 5, 7]);
    }
}
