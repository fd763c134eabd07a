//! A batch that always kills the plugin is refused for good, so that a client which repeats it stops.

use larder_tests::otlp::{service, span};
use larder_tests::{Options, Plugin, Query, eventually, http};
use tonic::Code;

use crate::attack::store_two;

#[tokio::test]
async fn a_batch_that_traps_twice_alone_is_refused_by_partial_success() {
    let larder = Options::new(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    store_two(&client).await;
    let batch = || {
        let spans = (1..=3).map(|id| span([3; 16], id).at(5));
        [service("die").spans(spans)]
    };
    // Repeats the same request until the status is not UNAVAILABLE, like an exporter.
    let refused = eventually("an answer for good", async || {
        match client.export(batch()).await {
            Ok(answer) => Some(answer.partial_success.expect("a partial success")),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                None
            }
        }
    })
    .await;
    assert_eq!(refused.rejected_spans, 3);
    assert!(refused.error_message.contains("plugin"), "{refused:?}");
    let (name, reason) = (
        "larder_ingest_refused_spans_total",
        "reason=\"plugin_trap\"",
    );
    assert_eq!(http::count(&larder.metrics(), name, &[reason]), 3);

    // From here on it does not reach the plugin.
    let found = eventually("the plugin's restart", async || {
        let query = Query::default().service("fine");
        client.find_traces(&query).await.ok()
    });
    assert_eq!(found.await.len(), 2);
    let restarts = || larder.get("/plugin").json()["restarts"].clone();
    let before = restarts();
    let again = client.export(batch()).await.unwrap();
    assert_eq!(again.partial_success.unwrap().rejected_spans, 3);
    assert_eq!(restarts(), before);
    store_two(&client).await;
}
