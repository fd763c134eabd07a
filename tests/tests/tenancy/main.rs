//! Tenants on one server: the tenant of a request, and the isolation between tenants.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attribute;
mod header;
mod idle;
mod isolation;
mod metrics;
mod neighbours;
mod open;
mod overrides;
mod probing;
mod purge;
mod quotas;
mod token_isolation;

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Options, Plugin, Query};

/// Configures a server whose requests name their tenants.
fn tenancy(plugin: Plugin) -> Options {
    Options::new(plugin).environment("LARDER_TENANCY_ENABLED", "true")
}

/// Stores a trace of one span; the service has the tenant's name.
async fn store(client: &Client, tenant: &str, number: u8) {
    let one = span([number; 16], 1)
        .name(&format!("op of {tenant}"))
        .at(1000 + u64::from(number));
    client
        .tenant(tenant)
        .store([service(tenant).span(one)])
        .await;
}

/// Returns the numbers of the tenant's traces, newest first; asks all three RPCs, and by id.
async fn traces(client: &Client, tenant: &str) -> Vec<u8> {
    let client = client.tenant(tenant);
    let found = client.find(&Query::default()).await;
    assert_eq!(client.get_traces(&found).await.unwrap().len(), found.len());
    found.iter().map(|id| id[0]).collect()
}
