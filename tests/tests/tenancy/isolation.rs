//! Every RPC as tenant `b`, for every id, service and operation of tenant `a`.

use larder_tests::filter::{and, attr, eq, exists, field, in_list, or, regex, some};
use larder_tests::otlp::{hex, service, span};
use larder_tests::{Client, Home, Plugin, Query, eventually, http, timestamp};

use super::{store, tenancy, traces};

/// Returns queries that name the data of the tenant `of`, each in another way.
fn questions(of: &str) -> Vec<Query> {
    let ids = [1, 2, 3].map(|number| hex(&[number; 16]));
    let ids = || ids.iter().map(String::as_str);
    let operation = format!("op of {of}");
    let filters = [
        eq(field("span", "traceID"), hex(&[2; 16]).as_str()),
        in_list(field("span", "traceID"), "string", ids()),
        or(ids().map(|id| eq(field("span", "traceID"), id))),
        eq(
            field("span", "spanID"),
            hex(&[0, 0, 0, 0, 0, 0, 0, 1]).as_str(),
        ),
        eq(field("resource", "service"), of),
        eq(field("span", "name"), operation.as_str()),
        regex(field("span", "name"), "op of "),
        and([exists(attr("owner")), eq(attr("owner"), of)]),
        some("link", eq(field("link", "traceID"), hex(&[1; 16]).as_str())),
    ];
    let mut questions = vec![
        Query::default(),
        Query::default().service(of),
        Query::default().service(of).operation(&operation),
        Query::default().operation(operation),
        Query::default().attribute("owner", of),
        Query::default().window(0, u64::MAX / 4),
        Query::default().at_most(1_000_000),
    ];
    questions.extend(filters.map(|filter| Query::default().filter(filter)));
    questions
}

/// Stores a span of trace 2 that every query matches.
async fn store_telling(client: &Client, tenant: &str) {
    let one = span([2; 16], 1)
        .name(&format!("op of {tenant}"))
        .attribute("owner", tenant)
        .link([1; 16], 1, [])
        .at(1002);
    let child = span([2; 16], 2)
        .parent(1)
        .name(&format!("op of {tenant}"))
        .at(1002);
    let resources = [
        service(tenant).span(one),
        service(format!("{tenant} below")).span(child),
    ];
    client.tenant(tenant).store(resources).await;
}

/// The queries find the data of their own tenant.
async fn finds_its_own(client: &Client, of: &str) {
    for query in questions(of) {
        assert!(!client.find(&query).await.is_empty(), "{query:?}");
    }
    assert_eq!(client.get_traces([[2; 16]]).await.unwrap().len(), 1);
    assert!(!client.operations(of, "").await.unwrap().is_empty());
    let links = client.dependencies(Some(timestamp(0)), None).await.unwrap();
    assert_eq!(links.len(), 1);
}

async fn finds_nothing(client: &Client, of: &str) {
    let ids: Vec<[u8; 16]> = (1..=3).map(|number| [number; 16]).collect();
    assert!(client.get_traces(&ids).await.unwrap().is_empty());
    assert!(client.services().await.unwrap().is_empty());
    for kind in ["", "unspecified", "internal"] {
        assert!(client.operations(of, kind).await.unwrap().is_empty());
    }
    for query in questions(of) {
        assert!(client.find(&query).await.is_empty(), "{query:?}");
    }
    let links = client.dependencies(Some(timestamp(0)), None).await.unwrap();
    assert!(links.is_empty());
}

/// Returns the number of traces of a service that `/explain` finds.
fn explained(admin: std::net::SocketAddr, tenant: &str, of: &str) -> String {
    let query = format!(r#"{{"service_name": "{of}", "search_depth": 20}}"#);
    let path = format!("/explain?tenant={tenant}");
    let answer = http::request(admin, ("POST", &path), None, &query);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn tenants_are_isolated(plugin: Plugin) {
    let larder = tenancy(plugin).start();
    let client = larder.client().await;
    // The call opens the tenant, whose values are listed from a moment on.
    assert!(client.tenant("a").services().await.unwrap().is_empty());
    eventually("listed values", async || {
        let status = larder.get("/attributes?tenant=a").status;
        (status == 200).then_some(())
    })
    .await;
    for number in 1..=3 {
        store(&client, "a", number).await;
    }
    store_telling(&client, "a").await;
    finds_its_own(&client.tenant("a"), "a").await;
    finds_nothing(&client.tenant("b"), "a").await;
    let capable = client.tenant("b").capabilities().await.unwrap();
    assert_eq!(capable, client.tenant("a").capabilities().await.unwrap());
    let found = explained(larder.admin(), "a", "a");
    assert!(found.contains("3 traces match"), "{found}");
    let found = explained(larder.admin(), "b", "a");
    assert!(found.contains("0 traces match"), "{found}");

    let keys = async |tenant: &str| {
        let path = format!("/attributes?tenant={tenant}");
        let answer = || Some(larder.get(&path)).filter(|answer| answer.status == 200);
        eventually("listed values", async || answer()).await.body
    };
    let (of_a, of_b) = (keys("a").await, keys("b").await);
    assert!(of_a.contains("\"owner\""), "{of_a}");
    assert!(!of_b.contains("\"owner\""), "{of_b}");
    let owners = larder.get("/attributes/owner/values?tenant=b").json();
    assert_eq!(owners["values"].as_array().unwrap().len(), 0, "{owners}");

    // The trace ids are the same, but each tenant has only its own spans.
    for number in 2..=3 {
        store(&client, "b", number).await;
    }
    assert_eq!(traces(&client, "a").await, [3, 2, 1]);
    assert_eq!(traces(&client, "b").await, [3, 2]);
    for (tenant, spans, services) in [("a", 3, &["a", "a below"][..]), ("b", 1, &["b"])] {
        let trace = client.tenant(tenant).get_trace([2; 16]).await;
        let names: Vec<&str> = trace.spans().iter().map(|span| &*span.name).collect();
        assert_eq!(names, vec![format!("op of {tenant}"); spans]);
        let mut found = client.tenant(tenant).services().await.unwrap();
        found.sort();
        assert_eq!(found, services);
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

larder_tests::with_plugins!(tenants_are_isolated: kv = Kv, memory = Memory);

#[tokio::test]
async fn a_restart_keeps_tenants_isolated() {
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
