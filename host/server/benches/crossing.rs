//! Calls into a guest and back. `cargo bench -p larder --bench crossing`
//!
//! Budgets are in comments, as in `ingest.rs`.

#![allow(missing_docs, reason = "what criterion's macros make")]
#![allow(clippy::unwrap_used, reason = "a bench fails loudly")]

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_ingest::Ingest;
use larder_model::storage::{Batch, DurationRange, Part, Search, Storage, TimeRange, Wanted};
use larder_oracle::corpus::Corpus;
use larder_runtime::plugin::{Component, DEFAULT_TENANT, Runtime};
use tokio::runtime::Runtime as Tokio;

use support::stored::{self, Plugin, REQUEST_SPANS};

/// Writes into one instance before it is replaced by a new one, to bound its memory.
const WRITES: u64 = 256;

struct Bench {
    tokio: Tokio,
    wasm: Runtime,
    batch: Batch,
}

impl Bench {
    /// Opens a plugin, with the batch of one Export to write.
    fn new() -> Self {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let corpus = Corpus::new(1, REQUEST_SPANS, REQUEST_SPANS);
        let request = corpus.request(0).bytes;
        let mut batches = stored::walk(&mut Ingest::new(stored::INGEST), &request).unwrap();
        assert_eq!(batches.len(), 1);
        Self {
            tokio,
            wasm: stored::runtime().unwrap(),
            batch: batches.remove(0),
        }
    }

    fn component(&self, plugin: Plugin) -> Arc<Component> {
        let component = plugin.component(&self.wasm);
        self.tokio.block_on(component).unwrap()
    }

    fn open(&self, component: &Arc<Component>) -> Arc<dyn Storage> {
        let opened = component.open(DEFAULT_TENANT);
        self.tokio.block_on(opened).unwrap().pinned()
    }

    /// Measures a number of writes.
    fn writes(&self, component: &Arc<Component>, count: u64) -> Duration {
        let mut storage = self.open(component);
        let mut time = Duration::ZERO;
        for number in 1..=count {
            if number % WRITES == 0 {
                storage = self.open(component);
            }
            let batch = self.batch.clone();
            let started = Instant::now();
            self.tokio.block_on(storage.write(batch)).unwrap();
            time += started.elapsed();
        }
        time
    }
}

/// A batch of an Export, written into a plugin.
fn write(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("crossing");
    group.throughput(Throughput::Elements(REQUEST_SPANS));
    for (name, plugin) in [
        // It only keeps what it is given: the call, the copy, and memory that was never touched before.
        // Budget: 1.2 us a span.
        ("write, minimal", Plugin::Minimal),
        // Budget: 1.7 us a span.
        ("write, memory", Plugin::Memory),
        // Budget: 1.2 us a span.
        ("write, memory that is full", Plugin::Full),
    ] {
        let component = bench.component(plugin);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| bench.writes(&component, count));
        });
    }
    group.finish();
}

/// A search of a thousand spans that all match, their digests, and the spans themselves.
fn back(criterion: &mut Criterion) {
    let bench = Bench::new();
    let storage = bench.open(&bench.component(Plugin::Memory));
    let written = storage.write(bench.batch.clone());
    bench.tokio.block_on(written).unwrap();
    let search = Search {
        starts: TimeRange::ALL,
        durations: DurationRange {
            shortest: 0,
            longest: u64::MAX,
        },
        clauses: Vec::new(),
    };
    let fragments = bench.batch.len();
    let mut group = criterion.benchmark_group("crossing");
    // Budget: 6 us a call.
    group.bench_function("a call with nothing to do", |bencher| {
        bencher.iter(|| bench.tokio.block_on(storage.operations("none")).unwrap());
    });
    group.throughput(Throughput::Elements(fragments as u64));
    // Budget: 0.17 us a fragment.
    group.bench_function("find, every fragment", |bencher| {
        bencher.iter(|| {
            let found = storage.find(black_box(&search), None, 4096);
            let found = bench.tokio.block_on(found).unwrap();
            assert_eq!(found.found.len(), fragments);
        });
    });
    let ids = bench.batch.facts().map(|(facts, _)| facts.trace_id);
    let wanted = Wanted::Traces(ids.collect());
    for (name, part) in [
        // Budget: 0.33 us a fragment.
        ("read, digests", Part::Digest),
        // Budget: 0.83 us a fragment.
        ("read, spans", Part::Otlp),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let read = storage.read(black_box(&wanted), part, None, 2 << 20);
                let read = bench.tokio.block_on(read).unwrap();
                assert_eq!(read.pieces.len(), fragments);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write, back);
criterion_main!(benches);
