//! Calls take turns of computing, per tenant.

use std::sync::Arc;

use larder_core::fair::Scheduler;
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Query, patiently};
use tonic::Status;

use crate::serving::Serving;

/// A kind of call.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Export,
    Services,
    Find,
}

async fn call(client: Client, kind: Kind) -> Result<(), Status> {
    match kind {
        Kind::Export => {
            let one = service("shop").span(span([1; 16], 1));
            client.export([one]).await.map(drop)
        }
        Kind::Services => client.services().await.map(drop),
        Kind::Find => {
            let query = Query::default().service("shop");
            client.find_traces(&query).await.map(drop)
        }
    }
}

#[tokio::test]
async fn a_call_waits_for_its_own_tenants_turn_only() {
    let scheduler = Arc::new(Scheduler::new(8, 1));
    let serving = Serving::by_header(Arc::clone(&scheduler)).await;
    for kind in [Kind::Export, Kind::Services, Kind::Find] {
        // A tenant without competition gets every turn.
        call(serving.client.tenant("b"), kind).await.unwrap();
        let held = scheduler.lane("a").turn().await;
        let waits = tokio::spawn(call(serving.client.tenant("a"), kind));
        for _ in 0..20 {
            let other = call(serving.client.tenant("b"), kind);
            patiently("another tenant's call", other).await.unwrap();
        }
        assert!(!waits.is_finished(), "{kind:?} took no turn");
        drop(held);
        let waited = patiently("a call that has its turn", waits).await;
        waited.unwrap().unwrap();
    }
    serving.stop().await;
}
