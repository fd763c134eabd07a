//! A batch that kills the plugin every time is refused for good, so that a client which repeats it does not do so for ever.

use larder_tests::otlp::{service, span};
use larder_tests::{eventually, http};
use tonic::Code;

use crate::misbehaviour::{assert_serves_again, hostile, restarts};

#[tokio::test]
async fn a_batch_that_traps_twice_alone_is_refused_by_partial_success() {
    let larder = hostile().start();
    let client = larder.client().await;
    let batch = || {
        let spans = (1..=3).map(|id| span([1; 16], id).at(5));
        [service("trap on write").spans(spans)]
    };
    // As an exporter does: the same request until it is not UNAVAILABLE.
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
    let counted = http::count(&larder.metrics(), "larder_ingest_refused_spans_total", &[]);
    assert!(counted >= 3, "{counted}");

    // From here on it does not even reach the plugin.
    assert_serves_again(&client).await;
    let before = restarts(&larder, "trap");
    let again = client.export(batch()).await.unwrap();
    assert_eq!(again.partial_success.unwrap().rejected_spans, 3);
    assert_eq!(restarts(&larder, "trap"), before);
    assert_serves_again(&client).await;
}
