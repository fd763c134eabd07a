//! Walks through the pages of random searches for spans, and what a page reads.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_model::storage::ErrorKind;
use larder_oracle::filter::{and, call, field, instant, untyped};
use larder_oracle::otlp::{SpanRef, spans_of};
use larder_oracle::strategies::{LATEST, Place, Written, span_search, written};
use larder_oracle::{Oracle, SpanSearch, compare};
use larder_proto::otlp::pdata;
use larder_proto::storage::v2::{FindSpansRequest, FindSpansResponse};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

use super::Spans;
use crate::query::span_query;
use crate::testing::{Memory, all, limits, of, op, run, searcher, with_tasks_by_seed};
use crate::{Limits, Searcher};

const PLACE: Place = Place {
    trace: 0,
    start: 1_700_000_000_000_000_000,
};

/// So small that a page comes in several messages, and more than a random span can have.
const MAX_MESSAGE_BYTES: usize = 2000;

/// The variable that asks for more cases.
const CASES: &str = "LARDER_PROPERTY_CASES";

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    Written(Written),
    /// So many of the oldest fragments are dropped.
    Dropped(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Nothing),
        1 => written().prop_map(Event::Written),
        1 => (1..3_usize).prop_map(Event::Dropped),
    ]
}

/// The messages of one page. `in_part` is the most fragments of a part of the window that is not halved, if it is not the usual number.
fn messages(
    searcher: &Searcher,
    search: SpanSearch,
    in_part: Option<usize>,
) -> Vec<FindSpansResponse> {
    let Some(in_part) = in_part else {
        let query = Some(search.0);
        return all(searcher.find_spans(FindSpansRequest { query })).unwrap();
    };
    let query = span_query(search.0, &searcher.limits).unwrap();
    let mut spans = run(Spans::plan(searcher.session(), query)).unwrap();
    let finder = spans.finder.take();
    spans.finder = finder.map(|finder| finder.halving_above(in_part));
    run(async {
        let mut messages = Vec::new();
        while let Some(message) = spans.next().await.unwrap() {
            messages.push(message);
        }
        messages
    })
}

/// One page: its spans, each alone with its resource and scope, and the token of the next.
fn page(
    searcher: &Searcher,
    search: SpanSearch,
    in_part: Option<usize>,
) -> (Vec<ResourceSpans>, String) {
    let messages = messages(searcher, search, in_part);
    let mut spans = Vec::new();
    let mut token = String::new();
    for (number, message) in messages.iter().enumerate() {
        assert!(message.encoded_len() <= MAX_MESSAGE_BYTES);
        let bytes = &message.spans.as_ref().unwrap().0;
        assert!(pdata::decodes(bytes), "Jaeger cannot read it");
        let is_last = number + 1 == messages.len();
        assert!(is_last || !bytes.is_empty() && message.next_page_token.is_empty());
        token.clone_from(&message.next_page_token);
        let data = TracesData::decode(bytes.clone()).unwrap();
        spans.extend(spans_of(&data.resource_spans).map(SpanRef::alone));
    }
    (spans, token)
}

/// The number of times that each span is there, by what it and its headers hold.
fn counted<'a>(spans: impl IntoIterator<Item = &'a ResourceSpans>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for one in spans_of(spans) {
        *counts.entry(one.alone().encode_to_vec()).or_default() += 1;
    }
    counts
}

fn one(alone: &ResourceSpans) -> SpanRef<'_> {
    spans_of([alone]).next().unwrap()
}

fn cases() -> u32 {
    std::env::var(CASES).map_or(512, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Every page but the last is full, whatever is written and dropped in between; each span that was there from the first page to the last
    /// is visited once, and no copy more often than there are copies.
    #[test]
    fn a_walk_visits_each_span_that_stayed_once_in_order(
        question in span_search(),
        size in 1_u32..5,
        events in vec(event(), 0..4),
        written in written(),
        seed: u64,
    ) {
        walk(&Walk { search: question.at(PLACE), size, in_part: None, events, written, seed })?;
    }

    /// The same for an order by time or duration beside a filter on the start. The window is halved until a part has next to no fragments:
    /// those of several spans are in several parts.
    #[test]
    fn a_walk_by_time_or_duration_visits_each_span_once_whatever_the_filter_says_of_the_start(
        question in span_search(),
        order in select(vec![
            ("startTime", "asc"),
            ("startTime", "asc"),
            ("startTime", "desc"),
            ("duration", "asc"),
            ("duration", "desc"),
        ]),
        starts in vec((select(vec!["gt", "gte", "lt", "lte", "ne", "eq"]), 0..=LATEST), 0..3),
        size in 1_u32..5,
        in_part in 1..4_usize,
        events in vec(event(), 0..4),
        written in written(),
        seed: u64,
    ) {
        let mut search = question.at(PLACE);
        search.0.order_by.clear();
        let mut search = search.order_by(order.0, order.1);
        let start = |(operator, offset): (&str, u64)| {
            let time = instant(PLACE.at(offset), 0);
            call(operator, [field("span", "startTime"), untyped(&time)])
        };
        let mut parts: Vec<_> = starts.into_iter().map(start).collect();
        parts.extend(search.0.filter.take());
        search.0.filter = if parts.len() > 1 { Some(and(parts)) } else { parts.pop() };
        walk(&Walk { search, size, in_part: Some(in_part), events, written, seed })?;
    }
}

/// A walk through the pages of a search.
struct Walk {
    search: SpanSearch,
    size: u32,
    /// As for [`messages`].
    in_part: Option<usize>,
    events: Vec<Event>,
    written: Written,
    seed: u64,
}

fn walk(walk: &Walk) -> Result<(), TestCaseError> {
    let Walk {
        search,
        size,
        in_part,
        events,
        written,
        seed,
    } = walk;
    let mut there: Vec<ResourceSpans> = written.at(PLACE).concat();
    let memory = Arc::new(Memory::of_listed(&written.at(PLACE), 3).odd(*seed));
    let limits = Limits {
        max_message_bytes: MAX_MESSAGE_BYTES,
        ..limits()
    };
    let searcher = with_tasks_by_seed(searcher(&memory, limits), *seed);
    let matching = |there: &[ResourceSpans]| {
        let oracle = Oracle::new(there);
        let found = oracle.find_spans(&search.0).into_iter();
        found.map(SpanRef::alone).collect::<Vec<_>>()
    };
    let mut stayed = counted(&matching(&there));
    let mut events = events.iter();
    let mut visited: Vec<ResourceSpans> = Vec::new();
    let mut token = String::new();
    loop {
        // What was written since the last page is listed, too.
        let searcher = searcher.clone().with_snapshot(memory.snapshot());
        let (spans, next) = page(&searcher, search.clone().page(*size, &token), *in_part);
        prop_assert!(next.is_empty() || spans.len() == *size as usize);
        visited.extend(spans);
        token = next;
        if token.is_empty() {
            break;
        }
        match events.next() {
            None | Some(Event::Nothing) => {}
            Some(Event::Written(more)) => {
                for export in more.at(PLACE) {
                    there.extend(export.clone());
                    memory.export(export);
                }
            }
            Some(Event::Dropped(count)) => {
                for dropped in memory.drop_oldest(*count) {
                    for (span, count) in counted(&dropped.resource_spans) {
                        let left = stayed.entry(span).or_default();
                        *left = left.saturating_sub(count);
                    }
                }
            }
        }
    }
    let is_sorted = visited
        .windows(2)
        .all(|two| compare(&search.0.order_by, one(&two[0]), one(&two[1])).is_le());
    prop_assert!(is_sorted, "not in order");
    let visited = counted(&visited);
    let ever = counted(&matching(&there));
    for (span, count) in &visited {
        prop_assert!(
            ever.get(span) >= Some(count),
            "a span that does not match, or too often"
        );
    }
    for (span, count) in &stayed {
        prop_assert!(
            visited.get(span).unwrap_or(&0) >= count,
            "a span that stayed was not visited"
        );
    }
    prop_assert_eq!(&*memory.reports.lock().unwrap(), &[] as &[String]);
    Ok(())
}

/// So many traces of one span each; the later, the longer.
fn many(traces: u64) -> Arc<Memory> {
    let spans =
        (1..=traces).map(|number| of("a", op(number.into(), 1, 1000 * number, 1001 * number)));
    Arc::new(Memory::of(&[spans.collect()]))
}

fn ids(searcher: &Searcher, search: SpanSearch) -> Vec<u128> {
    ids_in_parts(searcher, search, None)
}

fn ids_in_parts(searcher: &Searcher, search: SpanSearch, in_part: Option<usize>) -> Vec<u128> {
    let (spans, _) = page(searcher, search, in_part);
    let id = |alone: &ResourceSpans| {
        u128::from_be_bytes(one(alone).span.trace_id[..].try_into().unwrap())
    };
    spans.iter().map(id).collect()
}

/// The newest are found by the floor of the sightings, the oldest by halves of the window, and the longest by their durations.
#[test]
fn a_page_judges_few_spans_where_its_order_has_an_index() {
    for (field, direction, expected) in [
        ("startTime", "desc", [20_000, 19_999]),
        ("startTime", "asc", [1, 2]),
        ("duration", "desc", [20_000, 19_999]),
    ] {
        let memory = many(20_000);
        let limits = Limits {
            judged_spans: 8000,
            ..limits()
        };
        let searcher = searcher(&memory, limits);
        let search = SpanSearch::within(0, 1 << 40).order_by(field, direction);
        assert_eq!(
            ids(&searcher, search.page(2, "")),
            expected,
            "{field} {direction}"
        );
        assert!(memory.otlp_pieces.load(Ordering::Relaxed) <= 2);
    }
}

/// Of 200 fragments few are looked at for the oldest spans if small parts are halved too, as the walks through halves of small stores do.
#[test]
fn a_window_is_halved_until_its_oldest_part_has_few_fragments() {
    let memory = many(200);
    let limits = Limits {
        judged_spans: 100,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let search = SpanSearch::within(0, 1 << 18).order_by("startTime", "asc");
    assert_eq!(ids_in_parts(&searcher, search.page(2, ""), Some(4)), [1, 2]);
}

/// Fragments that span all of the window are in each part of it, and are judged once.
#[test]
fn fragments_that_span_much_time_are_judged_once() {
    let spans = (1..=300_u32).flat_map(|trace| {
        let at = move |place: u64| 1 + u64::from(trace) + place * 1_000_000;
        (0..10).map(move |place| of("a", op(trace.into(), place + 1, at(place), at(place) + 5)))
    });
    let memory = Arc::new(Memory::of(&[spans.collect()]));
    let limits = Limits {
        judged_spans: 60_000,
        max_message_bytes: MAX_MESSAGE_BYTES,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let mut token = String::new();
    let mut starts = Vec::new();
    for _ in 0..3 {
        let search = SpanSearch::within(0, 1 << 40).order_by("startTime", "asc");
        let (spans, next) = page(&searcher, search.page(400, &token), None);
        starts.extend(
            spans
                .iter()
                .map(|alone| one(alone).span.start_time_unix_nano),
        );
        token = next;
    }
    assert_eq!(starts.len(), 1200);
    assert!(starts.is_sorted());
    assert_eq!(starts.last(), Some(&(1 + 300 + 3_000_000)));
}

/// Of equal durations the newest come first, so the older ones need not be judged.
#[test]
fn a_page_judges_few_spans_where_all_are_equally_long() {
    let spans = (1..=20_000_u32).map(|number| {
        let start = 1000 * u64::from(number);
        of("a", op(number.into(), 1, start, start + 7))
    });
    let memory = Arc::new(Memory::of(&[spans.collect()]));
    for direction in ["asc", "desc"] {
        let limits = Limits {
            judged_spans: 1000,
            ..limits()
        };
        let searcher = searcher(&memory, limits);
        let search = SpanSearch::within(0, 1 << 40).order_by("duration", direction);
        assert_eq!(ids(&searcher, search.page(2, "")), [20_000, 19_999]);
    }
}

#[test]
fn spans_that_are_not_those_of_the_digest_are_a_breach() {
    let mut memory = Memory::of(&[vec![of("a", op(1, 1, 10, 20))]]);
    let other = of("a", op(1, 2, 10, 20));
    let other = TracesData {
        resource_spans: vec![other],
    }
    .encode_to_vec();
    memory.lie_about_pieces = Some(Box::new(move |page| {
        for piece in &mut page.pieces {
            if TracesData::decode(&piece.bytes[..]).is_ok() {
                piece.bytes.clone_from(&other);
            }
        }
    }));
    let searcher = searcher(&Arc::new(memory), limits());
    let request = FindSpansRequest {
        query: Some(SpanSearch::within(0, 100).0),
    };
    let error = all(searcher.find_spans(request)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractBroken);
    assert!(error.message().contains("digest"), "{error}");
}

#[test]
fn a_span_that_is_larger_than_a_message_is_cut() {
    let large = op(1, 1, 10, 20).attribute("large", "x".repeat(5000));
    let memory = Arc::new(Memory::of(&[vec![of("a", large), of("a", op(2, 1, 5, 9))]]));
    let limits = Limits {
        max_message_bytes: MAX_MESSAGE_BYTES,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let (spans, token) = page(&searcher, SpanSearch::within(0, 100), None);
    assert_eq!((spans.len(), &*token), (2, ""));
    let attributes = &one(&spans[0]).span.attributes;
    assert!(
        attributes.iter().any(|it| it.key.starts_with("larder.")),
        "{attributes:?}"
    );
}

#[test]
fn what_is_not_well_formed_is_refused_before_anything_is_asked() {
    let memory = many(1);
    let searcher = searcher(&memory, limits());
    let invalid = |query| {
        let error = all(searcher.find_spans(FindSpansRequest { query })).unwrap_err();
        (error.kind(), error.message().to_owned())
    };
    let argument = |text: &str| (ErrorKind::InvalidArgument, text.to_owned());
    assert_eq!(invalid(None), argument("missing query"));
    let required = argument("start_time_min and start_time_max are required");
    assert_eq!(invalid(Some(SpanSearch::default().0)), required);
    let mut half = SpanSearch::within(0, 1).0;
    half.start_time_max = Some(larder_oracle::unset_timestamp());
    assert_eq!(invalid(Some(half)), required);
    let before = argument("start_time_min must be before start_time_max");
    assert_eq!(invalid(Some(SpanSearch::within(2, 1).0)), before);
    let unsorted = SpanSearch::within(0, 1).order_by("name", "");
    assert_eq!(invalid(Some(unsorted.0)).0, ErrorKind::InvalidOrdering);
    assert_eq!(memory.finds.load(Ordering::Relaxed), 0);
    let instant = SpanSearch::within(1000, 1000);
    assert_eq!(ids(&searcher, instant), [1]);
}
