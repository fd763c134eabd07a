//! Dependencies beside what is kept of other traces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Error, Operation, Part, Pieces, Search, Sightings, Storage, TimeRange, TraceId, Wanted,
};
use larder_proto::storage::v2::GetDependenciesRequest;

use super::super::Searcher;
use super::super::kept::{Coverage, Kept, Summed, View};
use super::super::testing::{Memory, limits, of, op};

/// A storage that is behind until it is told to show what is there now.
struct Behind {
    before: Memory,
    now: Memory,
    is_renewed: AtomicBool,
}

impl Behind {
    fn memory(&self) -> &Memory {
        if self.is_renewed.load(Ordering::Relaxed) {
            &self.now
        } else {
            &self.before
        }
    }
}

#[async_trait::async_trait]
impl Storage for Behind {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.memory().write(batch).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.memory().find(search, resume, limit).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        self.memory().read(wanted, part, resume, max_bytes).await
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.memory().services().await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        self.memory().operations(service).await
    }

    fn report(&self, breach: &Error) {
        self.memory().report(breach);
    }

    fn renew(&self) {
        self.is_renewed.store(true, Ordering::Relaxed);
    }
}

const KEPT: TraceId = TraceId(1);
/// Of a call of the trace that is there when the query begins.
const EARLY: u64 = 100;
/// Of one that comes then, and is kept with the other once the view is made.
const LATE: u64 = 200;

/// Has the calls of a trace in the record of one of its times, and has it judged all the same.
struct OneTrace;

struct OneRow {
    counts: bool,
}

#[async_trait::async_trait]
impl Kept for OneTrace {
    async fn view(&self, _: TimeRange) -> Option<Box<dyn View>> {
        Some(Box::new(OneRow { counts: true }))
    }

    fn coverage(&self, _: TimeRange) -> Coverage {
        Coverage::default()
    }
}

#[async_trait::async_trait]
impl View for OneRow {
    fn unsettled(&self) -> &[TimeRange] {
        const { &[TimeRange::ALL] }
    }

    async fn changed(&mut self) -> Option<Vec<TraceId>> {
        Some(Vec::new())
    }

    fn judged(&mut self, trace: TraceId, starts: &[u64]) {
        self.counts &= trace != KEPT || !starts.contains(&LATE);
    }

    async fn count(&mut self, add: &mut (dyn for<'a> FnMut(&'a str, &'a str, u64) + Send)) -> bool {
        if self.counts {
            add("a", "b", 2);
        }
        true
    }

    fn summed(&self) -> Summed {
        Summed::default()
    }
}

#[tokio::test]
async fn a_trace_that_grows_and_is_kept_while_a_query_begins_counts_once() {
    let call = |first, start| {
        vec![
            of("a", op(1, first, start, start + 1)),
            of("b", op(1, first + 1, start, start + 1).parent(first)),
        ]
    };
    let (early, late) = (call(1, EARLY), call(3, LATE));
    let storage = Arc::new(Behind {
        before: Memory::of(std::slice::from_ref(&early)),
        now: Memory::of(&[early, late]),
        is_renewed: AtomicBool::new(false),
    });
    let searcher = Searcher::new(storage, limits(), Arc::new(Metrics::new()));
    let request = GetDependenciesRequest {
        start_time: Some(prost_types::Timestamp::default()),
        end_time: None,
    };
    let found = searcher.dependencies(request, Some(Arc::new(OneTrace)));
    let calls = found.await.unwrap();
    let calls: Vec<_> = calls.iter().map(|it| it.call_count).collect();
    assert_eq!(calls, [2]);
}
