#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;

const KINDS: [ErrorKind; 13] = [
    ErrorKind::InvalidArgument,
    ErrorKind::InvalidFilter,
    ErrorKind::InvalidPagination,
    ErrorKind::UnsupportedPagination,
    ErrorKind::InvalidOrdering,
    ErrorKind::ResourceExhausted,
    ErrorKind::QueryBudget,
    ErrorKind::AnswerTooLarge,
    ErrorKind::Unavailable,
    ErrorKind::ContractBroken,
    ErrorKind::Poison,
    ErrorKind::DataLoss,
    ErrorKind::Internal,
];

fn both(kind: ErrorKind) -> (Status, Status) {
    let error = storage::Error::new(kind, "what happened");
    let failure = Failure::Storage(&error);
    (export(&failure), read(&failure))
}

#[test]
fn each_row_of_the_table_has_its_codes() {
    for kind in KINDS {
        let (export, read) = both(kind);
        let wanted = match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::InvalidFilter
            | ErrorKind::InvalidPagination
            | ErrorKind::UnsupportedPagination
            | ErrorKind::InvalidOrdering => (Code::InvalidArgument, Code::InvalidArgument),
            ErrorKind::ResourceExhausted | ErrorKind::QueryBudget | ErrorKind::AnswerTooLarge => {
                (Code::ResourceExhausted, Code::ResourceExhausted)
            }
            ErrorKind::Unavailable => (Code::Unavailable, Code::Unavailable),
            ErrorKind::ContractBroken => (Code::Unavailable, Code::Internal),
            ErrorKind::DataLoss => (Code::DataLoss, Code::DataLoss),
            ErrorKind::Poison | ErrorKind::Internal => (Code::Internal, Code::Internal),
        };
        assert_eq!((export.code(), read.code()), wanted, "{kind:?}");
    }
}

#[test]
fn resource_exhausted_has_retry_info() {
    let (export, read) = both(ErrorKind::ResourceExhausted);
    for status in [export, read, super::read(&Failure::Overloaded(&"too much"))] {
        let retry = status.get_details_retry_info().expect("RetryInfo");
        assert_eq!(retry.retry_delay, Some(RETRY_DELAY));
        assert!(status.get_details_error_info().is_none());
    }
}

#[test]
fn a_quota_names_its_setting_and_says_when_to_retry() {
    let delay = Duration::from_millis(250);
    let error = storage::Error::new(ErrorKind::ResourceExhausted, "too many spans")
        .with_setting("limits.spans_per_second")
        .with_retry_after(delay);
    let status = export(&Failure::Storage(&error));
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!((&*info.reason, &*info.domain), ("QUOTA_EXCEEDED", "larder"));
    assert_eq!(info.metadata["setting"], "limits.spans_per_second");
    let retry = status.get_details_retry_info().expect("RetryInfo");
    assert_eq!(retry.retry_delay, Some(delay));
}

#[test]
fn a_spent_budget_names_its_setting_and_has_no_retry_info() {
    let error = storage::Error::new(ErrorKind::QueryBudget, "4 s were not enough")
        .with_setting("limits.query_timeout");
    let status = read(&Failure::Storage(&error));
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!((&*info.reason, &*info.domain), ("QUERY_BUDGET", "larder"));
    assert_eq!(info.metadata["setting"], "limits.query_timeout");
    assert!(status.get_details_retry_info().is_none());
    assert_eq!(status.message(), "4 s were not enough");
}

#[test]
fn an_invalid_query_has_jaegers_reason() {
    for (kind, reason) in [
        (ErrorKind::InvalidFilter, "FILTER_INVALID"),
        (ErrorKind::InvalidPagination, "PAGINATION_INVALID"),
        (ErrorKind::UnsupportedPagination, "PAGINATION_UNSUPPORTED"),
        (ErrorKind::InvalidOrdering, "ORDERING_INVALID"),
    ] {
        let (_, status) = both(kind);
        let info = status.get_details_error_info().expect("ErrorInfo");
        assert_eq!(
            (&*info.reason, &*info.domain),
            (reason, "jaeger.storage.v2")
        );
    }
}

#[test]
fn a_request_over_the_limit_names_the_setting_and_has_no_retry_info() {
    let status = export(&Failure::RequestTooLarge { limit: 1024 });
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1024"), "{status}");
    assert!(
        status.message().contains("grpc.max_request_bytes"),
        "{status}"
    );
    assert!(status.get_details_retry_info().is_none());
}

#[test]
fn an_internal_error_has_a_unique_id_and_hides_its_cause() {
    let (first, second) = both(ErrorKind::Internal);
    assert!(!first.message().contains("what happened"), "{first}");
    assert_ne!(first.message(), second.message());
    let panic = panicked(&String::from("index out of bounds"));
    assert_eq!(panic.code(), Code::Internal);
    assert!(!panic.message().contains("index"), "{panic}");
}

#[test]
fn a_text_too_long_for_a_header_is_cut_between_characters() {
    let error = storage::Error::new(ErrorKind::Unavailable, "é".repeat(MAX_MESSAGE));
    let status = read(&Failure::Storage(&error));
    assert!(status.message().len() <= MAX_MESSAGE + '…'.len_utf8());
    assert!(status.message().ends_with("éé…"));
}

#[test]
fn tonics_own_statuses_about_requests_are_replaced() {
    let instead = |code| instead_of(&Status::new(code, "tonic's words"), 1024).map(|s| s.code());
    assert_eq!(instead(Code::OutOfRange), Some(Code::ResourceExhausted));
    assert_eq!(
        instead(Code::ResourceExhausted),
        Some(Code::ResourceExhausted)
    );
    assert_eq!(instead(Code::Internal), Some(Code::InvalidArgument));
    assert_eq!(instead(Code::Unimplemented), None);
    assert_eq!(instead(Code::Cancelled), None);
}

#[test]
fn our_own_statuses_are_not_replaced() {
    let (export, read) = both(ErrorKind::Internal);
    assert!(instead_of(&export, 1024).is_none());
    assert!(instead_of(&read, 1024).is_none());
}
