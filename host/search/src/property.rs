//! Random spans and random queries through a storage that pages as oddly as it may: the answers equal the oracle's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use larder_model::storage::ErrorKind;
use larder_oracle::otlp::spans_of;
use larder_oracle::strategies::{
    Place, Question, TRACES, Window, Written, broken, filtered, legacy, written,
};
use larder_oracle::{Oracle, times};
use larder_proto::TracesBytes;
use larder_proto::otlp::pdata;
use larder_proto::storage::v2::{
    GetDependenciesRequest, GetTraceParams, GetTracesRequest, Pagination, TraceQueryParameters,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::testing::{Memory, all, limits, respelled, run, searcher, with_tasks_by_seed};
use super::time::timestamp;
use super::{Limits, Searcher};

const PLACE: Place = Place {
    trace: 0,
    start: 1_700_000_000_000_000_000,
};

/// So small that traces come in several messages, and more than a random span can have.
const MAX_MESSAGE_BYTES: usize = 2000;

/// A trace's id, and each of its spans alone with its resource and scope, encoded.
type Whole = (Vec<u8>, Vec<Vec<u8>>);

/// A storage with random exports, and a searcher over it.
struct Store {
    written: Vec<ResourceSpans>,
    memory: Arc<Memory>,
    searcher: Searcher,
}

impl Store {
    fn new(written: &Written, seed: u64) -> Self {
        let exports = written.at(PLACE);
        // Some dictionaries are full at once, and some are not known to the search.
        let values = [1, 3, 10_000][usize::try_from(seed % 3).unwrap()];
        let is_known = !(seed / 3).is_multiple_of(5);
        let memory = Arc::new(Memory::of_listed(&exports, values).odd(seed));
        let limits = Limits {
            max_message_bytes: MAX_MESSAGE_BYTES,
            ..limits()
        };
        Self {
            written: exports.concat(),
            searcher: with_tasks_by_seed(searcher(&memory, limits), seed)
                .with_snapshot(memory.snapshot().filter(|_| is_known)),
            memory,
        }
    }

    fn oracle(&self) -> Oracle<'_> {
        Oracle::new(&self.written)
    }

    /// Search saw no breach of the contract, as there was none.
    fn assert_clean(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(&*self.memory.reports.lock().unwrap(), &[] as &[String]);
        Ok(())
    }
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![legacy(Window::Any), filtered(Window::Any)]
}

/// The traces of a stream, whose messages are about one trace each.
fn traces(messages: &[TracesBytes]) -> Vec<Whole> {
    let mut traces: Vec<Whole> = Vec::new();
    for message in messages {
        assert!(pdata::decodes(&message.0), "Jaeger cannot read it");
        let data = TracesData::decode(message.0.clone()).unwrap();
        for one in spans_of(&data.resource_spans) {
            let (id, alone) = (&one.span.trace_id, one.alone().encode_to_vec());
            match traces.last_mut() {
                Some((last, spans)) if last == id => spans.push(alone),
                _ => traces.push((id.clone(), vec![alone])),
            }
        }
    }
    traces
}

/// The trace as it was written.
fn whole(oracle: &Oracle<'_>, id: [u8; 16]) -> Whole {
    let spans = oracle.trace(id).iter();
    let spans = spans.map(|one| one.alone().encode_to_vec());
    (id.to_vec(), spans.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn searches_answer_as_the_oracle_does(questions in vec(question(), 1..32), written in written(), seed: u64) {
        let store = Store::new(&written, seed);
        let oracle = store.oracle();
        for question in questions {
            let query = question.at(PLACE);
            let expected = oracle.find(&query);

            let found = run(store.searcher.find_trace_ids(query.clone())).unwrap().trace_ids;
            let ids: Vec<_> = found.iter().map(|found| &found.trace_id[..]).collect();
            prop_assert_eq!(&ids, &expected, "{:?}", question);
            for (id, found) in expected.iter().zip(&found) {
                let (start, end) = times(oracle.trace(*id));
                prop_assert_eq!((found.start, found.end), (Some(timestamp(start)), Some(timestamp(end))));
            }

            let messages = all(store.searcher.find_traces(query.clone())).unwrap();
            let wholes: Vec<_> = expected.iter().map(|id| whole(&oracle, *id)).collect();
            prop_assert_eq!(traces(&messages), wholes, "{:?}", question);

            let messages = all(store.searcher.find_trace_summaries(query)).unwrap();
            let summaries: Vec<_> = messages.into_iter().flat_map(|message| message.summaries).collect();
            let expected: Vec<_> = expected.iter().map(|id| oracle.summary(*id)).collect();
            prop_assert_eq!(summaries, expected, "{:?}", question);
        }
        store.assert_clean()?;
    }

    #[test]
    fn broken_filters_are_refused(question in broken()) {
        let store = Store::new(&Written::default(), 0);
        let error = run(store.searcher.find_trace_ids(question.at(PLACE))).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidFilter);
    }

    #[test]
    fn pages_joined_are_the_whole_answer(
        question in question(),
        size in 1_u32..4,
        written in written(),
        seed: u64,
    ) {
        let store = Store::new(&written, seed);
        let query = TraceQueryParameters { search_depth: 0, ..question.at(PLACE) };
        let whole = store.oracle().find(&query);
        let mut token = String::new();
        let mut joined = Vec::new();
        for number in 0_usize.. {
            // The next page may be asked for in other words.
            let asked = if number.is_multiple_of(2) { query.clone() } else { respelled(&query, number) };
            let query = TraceQueryParameters {
                pagination: Some(Pagination { page_size: size, page_token: token }),
                ..asked
            };
            let page = run(store.searcher.find_trace_ids(query.clone())).unwrap();
            let ids: Vec<_> = page.trace_ids.into_iter().map(|found| found.trace_id).collect();

            let messages = all(store.searcher.find_trace_summaries(query)).unwrap();
            let last_token = messages.last().map_or("", |message| &message.next_page_token);
            prop_assert_eq!(last_token, &page.next_page_token);
            let summaries = messages.iter().flat_map(|message| &message.summaries);
            prop_assert!(summaries.map(|summary| &summary.trace_id).eq(&ids));

            // Every page but the last is full.
            prop_assert!(page.next_page_token.is_empty() || ids.len() == size as usize);
            joined.extend(ids);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        prop_assert_eq!(joined, whole);
        store.assert_clean()?;
    }

    #[test]
    fn dependencies_answer_as_the_oracle_does(
        start in 0..8_u64,
        length in option::of(0..8_u64),
        written in written(),
        seed: u64,
    ) {
        let store = Store::new(&written, seed);
        let (start, end) = (PLACE.at(start), length.map(|length| PLACE.at(start + length)));
        let request = GetDependenciesRequest {
            start_time: Some(timestamp(start)),
            end_time: end.map(timestamp),
        };
        let found = run(store.searcher.dependencies(request, None)).unwrap();
        prop_assert_eq!(found, store.oracle().dependencies(start, end.unwrap_or(u64::MAX)));
        store.assert_clean()?;
    }

    #[test]
    fn traces_come_back_whole_in_the_order_asked(
        numbers in vec(0..TRACES + 3, 0..12),
        written in written(),
        seed: u64,
    ) {
        let store = Store::new(&written, seed);
        let params = |number: &u64| GetTraceParams {
            trace_id: PLACE.trace(*number).to_vec(),
            ..GetTraceParams::default()
        };
        let request = GetTracesRequest { query: numbers.iter().map(params).collect() };
        let messages = all(store.searcher.get_traces(request)).unwrap();
        prop_assert!(messages.iter().all(|message| message.0.len() <= MAX_MESSAGE_BYTES));

        let oracle = store.oracle();
        let mut expected = Vec::new();
        for number in numbers {
            let whole = whole(&oracle, PLACE.trace(number));
            if !whole.1.is_empty() && !expected.contains(&whole) {
                expected.push(whole);
            }
        }
        prop_assert_eq!(traces(&messages), expected);
        store.assert_clean()?;
    }
}
