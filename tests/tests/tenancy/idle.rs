//! An idle tenant uses disk and no memory, and its data is available again at its next call.

use larder_tests::http::count;
use larder_tests::{Plugin, eventually};

use super::{store, tenancy, traces};

#[tokio::test]
async fn an_idle_tenant_comes_back_with_its_data() {
    let larder = tenancy(Plugin::Kv)
        .environment("LARDER_TENANCY_IDLE_TIMEOUT", "50ms")
        .start();
    let client = larder.client().await;
    for number in 1..=3 {
        store(&client, "a", number).await;
        eventually("the tenant to be evicted", async || {
            let tenants = larder.get("/tenants").json();
            (tenants[0]["state"] == "away").then_some(())
        })
        .await;
        let metrics = larder.metrics();
        assert_eq!(count(&metrics, "larder_plugin_memory_bytes", &[]), 0);
    }
    assert_eq!(traces(&client, "a").await, [3, 2, 1]);
}
