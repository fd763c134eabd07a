//! A storage that keeps nothing and behaves as a test sets it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use larder_model::storage::{
    Batch, Error, Operation, Part, Pieces, Search, Sightings, Storage, Wanted,
};

/// Behaviour of the next calls.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Work.
    Work,
    /// Fail with this.
    Fail(Error),
    /// Fail with this so many times, and work then.
    FailAtFirst(usize, Error),
    /// Panic.
    Panic,
}

/// A storage with one service and no traces.
pub(crate) struct Store {
    behaviour: Mutex<Behaviour>,
    begun: AtomicUsize,
    /// Whether other hosts can purge the tenant.
    pub(crate) is_shared: AtomicBool,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            behaviour: Mutex::new(Behaviour::Work),
            begun: AtomicUsize::new(0),
            is_shared: AtomicBool::new(false),
        }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The number of calls so far.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn act<T>(&self, answer: T) -> Result<T, Error> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        let begun = self.begun.fetch_add(1, Ordering::SeqCst);
        match behaviour {
            Behaviour::Work => Ok(answer),
            Behaviour::FailAtFirst(times, _) if begun >= times => Ok(answer),
            Behaviour::Fail(error) | Behaviour::FailAtFirst(_, error) => Err(error),
            Behaviour::Panic => panic!("the secret of this panic"),
        }
    }
}

#[async_trait]
impl Storage for Store {
    async fn write(&self, _: Batch) -> Result<(), Error> {
        self.act(())
    }

    async fn find(&self, _: &Search, _: Option<&[u8]>, _: u32) -> Result<Sightings, Error> {
        self.act(Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        })
    }

    async fn read(&self, _: &Wanted, _: Part, _: Option<&[u8]>, _: u32) -> Result<Pieces, Error> {
        self.act(Pieces {
            pieces: Vec::new(),
            resume: None,
        })
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.act(vec!["shop".to_owned()])
    }

    async fn operations(&self, _: &str) -> Result<Vec<Operation>, Error> {
        self.act(Vec::new())
    }

    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::SeqCst)
    }

    fn report(&self, breach: &Error) {
        panic!("this storage keeps the contract: {breach}");
    }
}
