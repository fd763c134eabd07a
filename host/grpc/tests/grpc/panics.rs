//! A panic in the server's own code.

use larder_tests::method;
use larder_tests::otlp::{service, span};
use tonic::Code;

use crate::serving::Serving;
use crate::store::Behaviour;

#[tokio::test]
async fn a_panic_becomes_an_internal_error_with_an_id_and_the_next_call_is_served() {
    let serving = Serving::new().await;
    serving.store.behave(Behaviour::Panic);
    let shop = service("shop").span(span([1; 16], 1));
    let export = serving.client.export([shop]).await.unwrap_err();
    let read = serving.client.services().await.unwrap_err();
    for status in [export, read] {
        assert_eq!(status.code(), Code::Internal, "{status:?}");
        assert!(!status.message().contains("secret"), "{status:?}");
        assert!(status.message().contains("id"), "{status:?}");
    }
    serving.store.behave(Behaviour::Work);
    assert_eq!(serving.client.services().await.unwrap(), ["shop"]);
    assert_eq!(serving.count(method::GET_SERVICES, "INTERNAL"), 1);
    serving.stop().await;
}
