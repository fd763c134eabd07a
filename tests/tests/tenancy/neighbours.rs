//! A misbehaving plugin affects only its own tenant.

use larder_tests::otlp::{service, span};
use larder_tests::{Plugin, arm, patiently};
use tonic::Code;

use super::{store, tenancy, traces};

#[tokio::test]
async fn a_tenant_whose_plugin_spins_leaves_the_others_served() {
    let larder = tenancy(Plugin::Hostile)
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .start();
    let client = larder.client().await;
    store(&client, "quiet", 1).await;
    let bad = client.tenant("bad");
    arm(&bad, "spin at write").await;
    let spinning = tokio::spawn(async move {
        let one = span([9; 16], 1).at(5);
        bad.export([service("a").span(one)]).await
    });
    larder.wait_for_line("the guest is about to spin").await;
    for number in 2..=9 {
        patiently("a write beside it", store(&client, "quiet", number)).await;
    }
    assert_eq!(traces(&client, "quiet").await.len(), 9);
    store(&client, "new", 1).await;
    assert!(!spinning.is_finished(), "it was over before the others");
    spinning.abort();
}

#[tokio::test]
async fn a_trapping_plugin_loses_data_of_its_own_tenant_only() {
    let larder = tenancy(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    for tenant in ["quiet", "bad"] {
        store(&client, tenant, 1).await;
    }
    let one = span([9; 16], 1).at(5);
    let bad = client.tenant("bad");
    let trap = bad.export([service("die").span(one)]);
    assert_eq!(trap.await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(traces(&client, "quiet").await, [1]);
    assert_eq!(larder.get("/readyz").status, 200);
    let tenants = larder.get("/tenants").json();
    assert_eq!(tenants[0]["name"], "bad");
    assert_eq!(tenants[0]["plugin"]["restarts"], 1);
    assert_eq!(tenants[1]["plugin"]["restarts"], 0);
}
