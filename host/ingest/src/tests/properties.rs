//! Compares ingest with the model, on random requests.

use std::collections::{BTreeMap, BTreeSet};

use larder_model::dictionary::{Bounds, Contents, Dictionary, ListedValues, Source};
use larder_model::digest;
use larder_model::storage::{Batch, Fragment, Operation, TraceId};
use larder_proto::otlp::pdata;
use larder_proto::otlp::repair::repair;
use larder_proto::testing::{mirror, mutated_traces, traces};
use proptest::prelude::*;
use prost::Message;

use super::model::{self, AttributeRules, IsListed, Sent};
use super::{LIMITS, fragments};
use crate::{Ingest, Limits, Reason};

/// Limits so small that random requests run into them.
fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(LIMITS),
        (40..400_usize, 400..2000_usize, 60..400_usize, 10..100_usize).prop_map(
            |(max_fragment_bytes, max_batch_bytes, max_span_bytes, max_listed_bytes)| Limits {
                max_fragment_bytes,
                max_batch_bytes,
                max_span_bytes,
                max_listed_bytes,
            }
        ),
    ]
}

/// How requests are converted.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    pub(super) word_terms: bool,
    pub(super) dictionary: Option<Dictionary>,
}

fn rules() -> impl Strategy<Value = Rules> {
    (limits(), any::<bool>(), dictionary()).prop_map(|(limits, word_terms, dictionary)| Rules {
        limits,
        word_terms,
        dictionary,
    })
}

/// No dictionary, one with room for everything, or one so small that values do not fit.
pub(super) fn dictionary() -> impl Strategy<Value = Option<Dictionary>> {
    let all = Bounds::default();
    let few = Bounds {
        values: 2,
        value_bytes: 8,
        all_values: 20,
        attributes: 6,
        ..all
    };
    prop::sample::select(vec![None, Some(all), Some(few)]).prop_map(|bounds| {
        let dictionary = Dictionary::new(bounds?);
        dictionary.open(Contents::default(), true);
        Some(dictionary)
    })
}

/// The values that are listed once a request is walked.
struct ListedThen<'a> {
    rules: &'a Rules,
    batches: &'a [Batch],
}

impl ListedThen<'_> {
    fn contains(&self, source: Source, key: &[u8], form: &[u8]) -> bool {
        let dictionary = self.rules.dictionary.as_ref().unwrap();
        let listed = self.batches.iter().filter_map(Batch::listed);
        let mut new = listed.flat_map(ListedValues::values);
        dictionary.contents().unwrap().contains(source, key, form)
            || new.any(|value| value == (source, key, form))
    }

    /// Does what is done before the batches are written.
    fn record(&self) {
        let Some(dictionary) = &self.rules.dictionary else {
            assert!(self.batches.iter().all(|batch| batch.listed().is_none()));
            return;
        };
        let mut contents = Contents::default();
        for listed in self.batches.iter().filter_map(Batch::listed) {
            assert!(dictionary.admits(listed, 0));
            for (source, key, form) in listed.values() {
                contents.add(source, key, form, listed.day());
            }
        }
        dictionary.record(contents);
    }
}

impl Rules {
    pub(super) fn ingest(&self) -> Ingest {
        let mut ingest = Ingest::new(self.limits);
        ingest.set_word_terms(self.word_terms);
        ingest
    }
}

fn check_fragment(batch: &Batch, fragment: &Fragment<'_>, spans: &[Sent], listed: &ListedThen<'_>) {
    let rules = listed.rules;
    let limits = &rules.limits;
    let facts = fragment.facts;
    assert!(pdata::decodes(fragment.otlp), "Jaeger cannot read it");
    assert_eq!(facts.span_count as usize, spans.len());
    let headers = 12 + spans[0].resource_header.len() + spans[0].scope_header.len();
    let shared = if headers > limits.max_fragment_bytes / 2 {
        headers
    } else {
        0
    };
    assert!(
        fragment.otlp.len() <= limits.max_fragment_bytes + shared || spans.len() == 1,
        "a fragment of {} spans has {} bytes",
        spans.len(),
        fragment.otlp.len()
    );

    let is_listed = |source, key: &[u8], form: &[u8]| listed.contains(source, key, form);
    let dictionary = rules.dictionary.as_ref();
    let attributes = AttributeRules {
        word_terms: rules.word_terms,
        is_listed: dictionary.map(|_| &is_listed as IsListed<'_>),
    };
    let terms = spans.iter().flat_map(|sent| sent.terms(attributes));
    let terms: BTreeSet<_> = terms.collect();
    assert_eq!(fragment.terms, terms.into_iter().collect::<Vec<_>>());

    let digest = digest::decode(fragment.digest).unwrap();
    assert_eq!(digest.len(), spans.len());
    for (found, sent) in digest.spans().zip(spans) {
        let decoded = sent.decode();
        let (service, name) = (sent.service(), sent.name());
        let wanted = digest::Span {
            span_id: decoded.span_id.clone().try_into().unwrap(),
            parent: sent.parent(),
            start: decoded.start_time_unix_nano,
            end: decoded.end_time_unix_nano,
            kind: sent.kind(),
            status: sent.status(),
            service: str::from_utf8(&service).unwrap(),
            name: str::from_utf8(&name).unwrap(),
        };
        assert_eq!(found.unwrap(), wanted);
    }

    let decoded: Vec<_> = spans.iter().map(Sent::decode).collect();
    let starts = || decoded.iter().map(|span| span.start_time_unix_nano);
    let durations = || {
        let duration = |span: &mirror::Span| {
            let end = span.end_time_unix_nano;
            end.saturating_sub(span.start_time_unix_nano)
        };
        decoded.iter().map(duration)
    };
    assert_eq!(facts.starts.start, starts().min().unwrap());
    assert_eq!(facts.starts.end, starts().max().unwrap());
    assert_eq!(facts.durations.shortest, durations().min().unwrap());
    assert_eq!(facts.durations.longest, durations().max().unwrap());

    let operations = batch.operations();
    let listed: Vec<_> = fragment
        .operations
        .iter()
        .map(|place| operations[*place as usize].clone())
        .collect();
    let wanted: BTreeSet<_> = spans
        .iter()
        .map(|sent| Operation {
            service: String::from_utf8(sent.service()).unwrap(),
            name: String::from_utf8(sent.name()).unwrap(),
            kind: sent.kind(),
        })
        .filter(|it| it.service.len() + it.name.len() <= limits.max_listed_bytes)
        .collect();
    assert_eq!(listed.len(), wanted.len(), "an operation is listed twice");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), wanted);
}

/// Asserts that the request is converted, or refused, as the model does it.
pub(super) fn check(ingest: &mut Ingest, request: &[u8], rules: &Rules) {
    let limits = &rules.limits;
    let dictionary = rules.dictionary.as_ref();
    ingest.set_dictionary(dictionary.map(|it| it.for_request(0).unwrap()));
    let walked = ingest.walk(request);
    assert_eq!(
        walked.is_ok(),
        mirror::TracesData::decode(request).is_ok(),
        "a request is malformed where prost says so"
    );
    let Ok(ingested) = walked else {
        return;
    };
    let mut wanted: BTreeMap<TraceId, Vec<Sent>> = BTreeMap::new();
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    for sent in model::spans(&repair(request).unwrap()) {
        match sent.refusal(limits) {
            None => wanted.entry(sent.trace_id()).or_default().push(sent),
            Some(reason) => *refused.entry(reason.as_str()).or_default() += 1,
        }
    }
    let by_reason = ingested.refused.by_reason();
    let found: BTreeMap<_, _> = by_reason
        .map(|(reason, count): (Reason, u64)| (reason.as_str(), count))
        .collect();
    assert_eq!(found, refused);
    assert_eq!(ingested.refused.total(), refused.values().sum::<u64>());

    let mut joined: BTreeMap<TraceId, Vec<u8>> = BTreeMap::new();
    for fragment in fragments(&ingested) {
        let joined = joined.entry(fragment.facts.trace_id).or_default();
        joined.extend_from_slice(fragment.otlp);
    }
    let found: BTreeMap<_, _> = joined
        .iter()
        .map(|(id, traces)| (*id, model::spans(traces)))
        .collect();
    assert_eq!(found, wanted);
    let count: usize = wanted.values().map(Vec::len).sum();
    assert_eq!(ingested.spans, count as u64);

    let listed = ListedThen {
        rules,
        batches: &ingested.batches,
    };
    for batch in &ingested.batches {
        assert!(!batch.is_empty());
        let distinct: BTreeSet<_> = batch.operations().into_iter().collect();
        assert_eq!(distinct.len(), batch.batch_operations().len());
        let services: BTreeSet<_> = batch.services().iter().collect();
        assert_eq!(services.len(), batch.services().len());
        for fragment in batch.fragments() {
            let spans = model::spans(fragment.otlp);
            check_fragment(batch, &fragment, &spans, &listed);
        }
    }
    listed.record();
}

proptest! {
    #[test]
    fn fragments_are_what_the_model_makes(
        requests in prop::collection::vec(traces(true), 1..3),
        rules in rules(),
    ) {
        // Both with one `Ingest`: nothing of the first request may remain in the second.
        let mut ingest = rules.ingest();
        for request in &requests {
            check(&mut ingest, request, &rules);
        }
    }

    #[test]
    fn mutated_requests_are_accepted_and_refused_like_the_model_does(
        request in mutated_traces(),
        rules in rules(),
    ) {
        check(&mut rules.ingest(), &request, &rules);
    }

    #[test]
    fn garbage_is_malformed_where_prost_says_so(request in prop::collection::vec(any::<u8>(), 0..100)) {
        let rules = Rules { limits: LIMITS, word_terms: true, dictionary: None };
        check(&mut rules.ingest(), &request, &rules);
    }
}
