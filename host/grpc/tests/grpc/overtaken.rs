//! Exports that a purge by another host overtakes.

use std::sync::atomic::Ordering;

use larder_model::storage::{Error, ErrorKind};
use larder_tests::otlp::{service, span};
use tonic::Code;

use crate::serving::Serving;
use crate::store::Behaviour;

/// The code of an Export to a storage that fails so many times at first, and the number of writes that were tried.
async fn export(is_shared: bool, failures: usize, error: Error) -> (Code, usize) {
    let serving = Serving::new().await;
    serving.store.is_shared.store(is_shared, Ordering::SeqCst);
    serving
        .store
        .behave(Behaviour::FailAtFirst(failures, error));
    let sent = [service("shop").span(span([1; 16], 1))];
    let answer = serving.client.export(sent).await;
    let tried = serving.store.begun();
    serving.stop().await;
    (
        answer.map_or_else(|status| status.code(), |_| Code::Ok),
        tried,
    )
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "purged by another host")
}

#[tokio::test]
async fn an_export_that_a_purge_overtakes_is_written_again() {
    let void = || unavailable().of_void_write();
    assert_eq!(export(true, 1, void()).await, (Code::Ok, 2));
    assert_eq!(export(true, 2, void()).await, (Code::Ok, 3));
    assert_eq!(export(true, 9, void()).await, (Code::Unavailable, 3));
}

#[tokio::test]
async fn an_export_of_which_something_may_be_stored_is_not_written_again() {
    let answer = export(true, 1, unavailable()).await;
    assert_eq!(answer, (Code::Unavailable, 1));
}

/// Its request is not kept.
#[tokio::test]
async fn an_export_to_a_store_of_one_host_is_not_written_again() {
    let answer = export(false, 1, unavailable().of_void_write()).await;
    assert_eq!(answer, (Code::Unavailable, 1));
}
