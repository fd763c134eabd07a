//! `POST /purge` of one tenant and of all.

use larder_tests::{Home, Larder, Plugin};
use tonic::Code;

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

larder_tests::with_plugins!(purges: kv = Kv, memory = Memory);

#[tokio::test]
async fn a_purge_of_all_reaches_idle_tenants_after_a_start() {
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

async fn a_purged_tenant_makes_room_for_another(plugin: Plugin) {
    let home = Home::new();
    let options = || {
        let few = tenancy(plugin).environment("LARDER_TENANCY_MAX_TENANTS", "2");
        few.purge()
    };
    let larder = options().start_in(&home);
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        store(&client, tenant, 1).await;
    }
    let refused = client.tenant("c").services().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("tenancy.max_tenants"));

    assert_eq!(larder.post("/purge?tenant=a").status, 200);
    assert_eq!(names(&larder), ["b"]);
    store(&client, "c", 3).await;
    assert_eq!(names(&larder), ["b", "c"]);
    assert_eq!(traces(&client, "c").await, [3]);
    let refused = client.tenant("a").services().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    if plugin == Plugin::Kv {
        larder.kill();
        let larder = options().start_in(&home);
        assert_eq!(names(&larder), ["b", "c"]);
        let client = larder.client().await;
        assert_eq!(traces(&client, "b").await, [1]);
        assert_eq!(larder.post("/purge").status, 200);
        assert!(names(&larder).is_empty());
        assert!(traces(&client, "b").await.is_empty());
    }
}

fn names(larder: &Larder) -> Vec<String> {
    let tenants = larder.get("/tenants").json();
    let tenants = tenants.as_array().unwrap().iter();
    tenants
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

larder_tests::with_plugins!(a_purged_tenant_makes_room_for_another: kv = Kv, memory = Memory);

#[tokio::test]
async fn a_tenant_that_the_configuration_names_stays_known_after_a_purge() {
    let listed = tenancy(Plugin::Kv).environment("LARDER_TENANCY_TENANTS", "a,b");
    let larder = listed.purge().start();
    let client = larder.client().await;
    store(&client, "a", 1).await;
    for _ in 0..2 {
        assert_eq!(larder.post("/purge?tenant=a").status, 200);
        assert_eq!(names(&larder), ["a", "b"]);
    }
    store(&client, "a", 2).await;
    assert_eq!(traces(&client, "a").await, [2]);
}
