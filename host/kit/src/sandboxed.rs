//! The plugin in the sandbox: a writer, and for a `replicated` plugin readers beside it, which take the calls of a query in turns.

use std::time::Instant;

use larder_plugin::testing::{Breach, Called, Subject, answered, raised};
use larder_plugin::{
    Batch, Counts, Instancing, Operation, Part, Pieces, Search, Sightings, Timestamp, Wanted,
};
use larder_runtime::plugin::{Direct, Place};

use crate::convert;
use crate::world::{Opening, World};

/// More steps of upkeep than a small store can need.
const MAX_STEPS: usize = 10_000;

/// See the module.
pub(crate) struct Sandboxed<'w> {
    world: &'w World,
    place: Place,
    writer: Direct,
    readers: Vec<Direct>,
    /// The number of calls of a query so far.
    turn: usize,
}

// === impl Sandboxed ===

impl<'w> Sandboxed<'w> {
    /// Takes the writer and the readers that were opened on this store.
    pub(crate) fn new(
        world: &'w World,
        place: Place,
        (writer, readers): (Direct, Vec<Direct>),
    ) -> Self {
        Self {
            world,
            place,
            writer,
            readers,
            turn: 0,
        }
    }

    /// Ends all instances and opens new ones on the same store, as after a crash of the host.
    pub(crate) fn reopen(&mut self) -> Result<(), Breach> {
        let opened = self
            .world
            .open_on(self.place.clone(), &Opening::default())?;
        match opened {
            Ok(opened) => {
                (self.writer, self.readers) = (opened.writer, opened.readers);
                Ok(())
            }
            Err(error) => Err(Breach::new(
                "open.again",
                format!(
                    "`open` on a store that it has written to raised {}",
                    raised(&error)
                ),
            )),
        }
    }

    /// The store that it is opened on.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// One step of upkeep.
    pub(crate) fn maintain(&mut self, now: Timestamp) -> Called<bool> {
        let begun = Instant::now();
        let called = self.world.block_on(self.writer.maintain(now));
        self.took("maintain", begun);
        convert::called("maintain", called, |more| more)
    }

    /// Steps of upkeep until there is nothing to do.
    ///
    /// # Errors
    /// `maintain.end` if that is never so.
    pub(crate) fn maintain_all(&mut self, now: Timestamp) -> Result<(), Breach> {
        for _ in 0..MAX_STEPS {
            if !answered("maintain", self.maintain(now))? {
                return Ok(());
            }
        }
        let text = format!("`maintain` has said {MAX_STEPS} times that there is more to do");
        Err(Breach::new("maintain.end", text))
    }

    /// Whether the writer's id may be forgotten.
    pub(crate) fn retire(&mut self) -> Called<bool> {
        let called = self.world.block_on(self.writer.retire());
        convert::called("retire", called, |is_gone| is_gone)
    }

    /// All steps of `check`.
    ///
    /// # Errors
    /// `check.sound` if something is damaged, `check.end` if it never ends.
    pub(crate) fn check_all(&mut self) -> Result<(), Breach> {
        let mut resume: Option<Vec<u8>> = None;
        for _ in 0..MAX_STEPS {
            let called = self.world.block_on(self.writer.check(resume.as_deref()));
            let step = answered("check", convert::called("check", called, |step| step))?;
            if let Some(line) = step.damaged.first() {
                let text = format!("`check` tells of damage where there is none: {line}");
                return Err(Breach::new("check.sound", text));
            }
            resume = step.resume;
            if resume.is_none() {
                return Ok(());
            }
        }
        let text = format!("`check` has gone {MAX_STEPS} steps and is not at its end");
        Err(Breach::new("check.end", text))
    }

    fn took(&self, function: &'static str, begun: Instant) {
        let took = begun.elapsed();
        self.world.note(|notes| notes.took(function, took));
    }

    /// The instance whose turn it is.
    fn reader(&mut self) -> &mut Direct {
        self.turn += 1;
        let place = self.turn % (self.readers.len() + 1);
        match place.checked_sub(1) {
            Some(place) => self.readers.get_mut(place).unwrap_or(&mut self.writer),
            None => &mut self.writer,
        }
    }
}

impl Subject for Sandboxed<'_> {
    fn instancing(&self) -> Instancing {
        if self.world.is_replicated() {
            Instancing::Replicated
        } else {
            Instancing::Exclusive
        }
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Called<()> {
        let batches: Vec<_> = batches.iter().map(convert::batch).collect();
        let lent: Vec<_> = batches.iter().collect();
        let begun = Instant::now();
        let called = self.world.block_on(self.writer.write(now, &lent));
        self.took("write", begun);
        convert::called("write", called, |()| ())
    }

    fn refresh(&mut self) -> Called<()> {
        if !self.world.is_replicated() {
            return Ok(Ok(()));
        }
        let begun = Instant::now();
        for instance in self.readers.iter_mut().chain([&mut self.writer]) {
            let called = self.world.block_on(instance.refresh());
            if let Err(error) = convert::called("refresh", called, |()| ())? {
                return Ok(Err(error));
            }
        }
        self.took("refresh", begun);
        Ok(Ok(()))
    }

    fn find(&mut self, search: &Search, resume: Option<&[u8]>, limit: u32) -> Called<Sightings> {
        let search = convert::search(search);
        let (world, begun) = (self.world, Instant::now());
        let called = world.block_on(self.reader().find(&search, resume, limit));
        self.took("find", begun);
        let page = convert::called("find", called, convert::sightings)?;
        if let Ok(page) = &page {
            self.world.note(|notes| notes.page(page));
        }
        Ok(page)
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Called<Pieces> {
        let (wanted, part) = (convert::wanted(wanted), convert::part(part));
        let (world, begun) = (self.world, Instant::now());
        let called = self.reader().read(&wanted, part, resume, max_bytes);
        let called = world.block_on(called);
        self.took("read", begun);
        convert::called("read", called, convert::pieces)
    }

    fn services(&mut self) -> Called<Vec<String>> {
        let (world, begun) = (self.world, Instant::now());
        let called = world.block_on(self.reader().services());
        self.took("services", begun);
        convert::called("services", called, |services| services)
    }

    fn operations(&mut self, service: &str) -> Called<Vec<Operation>> {
        let (world, begun) = (self.world, Instant::now());
        let called = world.block_on(self.reader().operations(service));
        self.took("operations", begun);
        convert::called("operations", called, convert::operations)
    }

    fn statistics(&mut self) -> Result<Counts, Breach> {
        let counted = self.world.block_on(self.writer.statistics());
        let counted = counted.map_err(|it| convert::ended("statistics", &it))?;
        Ok(convert::counts(counted))
    }
}
