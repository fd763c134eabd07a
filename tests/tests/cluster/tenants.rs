//! Tenants of which one host hears from the store alone.

use larder_tests::otlp::{service, span};
use larder_tests::{Cluster, Larder, Query};

fn listed(host: &Larder) -> Vec<String> {
    let tenants = host.get("/tenants").json();
    let tenants = tenants.as_array().unwrap().iter();
    tenants
        .map(|tenant| tenant["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_tenant_that_one_host_has_made_is_known_to_the_other() {
    let cluster = Cluster::new();
    let [a, b] = ["a", "b"].map(|id| {
        let options = cluster.host(id).purge();
        options
            .environment("LARDER_TENANCY_ENABLED", "true")
            .start()
    });
    let (on_a, on_b) = (a.client().await, b.client().await);
    for (number, tenant) in [(1, "acme"), (2, "globex")] {
        let one = span([number; 16], 1).at(1000);
        let on_a = on_a.tenant(tenant);
        on_a.store([service(tenant).span(one)]).await;
    }
    for host in [&a, &b] {
        let listed = listed(host);
        for tenant in ["acme", "globex"] {
            assert!(listed.iter().any(|it| it == tenant), "{listed:?}");
        }
    }
    // An operator's call, for a tenant that has not called this host.
    assert_eq!(b.post("/purge?tenant=globex").status, 200);
    for client in [&on_b, &on_a] {
        let acme = client.tenant("acme").find(&Query::default()).await;
        assert_eq!(acme, [[1; 16]]);
        let globex = client.tenant("globex").find(&Query::default()).await;
        assert_eq!(globex, [[0; 16]; 0]);
    }
}
