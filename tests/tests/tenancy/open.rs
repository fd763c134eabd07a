//! The bounds of open tenants: those called least recently give way, and all are served.

use larder_tests::{Plugin, eventually};
use tonic::Code;

use super::{store, tenancy, traces};

const MAX_OPEN: usize = 4;

fn is_open(tenant: &serde_json::Value) -> bool {
    tenant["state"] == "open"
}

#[tokio::test]
async fn more_tenants_than_may_be_open_are_all_served() {
    let larder = tenancy(Plugin::Kv)
        .environment("LARDER_TENANCY_MAX_OPEN", &MAX_OPEN.to_string())
        .start();
    let client = larder.client().await;
    let open = || {
        let tenants = larder.get("/tenants").json();
        let tenants = tenants.as_array().unwrap();
        tenants.iter().filter(|it| is_open(it)).count()
    };
    for number in 1..=24_u8 {
        store(&client, &format!("tenant-{number}"), number).await;
        assert!(open() <= MAX_OPEN);
    }
    for number in 1..=24_u8 {
        assert_eq!(traces(&client, &format!("tenant-{number}")).await, [number]);
        assert!(open() <= MAX_OPEN);
    }
}

/// The tenants that were called last stay open.
#[tokio::test]
async fn the_tenant_that_was_called_least_recently_gives_way() {
    let larder = tenancy(Plugin::Kv)
        .environment("LARDER_TENANCY_MAX_OPEN", "2")
        .start();
    let client = larder.client().await;
    for tenant in ["a", "b", "a", "c"] {
        store(&client, tenant, 1).await;
    }
    let tenants = larder.get("/tenants").json();
    let open: Vec<&str> = tenants
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| is_open(it))
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(open, ["a", "c"]);
}

/// The plugin `memory` would lose its data, so none of its tenants gives way.
#[tokio::test]
async fn a_tenant_without_a_place_is_told_the_limit() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_MAX_OPEN", "2")
        .start();
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        store(&client, tenant, 1).await;
    }
    let refused = client.tenant("c").services().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let says = refused.message();
    assert!(says.contains("tenancy.max_open allows"), "{refused:?}");
    assert_eq!(traces(&client, "a").await, [1]);
}

/// The host counts eight mappings for each instance against the system's limit.
#[tokio::test]
async fn an_instance_takes_at_most_eight_mappings() {
    let larder = tenancy(Plugin::Kv).start();
    let client = larder.client().await;
    store(&client, "first", 1).await;
    let before = larder.mappings();
    for number in 1..=60_u8 {
        store(&client, &format!("tenant-{number}"), number).await;
    }
    let more = larder.mappings().saturating_sub(before);
    // A tenant has one that writes, and one for what the host reads in the background.
    assert!(
        (60..=2 * 60 * 8 + 40).contains(&more),
        "{more} for 60 tenants"
    );
    let tenants = eventually("the list", async || Some(larder.get("/tenants").json())).await;
    assert!(tenants.as_array().unwrap().iter().all(is_open));
}
