//! The work of the host in a search: planning it, and judging the sightings of a plugin. `cargo bench -p larder --bench search`
//!
//! Budgets are in comments, as in `ingest.rs`.

#![allow(missing_docs, reason = "what criterion's macros make")]
#![allow(clippy::unwrap_used, reason = "a bench fails loudly")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_ingest::Ingest;
use larder_model::storage::{Part, Piece};
use larder_oracle::Query;
use larder_oracle::corpus::{Corpus, operation_name, service_name, user_name};
use larder_oracle::filter::{attr_at, gt, int};
use larder_search::{Limits, Prepared};

use support::stored::{self, REQUEST_SPANS};

/// Spans that are judged together.
const SPANS: u64 = 10_000;

/// Fragments, in the form in which a plugin returns them.
fn pieces(part: Part) -> Vec<Piece> {
    let corpus = Corpus::new(1, SPANS, REQUEST_SPANS);
    let mut ingest = Ingest::new(stored::INGEST);
    let mut pieces = Vec::new();
    for request in stored::requests(&corpus) {
        for batch in stored::walk(&mut ingest, &request).unwrap() {
            pieces.extend(batch.fragments().map(|fragment| Piece {
                trace_id: fragment.facts.trace_id,
                fragment: 0,
                bytes: match part {
                    Part::Digest => fragment.digest.to_vec(),
                    Part::Otlp => fragment.otlp.to_vec(),
                },
                dropped_spans: 0,
            }));
        }
    }
    pieces
}

/// Planning: from Jaeger's parameters to the request to the plugin.
fn plan(criterion: &mut Criterion) {
    let (from, to) = Corpus::new(1, SPANS, REQUEST_SPANS).window();
    let legacy = Query::default()
        .window(from, to)
        .service(service_name(7))
        .operation(operation_name(3))
        .attribute("http.response.status_code", "500")
        .attribute("enduser.id", user_name(42));
    let filtered = Query::default()
        .window(from, to)
        .filter(gt(attr_at("span", "http.response.status_code"), int(599)));
    let mut group = criterion.benchmark_group("plan");
    // Budget: 2.7 us a query.
    group.bench_function("service, operation and two attributes", |bencher| {
        bencher
            .iter(|| Prepared::new(black_box(legacy.0.clone()), &Limits::OF_BENCHMARKS).unwrap());
    });
    // Budget: 0.8 us a query.
    group.bench_function("filter", |bencher| {
        bencher
            .iter(|| Prepared::new(black_box(filtered.0.clone()), &Limits::OF_BENCHMARKS).unwrap());
    });
    group.finish();
}

fn judge(criterion: &mut Criterion, name: &str, query: Query, part: Part) {
    let prepared = Prepared::new(query.0, &Limits::OF_BENCHMARKS).unwrap();
    assert_eq!(prepared.part(), part);
    let pieces = pieces(part);
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for piece in black_box(&pieces) {
                black_box(prepared.newest_match(piece).unwrap());
            }
        });
    });
    group.finish();
}

/// A search for a service and a duration that few spans have, which digests decide.
fn judge_digest(criterion: &mut Criterion) {
    let query = Query::default()
        .service(service_name(7))
        .at_least(5_000_000_000);
    // Budget: 0.12 us a span.
    judge(criterion, "digest", query, Part::Digest);
}

/// A search for a comparison that no span satisfies, which reads all attributes of all spans.
fn judge_full(criterion: &mut Criterion) {
    let status = attr_at("span", "http.response.status_code");
    let query = Query::default().filter(gt(status, int(599)));
    // Budget: 0.57 us a span.
    judge(criterion, "full", query, Part::Otlp);
}

criterion_group!(benches, plan, judge_digest, judge_full);
criterion_main!(benches);
