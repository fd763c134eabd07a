//! Long lists, whose runs are read only for the chunks that need them.

use larder_plugin::Error;

use super::places::{self, Places};
use crate::cache::Value;
use crate::codec::Damaged;
use crate::frame::{Area, Fault, Kind};
use crate::index::lists::{Ordinals, Run};
use crate::index::{CHUNK, CHUNK_BITS};
use crate::store::{Store, Writer, lost};

/// Approximate bytes of a page of runs.
const PAGE: usize = 17 << 10;

/// A list that is cut into runs.
#[derive(Debug)]
pub(super) struct Long {
    runs: Vec<Run>,
    /// The page of runs that was read last, with its number.
    page: Option<(u32, Value)>,
}

// === impl Long ===

impl Long {
    /// Refers to the list with these runs; reads nothing.
    pub(super) fn new(runs: Vec<Run>) -> Self {
        Self { runs, page: None }
    }

    /// Returns the number of its runs.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Marks the list's fragments of a chunk. Those outside of the range of places, both ends included, may be skipped.
    pub(super) fn add(
        &mut self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        (chunk, range): (u32, (u32, u32)),
        places: &mut Places,
    ) -> Result<(), Error> {
        let after = self.after(chunk);
        let Some(run) = after.checked_sub(1).and_then(|at| self.runs.get(at)) else {
            return Ok(());
        };
        let run = *run;
        let first = chunk.checked_mul(CHUNK).ok_or_else(|| {
            let number = u64::from(run.page);
            lost(writer, area, Kind::Runs, number, Fault::Damaged)
        })?;
        let range = (
            first.saturating_add(range.0),
            first.saturating_add(range.1).saturating_add(1),
        );
        let is_known = self.read(store, (writer, area), &run, |list| {
            list.each_between(range, |it| places::set(places, it))
        })?;
        if !is_known {
            *places = places::ALL;
        }
        Ok(())
    }

    /// Notes the page of the run of a chunk for the plan of the store.
    pub(super) fn expect(&self, store: &mut Store, (writer, area): (&Writer, Area), chunk: u32) {
        let run = self.after(chunk).checked_sub(1);
        if let Some(run) = run.and_then(|at| self.runs.get(at)) {
            store.expect(writer, (area, Kind::Runs, u64::from(run.page)), PAGE);
        }
    }

    /// Sets `has` for those of the ascending ordinals that the list contains.
    pub(super) fn look_for(
        &mut self,
        store: &mut Store,
        at: (&Writer, Area),
        mut wanted: &[u32],
        mut has: &mut [bool],
    ) -> Result<(), Error> {
        while let Some(first) = wanted.first() {
            let after = self.after(first >> CHUNK_BITS);
            let end = self
                .runs
                .get(after)
                .map(|next| next.chunk.saturating_mul(CHUNK));
            let these = wanted.partition_point(|it| end.is_none_or(|end| *it < end));
            let (of_run, rest) = wanted.split_at(these);
            let (has_run, has_rest) = has.split_at_mut(these);
            (wanted, has) = (rest, has_rest);
            let run = after
                .checked_sub(1)
                .and_then(|at| self.runs.get(at))
                .copied();
            let Some(run) = run else {
                continue;
            };
            let is_known = self.read(store, at, &run, |list| {
                list.mark(of_run, &mut *has_run).map(|_| ())
            });
            if is_known.is_err() {
                for row in wanted {
                    self.expect(store, at, row >> CHUNK_BITS);
                }
            }
            if !is_known? {
                has_run.fill(true);
            }
        }
        Ok(())
    }

    /// Returns the number of runs that begin at or before this chunk. The last of them covers the chunks up to the next run's.
    fn after(&self, chunk: u32) -> usize {
        self.runs.partition_point(|it| it.chunk <= chunk)
    }

    /// Reads a run. Returns false, and does not call `read`, if a repair replaced its page: any fragment may be in it.
    fn read(
        &mut self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        run: &Run,
        read: impl FnOnce(&mut Ordinals<'_>) -> Result<(), Damaged>,
    ) -> Result<bool, Error> {
        let number = u64::from(run.page);
        let value = match self.page.take() {
            Some((page, value)) if page == run.page => value,
            _ => store.read(writer, area, Kind::Runs, number)?,
        };
        let (_, value) = self.page.insert((run.page, value));
        if value.payload().is_empty() {
            return Ok(false);
        }
        let bytes = run.of(value.payload()).and_then(|it| Ok((it, run.base()?)));
        bytes
            .and_then(|(bytes, base)| read(&mut Ordinals::new(bytes, base)))
            .map(|()| true)
            .map_err(|Damaged| lost(writer, area, Kind::Runs, number, Fault::Damaged))
    }
}
