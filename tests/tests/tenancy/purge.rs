//! `POST /purge` of one tenant and of all.

use larder_tests::{Home, Plugin};

use super::{store, tenancy, traces};

async fn purges(plugin: Plugin) {
    let larder = tenancy(plugin).purge().start();
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        store(&client, tenant, 1).await;
    }
    assert_eq!(larder.post("/purge?tenant=a").status, 200);
    assert!(traces(&client, "a").await.is_empty());
    assert_eq!(traces(&client, "b").await, [1]);
    store(&client, "a", 2).await;
    assert_eq!(traces(&client, "a").await, [2]);

    let unknown = larder.post("/purge?tenant=nobody");
    assert_eq!(unknown.status, 403, "{}", unknown.body);
    assert_eq!(larder.post("/purge").status, 200);
    for tenant in ["a", "b"] {
        assert!(traces(&client, tenant).await.is_empty(), "{tenant}");
    }
}

#[tokio::test]
async fn purges_with_kv() {
    purges(Plugin::Kv).await;
}

#[tokio::test]
async fn purges_with_memory() {
    purges(Plugin::Memory).await;
}

#[tokio::test]
async fn a_purge_of_all_reaches_tenants_that_nobody_has_called_since_the_start() {
    let home = Home::new();
    let larder = tenancy(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        store(&client, tenant, 1).await;
    }
    larder.kill();
    let larder = tenancy(Plugin::Kv).purge().start_in(&home);
    assert_eq!(larder.post("/purge").status, 200);
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        assert!(traces(&client, tenant).await.is_empty(), "{tenant}");
    }
}
