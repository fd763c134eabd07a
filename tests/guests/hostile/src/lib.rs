//! A guest that keeps traces as it should, until the name of a service tells it to misbehave: every way a plugin can fail its
//! host, in one component. `tests/tests/faults` has a test for each behaviour.
//!
//! A behaviour acts on what bears its name: a batch with a span of that service, a search for that service, a read of a trace
//! that has a span of it.

mod behaviour;
mod shelf;

use std::time::{Duration, Instant};

use behaviour::{Behaviour, Place};
use larder_plugin::{
    Batch, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Search, Sightings,
    Timestamp, Wanted, log, settings,
};
use shelf::Shelf;

larder_plugin::export!(Hostile);

/// The shelf, and nothing good.
#[derive(Debug, Default)]
pub struct Hostile {
    shelf: Shelf,
}

impl Plugin for Hostile {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = "1.0.0";
    const INSTANCING: Instancing = Instancing::Exclusive;

    fn open(environment: Environment) -> Result<Self, Error> {
        let settings = settings::Settings::new(&environment, &["open"]);
        match settings.text("open") {
            Some("trap") => trap(),
            Some("spin") => spin(),
            Some("unavailable") => Err(Error::Unavailable("the shelf is on fire".to_owned())),
            _ => settings.finish().map(|()| Self::default()),
        }
    }

    fn write(&mut self, _now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        let terms = batches.iter().map(|batch| &batch.terms[..]);
        match Behaviour::among(Place::Write, terms) {
            Some(Behaviour::Trap) => trap(),
            Some(Behaviour::Spin) => spin(),
            Some(Behaviour::Grow) => grow(),
            Some(Behaviour::Shout) => shout(),
            Some(Behaviour::Linger) => linger(),
            Some(Behaviour::Raise(error)) => return Err(error),
            _ => {}
        }
        self.shelf.write(batches);
        Ok(())
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let clauses = search.clauses.iter().map(Vec::as_slice);
        let behaviour = Behaviour::among(Place::Find, clauses);
        match behaviour {
            Some(Behaviour::Trap) => trap(),
            Some(Behaviour::Spin) => spin(),
            Some(Behaviour::Raise(error)) => return Err(error),
            _ => {}
        }
        let page = self.shelf.find(search);
        Ok(behaviour::find(behaviour.as_ref(), page, resume, limit))
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        _max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let fragments = self.shelf.wanted(wanted);
        let terms = fragments.iter().map(|(_, fragment)| fragment.terms);
        let behaviour = Behaviour::among(Place::Read, terms);
        match behaviour {
            Some(Behaviour::Trap) => trap(),
            Some(Behaviour::Spin) => spin(),
            Some(Behaviour::Raise(error)) => return Err(error),
            _ => {}
        }
        let page = shelf::pieces(&fragments, part);
        Ok(behaviour::read(behaviour.as_ref(), page, part, resume))
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let mut services = self.shelf.services();
        match Behaviour::of_services(&services) {
            Some(Behaviour::Trap) => trap(),
            Some(Behaviour::Spin) => spin(),
            Some(Behaviour::Twice) => services.extend(services.clone()),
            Some(Behaviour::Nameless) => services.push(String::new()),
            _ => {}
        }
        Ok(services)
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let mut operations = self.shelf.operations(service);
        match Behaviour::of_service(Place::Operations, service) {
            Some(Behaviour::Trap) => trap(),
            Some(Behaviour::Spin) => spin(),
            Some(Behaviour::Twice) => operations.extend(operations.clone()),
            Some(Behaviour::Unasked) => {
                for operation in &mut operations {
                    operation.service.push('!');
                }
            }
            _ => {}
        }
        Ok(operations)
    }
}

#[expect(clippy::panic, reason = "what this guest is for")]
fn trap() -> ! {
    panic!("the guest was told to trap")
}

#[expect(clippy::empty_loop, reason = "what this guest is for")]
fn spin() -> ! {
    log::info("the guest spins");
    loop {}
}

/// Takes memory until there is none.
fn grow() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

/// Logs far more than it may.
fn shout() {
    let line = "the guest shouts ".repeat(60);
    for _ in 0..10_000 {
        log::warn(&line);
    }
}

/// Takes its time, by the clock.
fn linger() {
    log::info("the guest is slow");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        std::hint::spin_loop();
    }
}
