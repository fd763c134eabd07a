//! Every RPC as tenant `b`, for every id, service and operation of tenant `a`.

use larder_tests::{Client, Home, Plugin, Query, timestamp};

use super::{store, tenancy, traces};

async fn finds_nothing(client: &Client, of: &str) {
    let ids: Vec<[u8; 16]> = (1..=3).map(|number| [number; 16]).collect();
    assert!(client.get_traces(&ids).await.unwrap().is_empty());
    assert!(client.services().await.unwrap().is_empty());
    assert!(client.operations(of, "").await.unwrap().is_empty());
    for query in [
        Query::default(),
        Query::default().service(of),
        Query::default().operation(format!("op of {of}")),
        Query::default().window(0, u64::MAX / 4),
    ] {
        assert!(client.find(&query).await.is_empty(), "{query:?}");
    }
    let links = client.dependencies(Some(timestamp(0)), None).await.unwrap();
    assert!(links.is_empty());
}

async fn nothing_crosses(plugin: Plugin) {
    let larder = tenancy(plugin).start();
    let client = larder.client().await;
    for number in 1..=3 {
        store(&client, "a", number).await;
    }
    finds_nothing(&client.tenant("b"), "a").await;

    // The same trace ids: each has its own spans alone.
    for number in 2..=3 {
        store(&client, "b", number).await;
    }
    assert_eq!(traces(&client, "a").await, [3, 2, 1]);
    assert_eq!(traces(&client, "b").await, [3, 2]);
    for tenant in ["a", "b"] {
        let trace = client.tenant(tenant).get_trace([2; 16]).await;
        let names: Vec<&str> = trace.spans().iter().map(|span| &*span.name).collect();
        assert_eq!(names, [format!("op of {tenant}")]);
        assert_eq!(client.tenant(tenant).services().await.unwrap(), [tenant]);
    }
    finds_nothing(&client.tenant("c"), "a").await;

    let tenants = larder.get("/tenants").json();
    let names: Vec<&str> = tenants
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| tenant["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(tenants[0]["plugin"]["state"], "ready");
}

#[tokio::test]
async fn nothing_crosses_with_kv() {
    nothing_crosses(Plugin::Kv).await;
}

#[tokio::test]
async fn nothing_crosses_with_memory() {
    nothing_crosses(Plugin::Memory).await;
}

#[tokio::test]
async fn a_restart_keeps_each_tenants_own() {
    let home = Home::new();
    let larder = tenancy(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    store(&client, "a", 1).await;
    store(&client, "b", 2).await;
    larder.kill();

    let larder = tenancy(Plugin::Kv).start_in(&home);
    let tenants = larder.get("/tenants").json();
    assert_eq!(tenants[0]["state"], "away", "nobody has called yet");
    let client = larder.client().await;
    assert_eq!(traces(&client, "a").await, [1]);
    assert_eq!(traces(&client, "b").await, [2]);
}
