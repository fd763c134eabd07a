#![allow(clippy::unwrap_used, reason = "tests")]

use larder_model::storage::TraceId;
use larder_proto::storage::v2::SpanSortOrder;
use prost_types::Timestamp;

use super::*;
use crate::testing::limits;

const LAST: TracePosition = TracePosition {
    start: u64::MAX,
    trace: TraceId(7),
};

const LAST_SPAN: SpanPosition = SpanPosition {
    start: 5,
    duration: -3,
    trace: TraceId(7),
    span: [1; 8],
    fragment: 9,
    place: 2,
};

fn page(page_size: u32, page_token: &str) -> Pagination {
    Pagination {
        page_size,
        page_token: page_token.to_owned(),
    }
}

fn query(service: &str, page_size: u32, page_token: &str) -> TraceQueryParameters {
    TraceQueryParameters {
        service_name: service.to_owned(),
        pagination: Some(page(page_size, page_token)),
        ..TraceQueryParameters::default()
    }
}

fn spans(page_size: u32, page_token: &str) -> SpanQueryParameters {
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    SpanQueryParameters {
        start_time_min: time(1),
        start_time_max: time(2),
        pagination: Some(page(page_size, page_token)),
        ..SpanQueryParameters::default()
    }
}

fn of(query: &TraceQueryParameters, limits: &Limits) -> Page<TracePosition> {
    Page::of(query, limits).unwrap().unwrap()
}

fn of_spans(query: &SpanQueryParameters, limits: &Limits) -> Page<SpanPosition> {
    Page::of_spans(query, b"order", limits).unwrap()
}

fn assert_invalid<T: fmt::Debug>(result: Result<T, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPagination);
    assert_eq!(error.message(), format!("invalid pagination: {text}"));
}

const OTHER_QUERY: &str =
    "page token belongs to a different query; continue with the query it was returned for";

fn without_tokens() -> Limits {
    Limits {
        pagination: false,
        ..limits()
    }
}

#[test]
fn a_token_gives_back_its_position_to_its_own_query() {
    let first = of(&query("s", 7, ""), &limits());
    assert_eq!((first.size, first.after), (7, None));
    let token = first.token(LAST).unwrap();
    let next = of(&query("s", 3, &token), &limits());
    assert_eq!((next.size, next.after), (3, Some(LAST)));
    assert_eq!(next.token(LAST), Some(token.clone()));
    assert_invalid(Page::of(&query("t", 3, &token), &limits()), OTHER_QUERY);
}

#[test]
fn a_token_of_spans_is_bound_to_the_window_and_the_ordering() {
    let token = of_spans(&spans(7, ""), &limits()).token(LAST_SPAN).unwrap();
    let next = of_spans(&spans(3, &token), &limits());
    assert_eq!((next.size, next.after), (3, Some(LAST_SPAN)));

    let other = Page::of_spans(&spans(3, &token), b"other order", &limits());
    assert_invalid(other, OTHER_QUERY);
    let narrower = SpanQueryParameters {
        start_time_max: spans(0, "").start_time_min,
        ..spans(3, &token)
    };
    assert_invalid(Page::of_spans(&narrower, b"order", &limits()), OTHER_QUERY);
    // The effective ordering counts, not how it is spelled.
    let spelled = SpanQueryParameters {
        order_by: vec![SpanSortOrder::default()],
        ..spans(3, &token)
    };
    assert_eq!(of_spans(&spelled, &limits()).after, Some(LAST_SPAN));
}

#[test]
fn a_token_of_one_kind_of_search_is_refused_by_the_other() {
    let of_trace = of(&query("", 1, ""), &limits()).token(LAST).unwrap();
    assert_invalid(
        Page::of_spans(&spans(1, &of_trace), b"order", &limits()),
        "page token does not carry a span position",
    );
    let of_span = of_spans(&spans(1, ""), &limits()).token(LAST_SPAN).unwrap();
    assert_invalid(
        Page::of(&query("", 1, &of_span), &limits()),
        "page token does not carry a trace position",
    );
}

#[test]
fn a_page_needs_a_size_and_no_depth() {
    let no_size = "page size is required whenever pagination is present";
    for limits in [limits(), without_tokens()] {
        assert_invalid(Page::of(&query("s", 0, ""), &limits), no_size);
        assert_invalid(Page::of(&query("s", 0, "x"), &limits), no_size);
        assert_invalid(Page::of_spans(&spans(0, ""), b"", &limits), no_size);
        for search_depth in [5, -1] {
            let deep = TraceQueryParameters {
                search_depth,
                ..query("s", 1, "")
            };
            assert_invalid(
                Page::of(&deep, &limits),
                "it cannot be combined with search depth",
            );
        }
    }
}

#[test]
fn the_lower_of_both_bounds_limits_a_page() {
    for (max_depth, page_size, size) in [
        (100_000, 10_000, 10_000),
        (100_000, 10_001, 10_000),
        (100_000, u32::MAX, 10_000),
        (7, 8, 7),
        (7, u32::MAX, 7),
    ] {
        let limits = Limits {
            max_depth,
            ..limits()
        };
        let traces = of(&query("s", page_size, ""), &limits);
        assert_eq!((traces.size, traces.is_clamped()), (size, false));
        assert_eq!(of_spans(&spans(page_size, ""), &limits).size, size);
        // Without a token that leads to the rest, the answer has to say that the operator's limit cuts it.
        let limits = Limits {
            pagination: false,
            ..limits
        };
        let traces = of(&query("s", page_size, ""), &limits);
        assert_eq!((traces.size, traces.is_clamped()), (size, max_depth == 7));
    }
}

#[test]
fn a_search_for_spans_without_pagination_has_a_page_of_the_default_size() {
    let query = SpanQueryParameters {
        pagination: None,
        ..spans(1, "")
    };
    let first = of_spans(&query, &limits());
    assert_eq!((first.size, first.after), (100, None));
    let token = first.token(LAST_SPAN).unwrap();
    assert_eq!(
        of_spans(&spans(9, &token), &limits()).after,
        Some(LAST_SPAN)
    );
    assert_eq!(
        Page::of(&TraceQueryParameters::default(), &limits()).unwrap(),
        None
    );
}

#[test]
fn without_tokens_a_first_page_is_served_and_no_later_one() {
    let first = of(&query("s", 7, ""), &without_tokens());
    assert_eq!(
        (first.size, first.after, first.token(LAST)),
        (7, None, None)
    );
    let first = of_spans(&spans(7, ""), &without_tokens());
    assert_eq!((first.size, first.token(LAST_SPAN)), (7, None));

    let token = of(&query("s", 7, ""), &limits()).token(LAST).unwrap();
    for token in [token.as_str(), "not-a-token!"] {
        let traces = Page::of(&query("s", 7, token), &without_tokens()).map(drop);
        let spans = Page::of_spans(&spans(7, token), b"order", &without_tokens()).map(drop);
        for refused in [traces, spans] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedPagination);
            assert_eq!(
                error.message(),
                "this storage backend cannot resume a paginated search: set grpc.pagination: true"
            );
        }
    }
}

#[test]
fn a_malformed_time_is_refused_by_its_name() {
    let time = Some(Timestamp {
        seconds: 0,
        nanos: -1,
    });
    let query = TraceQueryParameters {
        start_time_min: time,
        ..query("s", 1, "")
    };
    let spans = SpanQueryParameters {
        start_time_max: time,
        ..spans(1, "")
    };
    let traces = Page::of(&query, &limits()).map(drop);
    let spans = Page::of_spans(&spans, b"order", &limits()).map(drop);
    for (refused, field) in [(traces, "start_time_min"), (spans, "start_time_max")] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().starts_with(field), "{error}");
    }
}

#[test]
fn whole_traces_have_no_pages() {
    assert_eq!(
        refuse(&TraceQueryParameters::default()).map_err(|error| error.kind()),
        Ok(())
    );
    let error = refuse(&query("s", 1, "")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPagination);
    assert!(
        error.message().starts_with(
            "invalid pagination: FindTraces cannot be paginated: its response has no field to carry a continuation token"
        ),
        "{error}"
    );
}
