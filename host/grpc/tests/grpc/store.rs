//! A storage that keeps nothing, and behaves as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use larder_model::storage::{
    Batch, Error, Operation, Part, Piece, Pieces, Search, Sightings, SpanKind, Storage, TraceId,
    Wanted,
};
use larder_tests::otlp::{request, service, span};
use prost::Message as _;
use tokio::sync::Semaphore;

/// What the next calls do.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Work.
    Work,
    /// Fail with this.
    Fail(Error),
    /// Panic.
    Panic,
    /// Wait for a permit, then work.
    Wait(Arc<Semaphore>),
}

/// Every trace that is asked for is there, with one span of so many bytes.
pub(crate) struct Store {
    behaviour: Mutex<Behaviour>,
    trace_bytes: usize,
    begun: AtomicUsize,
    spans_written: Mutex<u64>,
}

impl Store {
    pub(crate) fn new(trace_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Mutex::new(Behaviour::Work),
            trace_bytes,
            begun: AtomicUsize::new(0),
            spans_written: Mutex::new(0),
        })
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// How many calls have begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn spans_written(&self) -> u64 {
        *self.spans_written.lock().unwrap()
    }

    async fn act(&self) -> Result<(), Error> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        self.begun.fetch_add(1, Ordering::SeqCst);
        match behaviour {
            Behaviour::Work => Ok(()),
            Behaviour::Fail(error) => Err(error),
            Behaviour::Panic => panic!("the secret of this panic"),
            Behaviour::Wait(gate) => {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    }

    fn piece(&self, trace_id: TraceId) -> Piece {
        let filler = "x".repeat(self.trace_bytes);
        let span = span(trace_id.to_bytes(), 1).attribute("filler", filler);
        Piece {
            trace_id,
            fragment: u64::try_from(trace_id.0 & 0xffff).unwrap(),
            bytes: request([service("shop").span(span)]).encode_to_vec(),
        }
    }
}

#[async_trait]
impl Storage for Store {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.act().await?;
        let spans: u64 = batch
            .fragments()
            .map(|fragment| u64::from(fragment.facts.span_count))
            .sum();
        *self.spans_written.lock().unwrap() += spans;
        Ok(())
    }

    async fn find(&self, _: &Search, _: Option<&[u8]>, _: u32) -> Result<Sightings, Error> {
        self.act().await?;
        Ok(Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        })
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        _: Option<&[u8]>,
        _: u32,
    ) -> Result<Pieces, Error> {
        self.act().await?;
        assert_eq!(part, Part::Otlp);
        let Wanted::Traces(ids) = wanted else {
            panic!("only traces are asked for here");
        };
        Ok(Pieces {
            pieces: ids.iter().map(|id| self.piece(*id)).collect(),
            resume: None,
        })
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.act().await?;
        Ok(vec!["shop".to_owned()])
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        self.act().await?;
        Ok(vec![Operation {
            service: service.to_owned(),
            name: "buy".to_owned(),
            kind: SpanKind::Server,
        }])
    }

    fn report(&self, breach: &Error) {
        panic!("this storage keeps the contract: {breach}");
    }
}
