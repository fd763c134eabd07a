//! A plugin that is tested natively: each breach of the contract fails the test.

use super::checker::Checker;
use super::finding::Finding;
use super::fragment::FragmentBuilder;
use super::stored::Stored;
use super::subject::{Breach, Native};
use crate::{Counts, Error, Part, Piece, Plugin, Search, Sighting, TraceId, Wanted};

/// A plugin under test, and its expected contents: a [`Checker`] that panics.
#[derive(Debug)]
pub struct Harness<P>(Checker<Native<P>>);

// === impl Harness ===

impl<P: Plugin> Harness<P> {
    /// Opens the plugin as a writer with 1 GiB and these settings.
    pub fn open(settings: &[(&str, &str)]) -> Result<Self, Error> {
        P::open(super::environment(settings)).map(Self::new)
    }

    /// Takes an opened plugin that is still empty.
    pub fn new(plugin: P) -> Self {
        let mut checker = Checker::new(Native(plugin));
        checker.expect_all_counters();
        Self(checker)
    }

    /// As [`Checker::set_max_traces`].
    #[must_use]
    pub fn with_max_traces(mut self, max: usize) -> Self {
        self.0.set_max_traces(max);
        self
    }

    /// Returns the plugin.
    pub fn plugin(&mut self) -> &mut P {
        &mut self.0.subject().0
    }

    /// Returns its expected contents.
    pub fn stored(&self) -> &Stored {
        self.0.stored()
    }

    /// As [`Checker::write`].
    pub fn write(&mut self, fragments: impl IntoIterator<Item = FragmentBuilder>) -> Counts {
        kept(self.0.write(fragments))
    }

    /// As [`Checker::check_counts`].
    pub fn check_counts(&mut self) -> Counts {
        kept(self.0.check_counts())
    }

    /// Returns all sightings of a search, page by page with this limit. Checks each page and the whole.
    pub fn find(&mut self, search: &Search, limit: u32) -> Vec<Sighting> {
        kept(self.0.find(search, || limit))
    }

    /// Like [`Harness::find`], with a limit for each page, and with a call between pages.
    pub fn find_between(
        &mut self,
        search: &Search,
        mut limit: impl FnMut() -> u32,
        mut between: impl FnMut(&mut Self),
    ) -> Vec<Sighting> {
        let mut finding = kept(Finding::begin(&mut self.0, search));
        while kept(finding.page(&mut self.0, limit())) {
            between(self);
        }
        kept(finding.end(&self.0))
    }

    /// As [`Checker::read`].
    pub fn read(&mut self, wanted: &Wanted, part: Part, max_bytes: u32) -> Vec<Piece> {
        kept(self.0.read(wanted, part, max_bytes))
    }

    /// As [`Checker::check_traces`].
    pub fn check_traces(&mut self, ids: &[TraceId], max_bytes: u32) {
        kept(self.0.check_traces(ids, max_bytes));
    }

    /// As [`Checker::check_operations`].
    pub fn check_operations(&mut self) {
        kept(self.0.check_operations());
    }

    /// As [`Checker::check_all`].
    pub fn check_all(&mut self) {
        kept(self.0.check_all());
    }
}

fn kept<T>(checked: Result<T, Breach>) -> T {
    match checked {
        Ok(checked) => checked,
        Err(breach) => unreachable!("the contract is broken: {breach}"),
    }
}
