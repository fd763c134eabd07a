//! Ingest of an Export, and separately its two most expensive parts: terms and digests. `cargo bench -p larder --bench ingest`
//!
//! A budget is in a comment beside each bench: its time per span on two shared cores of a 2026 server, and a third more. A bench over
//! its budget on such a machine has become slower.

#![allow(missing_docs, reason = "what criterion's macros make")]
#![allow(clippy::unwrap_used, reason = "a bench fails loudly")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_ingest::Ingest;
use larder_model::digest::{self, Encoder, Parent};
use larder_model::storage::{SpanKind, StatusCode};
use larder_model::string_form;
use larder_model::terms::{AttributeKey, Level};
use larder_oracle::corpus::Corpus;
use larder_proto::otlp::TracesData;

use support::stored::{self, REQUEST_SPANS};

/// One Export.
fn request() -> bytes::Bytes {
    let corpus = Corpus::new(1, REQUEST_SPANS, REQUEST_SPANS);
    corpus.request(0).bytes
}

/// All of the ingest: reading, grouping by trace, terms, digests, and copying the spans.
fn walk(criterion: &mut Criterion) {
    let request = request();
    let mut ingest = Ingest::new(stored::INGEST);
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(REQUEST_SPANS));
    // Budget: 1.2 us a span.
    group.bench_function("walk", |bencher| {
        bencher.iter(|| stored::walk(&mut ingest, black_box(&request)).unwrap());
    });
    group.finish();
}

/// The terms of every attribute of every span, without a cache.
fn terms(criterion: &mut Criterion) {
    let request = request();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(REQUEST_SPANS));
    // Budget: 1.0 us a span of twelve attributes, if no attribute were ever like another.
    group.bench_function("terms", |bencher| {
        let mut text = Vec::new();
        bencher.iter(|| each_attribute(black_box(&request), &mut text));
    });
    group.finish();
}

fn each_attribute(request: &[u8], text: &mut Vec<u8>) -> u64 {
    let mut all = 0;
    for resource_spans in TracesData::new(request).resource_spans() {
        for scope_spans in resource_spans.unwrap().scope_spans() {
            for span in scope_spans.unwrap().spans() {
                for attribute in span.unwrap().attributes() {
                    let attribute = attribute.unwrap();
                    let key = AttributeKey::new(attribute.key);
                    text.clear();
                    if let Some(value) = &attribute.value {
                        string_form::write(value, text);
                    }
                    all ^= key.present(Level::Span) ^ key.with_value(Level::Span, text);
                }
            }
        }
    }
    all
}

/// Reading and writing the digests of the request's fragments.
fn digests(criterion: &mut Criterion) {
    let batches = stored::walk(&mut Ingest::new(stored::INGEST), &request()).unwrap();
    let digests: Vec<&[u8]> = batches
        .iter()
        .flat_map(|batch| batch.fragments().map(|fragment| fragment.digest))
        .collect();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(REQUEST_SPANS));
    // Budget: 0.13 us a span.
    group.bench_function("digest, decode", |bencher| {
        bencher.iter(|| {
            for bytes in black_box(&digests) {
                for span in digest::decode(bytes).unwrap().spans() {
                    black_box(span.unwrap());
                }
            }
        });
    });
    // Budget: 0.08 us a span.
    group.bench_function("digest, encode", |bencher| {
        let mut encoder = Encoder::new();
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            for (place, digest) in black_box(&digests).iter().enumerate() {
                let service = encoder.string("cart-service-00");
                let name = encoder.string("GET /api/v1/items/{id}");
                for number in 0..digest::decode(digest).unwrap().len() as u64 {
                    encoder.push(&digest::Span {
                        span_id: [7; 8],
                        parent: Parent::Id([8; 8]),
                        start: 1_767_225_600_000_000_000 + place as u64 * 2_000_000 + number,
                        end: 1_767_225_600_100_000_000 + place as u64 * 2_000_000,
                        kind: SpanKind::Server,
                        status: StatusCode::Unset,
                        service,
                        name,
                    });
                }
                encoder.finish(&mut out);
            }
            black_box(out.len())
        });
    });
    group.finish();
}

criterion_group!(benches, walk, terms, digests);
criterion_main!(benches);
