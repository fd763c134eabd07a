//! Pages are read ahead while others are judged, and nothing of an answer, its budget or its errors depends on it.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Error, ErrorKind, Operation, Part, Pieces, Search, Sightings, Storage, Wanted,
};
use larder_proto::storage::v2::{GetDependenciesRequest, TraceQueryParameters};
use tokio::sync::oneshot;

use super::super::explain::Explained;
use super::super::testing::{Memory, limits, run, searcher, with_tasks};
use super::super::time::timestamp;
use super::super::{Limits, Searcher};
use super::{by_service, traces};

/// The longest wait for what must happen. It only ends early.
const PATIENCE: Duration = Duration::from_mins(1);

/// What becomes of a call: an error, or the answer of the memory.
type Fate = Box<dyn Fn(usize) -> Result<(), ErrorKind> + Send + Sync>;

/// A memory that gives one piece a page. A report waits until so many calls have begun.
struct Watched {
    memory: Memory,
    begun: Sender<&'static str>,
    awaited: Mutex<(Receiver<&'static str>, Vec<&'static str>)>,
    /// The number of reads so far, and the fate of each.
    reads: AtomicUsize,
    fate: Fate,
}

impl Watched {
    /// `awaited` are the calls that a report waits for, in any order.
    fn new(memory: Memory, awaited: &[&'static str], fate: Fate) -> Arc<Self> {
        let (begun, calls) = channel();
        Arc::new(Self {
            memory,
            begun,
            awaited: Mutex::new((calls, awaited.to_vec())),
            reads: AtomicUsize::new(0),
            fate,
        })
    }
}

#[async_trait::async_trait]
impl Storage for Watched {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.memory.write(batch).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.begun.send("find").unwrap();
        self.memory.find(search, resume, limit).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        _: u32,
    ) -> Result<Pieces, Error> {
        self.begun.send("read").unwrap();
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        (self.fate)(number).map_err(|kind| Error::new(kind, format!("read {number}")))?;
        self.memory.read(wanted, part, resume, 1).await
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.memory.services().await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        self.memory.operations(service).await
    }

    fn report(&self, breach: &Error) {
        let mut waits = self.awaited.lock().unwrap();
        let (calls, awaited) = &mut *waits;
        while !awaited.is_empty() {
            let call = calls.recv_timeout(PATIENCE).expect("another call");
            if let Some(place) = awaited.iter().position(|it| *it == call) {
                awaited.remove(place);
            }
        }
        drop(waits);
        self.memory.report(breach);
    }
}

fn over(storage: Arc<dyn Storage>) -> Searcher {
    with_tasks(Searcher::new(storage, limits(), Arc::new(Metrics::new())))
}

/// A memory that gives sightings as older than they are: a breach that shows when they are judged.
fn too_old(is_lie: fn(usize) -> bool) -> Memory {
    let page = AtomicUsize::new(0);
    let mut memory = Memory::of(&traces(9));
    memory.lie_about_sightings = Some(Box::new(move |sightings| {
        if is_lie(page.fetch_add(1, Ordering::Relaxed)) {
            for sighting in &mut sightings.found {
                sighting.newest -= 1;
            }
            sightings.floor = sightings.floor.saturating_sub(1);
        }
    }));
    memory
}

#[test]
fn the_next_page_of_pieces_is_asked_for_before_one_is_judged_whose_error_comes_first() {
    // The breach shows while the first page is judged, and is not reported before the second page has been asked for, which fails.
    let fails = |number: usize| match number {
        0 => Ok(()),
        _ => Err(ErrorKind::Unavailable),
    };
    let storage = Watched::new(too_old(|_| true), &["read", "read"], Box::new(fails));
    let error = run(over(storage.clone()).find_trace_ids(by_service("s"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractBroken, "{error}");
    assert!(error.message().contains("older than a match"), "{error}");
    assert_eq!(*storage.memory.reports.lock().unwrap(), [error.to_string()]);
}

#[test]
fn the_third_page_of_sightings_is_asked_for_before_the_second_is_judged() {
    let memory = too_old(|page| page == 1).one_at_a_time();
    let storage = Watched::new(memory, &["find"; 3], Box::new(|_| Ok(())));
    let error = run(over(storage).find_trace_ids(by_service("s"))).unwrap_err();
    assert!(error.message().contains("older than a match"), "{error}");
}

#[test]
fn the_error_of_a_page_that_was_read_ahead_comes_when_the_page_is_wanted() {
    let fails = |number: usize| match number {
        0..=3 => Ok(()),
        _ => Err(ErrorKind::Unavailable),
    };
    let storage = Watched::new(Memory::of(&traces(9)), &[], Box::new(fails));
    let error = run(over(storage).find_trace_ids(by_service("s"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "read 4");
}

#[test]
fn a_page_for_which_there_was_no_room_ahead_is_asked_for_again() {
    let fails = |number: usize| match number {
        1 => Err(ErrorKind::ResourceExhausted),
        _ => Ok(()),
    };
    let storage = Watched::new(Memory::of(&traces(9)), &[], Box::new(fails));
    let found = run(over(storage).find_trace_ids(by_service("s"))).unwrap();
    assert_eq!(found.trace_ids.len(), 9);
}

#[test]
fn nothing_is_read_ahead_for_a_search_that_ends_on_its_first_page() {
    let memory = Arc::new(Memory::of(&traces(2000)));
    let query = TraceQueryParameters {
        search_depth: 20,
        ..by_service("s")
    };
    let searcher = with_tasks(searcher(&memory, limits()));
    let found = run(searcher.find_trace_ids(query)).unwrap();
    assert_eq!(found.trace_ids.len(), 20);
    assert_eq!(memory.finds.load(Ordering::Relaxed), 1);
    // One of digests to judge, and one of the traces found.
    assert_eq!(memory.reads.load(Ordering::Relaxed), 2);
}

/// What a search answers and costs, or its error.
fn cost(searcher: &Searcher) -> String {
    let query = Explained::Traces(by_service("s"));
    let mut explained = run(searcher.explain(query)).unwrap();
    explained.find_ms = 0.0;
    explained.read_ms = 0.0;
    explained.judge_ms = 0.0;
    format!("{explained:?}")
}

#[test]
fn a_query_spends_the_same_of_its_budget_with_tasks_and_without() {
    let memories = [
        Memory::of(&traces(60)),
        Memory::of(&traces(60)).one_at_a_time(),
    ];
    for memory in memories.map(Arc::new) {
        let whole = cost(&searcher(&memory, limits()));
        assert!(whole.contains("matched: 60"), "{whole}");
        for most in [1, 2, 7, 59, 60, 1000, 5000, 10_000] {
            for limits in [
                Limits {
                    judged_spans: most,
                    ..limits()
                },
                Limits {
                    read_bytes: most,
                    ..limits()
                },
            ] {
                let searcher = searcher(&memory, limits);
                let in_turn = cost(&searcher);
                assert_eq!(cost(&with_tasks(searcher)), in_turn, "{limits:?}");
            }
        }
    }
}

/// A memory whose reads never end after the first page. Each tells that it has begun, with a channel that closes when it is dropped.
struct Stalled {
    memory: Memory,
    begun: tokio::sync::mpsc::UnboundedSender<oneshot::Receiver<()>>,
}

#[async_trait::async_trait]
impl Storage for Stalled {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.memory.write(batch).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.memory.find(search, resume, limit).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        _: u32,
    ) -> Result<Pieces, Error> {
        if resume.is_some() {
            let (_held, dropped) = oneshot::channel();
            self.begun.send(dropped).unwrap();
            return pending().await;
        }
        self.memory.read(wanted, part, resume, 1).await
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.memory.services().await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        self.memory.operations(service).await
    }

    fn report(&self, breach: &Error) {
        self.memory.report(breach);
    }
}

#[test]
fn a_page_that_is_read_ahead_ends_with_its_answer() {
    let (begun, mut reads) = tokio::sync::mpsc::unbounded_channel();
    let memory = Memory::of(&traces(9));
    let searcher = over(Arc::new(Stalled { memory, begun }));
    run(async {
        let mut answer = Box::pin(searcher.find_trace_ids(by_service("s")));
        let dropped = tokio::select! {
            answer = &mut answer => panic!("it has no second page: {answer:?}"),
            begun = reads.recv() => begun.unwrap(),
        };
        drop(answer);
        // The other end is gone.
        dropped.await.unwrap_err();
    });
}

#[test]
fn the_first_error_of_dependencies_is_that_of_the_traces_read_first() {
    // The digest of the first trace cannot be read, and neither can anything of the second batch.
    let mut memory = Memory::of(&traces(1100));
    memory.lie_about_pieces = Some(Box::new(|page| {
        if let Some(first) = page.pieces.first_mut() {
            first.bytes = vec![0xff; 3];
        }
    }));
    let fails = |number: usize| match number {
        0..512 => Ok(()),
        _ => Err(ErrorKind::Unavailable),
    };
    let storage = Watched::new(memory, &[], Box::new(fails));
    let request = GetDependenciesRequest {
        start_time: Some(timestamp(0)),
        end_time: None,
    };
    let error = run(over(storage).dependencies(request, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
}
