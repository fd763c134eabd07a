//! A tenant: a storage, a place to keep things, a clock, and the graph.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use larder_core::telemetry::Metrics;
use larder_model::storage::{Batch, Error, Observer as _, Statistics, Storage, StorageSource};
use larder_oracle::Oracle;
use larder_oracle::otlp::{ResourceBuilder, SpanBuilder, service, span};
use larder_proto::storage::v2::{Dependency, GetDependenciesRequest};
use larder_search::DependenciesExplanation;
use larder_search::kept::Kept;
use larder_search::testing::{Memory, limits, searcher};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost_types::Timestamp;
use tokio::runtime::Runtime;

use super::keeping::{Contents, Keeping};
use crate::{Config, Graph, Step};

pub(super) const SECOND: u64 = 1_000_000_000;
/// Length of a bucket.
pub(super) const BUCKET: u64 = 300 * SECOND;
/// The start of a bucket, at which the clock of a world begins.
pub(super) const START: u64 = 5_666_667 * BUCKET;

/// A tenant.
pub(super) struct World {
    pub(super) memory: Arc<Memory>,
    pub(super) keep: Arc<Keeping>,
    pub(super) graph: Arc<Graph>,
    pub(super) config: Config,
    clock: Arc<AtomicU64>,
    /// The latest time that the clock has shown.
    latest: AtomicU64,
    source: Arc<Source>,
    /// The time of the write of each fragment.
    writes: Vec<u64>,
    pub(super) evicted: u64,
    /// True if the plugin tells the time of its oldest write.
    pub(super) tells_oldest: bool,
    /// True if what is stored lives in the plugin's memory, which drops traces whatever the times of their writes.
    pub(super) is_exclusive: bool,
    synced: (Contents, usize),
    /// True if the storage has lost what was not durable: a series of calls that had begun before may break the contract.
    pub(super) has_lost: bool,
    runtime: Runtime,
}

/// Reads the storage.
pub(super) struct Source(pub(super) Arc<Memory>);

impl StorageSource for Source {
    fn storage(self: Arc<Self>) -> Arc<dyn Storage> {
        let memory: Arc<Memory> = Arc::clone(&self.0);
        memory
    }
}

/// A trace id.
pub(super) fn trace(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

/// A span of a trace that lasts a millisecond.
pub(super) fn op(of: u128, id: u64, start: u64) -> SpanBuilder {
    span(trace(of), id).at(start).lasting(1_000_000)
}

/// Spans of a service.
pub(super) fn of(name: &str, spans: impl IntoIterator<Item = SpanBuilder>) -> ResourceSpans {
    let ResourceBuilder(spans) = service(name).spans(spans);
    spans
}

/// A trace in which "a" calls "b".
pub(super) fn call(number: u128, start: u64) -> Vec<ResourceSpans> {
    vec![
        of("a", [op(number, 1, start)]),
        of("b", [op(number, 2, start + 1).parent(1)]),
    ]
}

fn timestamp(nanos: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(nanos / SECOND).unwrap(),
        nanos: i32::try_from(nanos % SECOND).unwrap(),
    }
}

pub(super) fn request(start: u64, end: u64) -> GetDependenciesRequest {
    GetDependenciesRequest {
        start_time: Some(timestamp(start)),
        end_time: Some(timestamp(end)),
    }
}

impl World {
    /// A world in which nothing was written.
    pub(super) fn new() -> Self {
        Self::with(Memory::default(), &[])
    }

    /// A world with exports that were written before anything was kept.
    pub(super) fn with(memory: Memory, exports: &[Vec<ResourceSpans>]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let memory = Arc::new(memory);
        for export in exports {
            memory.export(export.clone());
        }
        let clock = Arc::new(AtomicU64::new(START));
        let read = Arc::clone(&clock);
        let config = Config {
            clock: Arc::new(move || read.load(Ordering::Relaxed)),
            ..Config::default()
        };
        let keep: Arc<Keeping> = Arc::default();
        let source = Arc::new(Source(Arc::clone(&memory)));
        let graph = open(&runtime, &keep, &source, &config);
        let world = Self {
            writes: vec![START - 1; memory.written()],
            evicted: 0,
            tells_oldest: true,
            is_exclusive: false,
            synced: (Contents::default(), memory.written()),
            has_lost: false,
            memory,
            keep,
            graph,
            config,
            clock,
            latest: AtomicU64::new(START),
            source,
            runtime,
        };
        world.count();
        world
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap();
        self.clock.fetch_add(nanos, Ordering::Relaxed);
        self.latest.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// The clock goes back.
    pub(super) fn back(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap();
        self.clock.fetch_sub(nanos, Ordering::Relaxed);
    }

    /// The clock shows the latest time again that it has shown.
    pub(super) fn catch_up(&self) {
        let latest = self.latest.load(Ordering::Relaxed);
        self.clock.fetch_max(latest, Ordering::Relaxed);
    }

    /// Tells the graph of a write that is about to happen. Returns its batches.
    pub(super) fn begin(&self, export: Vec<ResourceSpans>) -> Result<Vec<Batch>, Error> {
        let batches = self.memory.batches(export);
        let all: Vec<_> = batches.iter().collect();
        self.run(self.graph.before_write(self.now(), &all))?;
        Ok(batches)
    }

    /// The plugin stores what was announced.
    pub(super) fn store(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.memory.store(batch);
        }
        let now = self.now();
        self.writes.resize(self.memory.written(), now);
        // No other write has this time.
        self.pass(Duration::from_nanos(1));
    }

    /// Writes an export.
    pub(super) fn write(&mut self, export: Vec<ResourceSpans>) {
        self.try_write(export).unwrap();
    }

    pub(super) fn try_write(&mut self, export: Vec<ResourceSpans>) -> Result<(), Error> {
        let batches = self.begin(export)?;
        self.store(&batches);
        self.graph.after_write();
        Ok(())
    }

    /// Does one piece of work.
    pub(super) fn step(&self) -> Step {
        self.run(self.graph.step())
    }

    /// Works until nothing is due.
    pub(super) fn work(&self) {
        for _ in 0..100_000 {
            if !matches!(self.step(), Step::Worked { .. }) {
                return;
            }
        }
        panic!("the work does not end");
    }

    /// Lets time pass and works, until everything is settled.
    pub(super) fn settle(&self) {
        for _ in 0..10 {
            self.count();
            self.work();
            self.pass(Duration::from_mins(10));
        }
        self.work();
        let figures = self.graph.figures();
        let is_bounded = self.config.most_buckets < Config::default().most_buckets;
        assert!(figures.is_backfilled || is_bounded, "{figures:?}");
        assert_eq!(figures.oldest_unsettled, None, "{figures:?}");
        let unsettled = figures.open_buckets + figures.suspect_buckets + figures.late_traces;
        assert_eq!(unsettled, 0, "{figures:?}");
    }

    /// What was written up to now is durable.
    pub(super) fn sync(&mut self) {
        self.synced = (self.keep.now.lock().clone(), self.memory.written());
    }

    /// What is not durable is lost, while the process lives.
    pub(super) fn lose(&mut self) {
        let (contents, written) = &self.synced;
        self.has_lost = true;
        self.keep.lose(contents);
        self.memory.lose_after(*written);
        self.writes.truncate(*written);
    }

    /// The process is started again.
    pub(super) fn restart(&mut self) {
        self.run(self.graph.close());
        self.graph = open(&self.runtime, &self.keep, &self.source, &self.config);
        self.evicted = 0;
    }

    /// Everything is purged.
    pub(super) fn purge(&mut self) {
        let ids = self.memory.traces();
        ids.into_iter()
            .flatten()
            .for_each(|id| self.memory.drop_trace(id));
        self.keep = Arc::default();
        let keep: Arc<Keeping> = Arc::clone(&self.keep);
        self.run(self.graph.forget(keep)).unwrap();
        self.evicted = 0;
        self.sync();
    }

    /// Retention drops the fragments that were written first, of durable ones those that were written together. The drop is durable.
    pub(super) fn drop_oldest(&mut self, mut count: usize) {
        let traces = self.memory.traces();
        let kept = traces.iter().zip(&self.writes);
        let times: Vec<_> = kept.filter(|it| it.0.is_some()).map(|it| *it.1).collect();
        while !self.is_exclusive
            && (1..times.len()).contains(&count)
            && times[count - 1] == times[count]
        {
            count += 1;
        }
        self.evicted += self.memory.drop_oldest(count).len() as u64;
        self.count();
        self.sync();
    }

    /// Retention drops the trace that was written first, with all of its fragments.
    pub(super) fn drop_oldest_trace(&mut self) {
        let first = self.memory.traces().into_iter().flatten().next();
        if let Some(id) = first {
            self.memory.drop_trace(id);
            self.evicted += 1;
        }
        self.count();
        self.sync();
    }

    /// The plugin tells its counters.
    pub(super) fn count(&self) {
        let traces = self.memory.traces();
        let kept = traces.iter().zip(&self.writes);
        let mut times = kept.filter(|(id, _)| id.is_some()).map(|it| *it.1);
        // `memory` tells the time of its oldest trace, in whole seconds.
        let oldest = if self.is_exclusive {
            times.next().map(|it| it / SECOND * SECOND)
        } else {
            times.min()
        };
        let statistics = Statistics {
            evicted_spans: self.evicted,
            oldest_write: oldest.filter(|_| self.tells_oldest),
            ..Statistics::default()
        };
        self.graph.counted(self.now(), &statistics);
    }

    /// The dependencies of a window, with what is kept.
    pub(super) fn dependencies(&self, start: u64, end: u64) -> Vec<Dependency> {
        let graph: Arc<Graph> = Arc::clone(&self.graph);
        self.ask(start, end, Some(graph))
    }

    pub(super) fn ask(&self, start: u64, end: u64, kept: Option<Arc<dyn Kept>>) -> Vec<Dependency> {
        let searcher = searcher(&self.memory, limits());
        let found = searcher.dependencies(request(start, end), kept);
        self.run(found).unwrap()
    }

    /// Explains the dependencies of a window, with what is kept.
    pub(super) fn explain(&self, start: u64, end: u64) -> DependenciesExplanation {
        let graph: Arc<Graph> = Arc::clone(&self.graph);
        let searcher = searcher(&self.memory, limits());
        let explained = searcher.explain_dependencies(request(start, end), Some(graph));
        self.run(explained).unwrap()
    }

    /// The dependencies of a window by brute force.
    pub(super) fn expected(&self, start: u64, end: u64) -> Vec<Dependency> {
        expected(&self.memory, start, end)
    }

    /// Checks a window.
    #[track_caller]
    pub(super) fn check(&self, start: u64, end: u64) {
        assert_eq!(
            self.dependencies(start, end),
            self.expected(start, end),
            "{start}..={end}"
        );
    }

    /// Checks all of time, and windows around the start.
    #[track_caller]
    pub(super) fn check_all(&self) {
        self.check(0, u64::MAX);
        for first in 0..6 {
            for last in first..6 {
                let start = START + first * BUCKET - 3 * BUCKET;
                let end = START + last * BUCKET - 3 * BUCKET;
                self.check(start, end + BUCKET - 1);
                self.check(start + 1, end + BUCKET);
                self.check(start + BUCKET / 2, end + BUCKET / 2);
            }
        }
    }

    /// Number of `read` calls that a query of all of time makes.
    pub(super) fn reads(&self) -> usize {
        self.reads_of(0, u64::MAX)
    }

    /// Number of `read` calls that a query makes.
    pub(super) fn reads_of(&self, start: u64, end: u64) -> usize {
        let before = self.memory.reads.load(Ordering::Relaxed);
        self.check(start, end);
        self.memory.reads.load(Ordering::Relaxed) - before
    }

    /// Number of `get` calls to where records are kept that a query of all of time makes.
    pub(super) fn gets(&self) -> usize {
        let before = self.keep.gets.load(Ordering::Relaxed);
        self.check(0, u64::MAX);
        self.keep.gets.load(Ordering::Relaxed) - before
    }

    /// Number of buckets that the durable state has entries of.
    pub(super) fn buckets(&self) -> usize {
        let now = self.keep.now.lock();
        now.state.keys().filter(|key| key[0] == b'b').count()
    }
}

fn open(
    runtime: &Runtime,
    keep: &Arc<Keeping>,
    source: &Arc<Source>,
    config: &Config,
) -> Arc<Graph> {
    let keep: Arc<Keeping> = Arc::clone(keep);
    let source: Arc<dyn StorageSource> = Arc::<Source>::clone(source);
    let weak: Weak<dyn StorageSource> = Arc::downgrade(&source);
    let settings = (config.clone(), Arc::new(Metrics::new()));
    runtime.block_on(Graph::open("tenant", keep, weak, settings))
}

/// The dependencies of a window by brute force.
pub(super) fn expected(memory: &Memory, start: u64, end: u64) -> Vec<Dependency> {
    let stored: Vec<TracesData> = memory.stored();
    let spans = stored.iter().flat_map(|it| &it.resource_spans);
    Oracle::new(spans).dependencies(start, end)
}
