//! Runs a plugin beside a plain list, and checks every call.

use std::collections::{BTreeMap, BTreeSet};

use super::fragment::{FragmentBuilder, batch};
use super::stored::Stored;
use crate::{
    Counts, Error, Instancing, Operation, Part, Piece, Plugin, Search, Sighting, Timestamp,
    TraceId, Wanted,
};

/// More pages than any test reads: a plugin that never ends fails instead of hanging.
const MAX_PAGES: usize = 1_000_000;

/// A plugin under test, and its expected contents.
#[derive(Debug)]
pub struct Harness<P> {
    plugin: P,
    stored: Stored,
    max_traces: Option<usize>,
    evicted_traces: u64,
    evicted_spans: u64,
    /// The stored traces of which the plugin keeps only the beginning.
    cuts: BTreeMap<TraceId, Cut>,
    written: u64,
    now: Timestamp,
}

/// A trace of which only the beginning is kept.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The number of its fragments that are kept.
    kept: usize,
    /// The number of spans that were dropped.
    dropped: u64,
}

// === impl Harness ===

impl<P: Plugin> Harness<P> {
    /// Opens the plugin as a writer with 1 GiB and these settings.
    pub fn open(settings: &[(&str, &str)]) -> Result<Self, Error> {
        P::open(super::environment(settings)).map(Self::new)
    }

    /// Takes an opened plugin that is still empty.
    pub fn new(plugin: P) -> Self {
        Self {
            plugin,
            stored: Stored::default(),
            max_traces: None,
            evicted_traces: 0,
            evicted_spans: 0,
            cuts: BTreeMap::new(),
            written: 0,
            now: 1,
        }
    }

    /// Expects the plugin to evict the trace that was first written before all others whenever one more trace than `max` would be
    /// stored.
    #[must_use]
    pub fn with_max_traces(mut self, max: usize) -> Self {
        self.max_traces = Some(max);
        self
    }

    /// Returns the plugin.
    pub fn plugin(&mut self) -> &mut P {
        &mut self.plugin
    }

    /// Begins a query, as the host does: an instance of several looks for what the others have written.
    fn begin_query(&mut self) {
        if P::INSTANCING == Instancing::Replicated {
            assert_eq!(self.plugin.refresh(), Ok(()), "`refresh`");
        }
    }

    /// Returns its expected contents.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Writes these fragments at once, as one batch or as two. Each digest and `otlp` is prefixed with a number, so that no two are equal.
    ///
    /// Evictions that the plugin reports beyond [`Harness::with_max_traces`] are applied to the list, oldest written trace first, and
    /// the counts are compared. The list cannot know at which point of a write they happened, so a write must not contain a trace that
    /// may just have been evicted. Then the end of a trace that the plugin has dropped is removed from the list.
    pub fn write(&mut self, fragments: impl IntoIterator<Item = FragmentBuilder>) -> Counts {
        let numbered = fragments.into_iter().map(|mut fragment| {
            self.written += 1;
            fragment.number(self.written);
            fragment
        });
        let mut batches = vec![numbered.collect::<Vec<_>>()];
        if let Some(first) = batches.first_mut()
            && first.len() > 1
            && self.now.is_multiple_of(2)
        {
            let second = first.split_off(first.len() / 2);
            batches.push(second);
        }
        for fragment in batches.iter().flatten() {
            let traces = self.stored.traces();
            let is_new = !traces.contains(&fragment.trace_id());
            if is_new && self.max_traces.is_some_and(|max| traces.len() >= max) {
                self.evict_oldest();
            }
            self.stored.push(fragment.clone());
        }
        let batches = batches.into_iter().map(batch).collect();
        let written = self.plugin.write(self.now, batches);
        assert_eq!(written, Ok(()), "`write`");
        self.now += 1;
        self.check_counts()
    }

    fn evict_oldest(&mut self) {
        self.evicted_traces += 1;
        self.evicted_spans += self.stored.evict_oldest();
    }

    /// Removes evicted traces, and the dropped ends of others, from the list and asserts that the plugin's counts are those of the list.
    /// A plugin that counts nothing passes.
    pub fn check_counts(&mut self) -> Counts {
        let counts = self.plugin.statistics();
        if counts == Counts::default() {
            return counts;
        }
        while self.evicted_traces < counts.evicted_traces {
            self.evict_oldest();
        }
        let traces = self.stored.traces();
        self.cuts.retain(|id, _| traces.contains(id));
        if self.evicted_spans < counts.evicted_spans {
            self.remove_dropped();
        }
        for (id, cut) in &self.cuts {
            let kept = self.stored.of_trace(*id).count();
            assert_eq!(kept, cut.kept, "fragments of {id:?}, which was cut");
        }
        assert_eq!(counts.evicted_traces, self.evicted_traces, "evicted traces");
        assert_eq!(counts.evicted_spans, self.evicted_spans, "evicted spans");
        // Counting traces is optional: a fragment's trace may have been stored before, which is costly to find out.
        if counts.traces != 0 {
            assert_eq!(counts.traces, self.stored.traces().len() as u64, "traces");
        }
        assert_eq!(counts.spans, self.stored.spans(), "spans");
        counts
    }

    /// Removes the fragments at the end of each trace that the plugin has dropped. [`Harness::check_traces`] compares those that it keeps.
    fn remove_dropped(&mut self) {
        self.begin_query();
        for id in self.stored.traces() {
            let kept = self.read(&Wanted::Traces(vec![id]), Part::Otlp, u32::MAX);
            let kept = kept.len();
            if kept < self.stored.of_trace(id).count() {
                let dropped = self.stored.truncate(id, kept);
                self.evicted_spans += dropped;
                let first = Cut { kept, dropped: 0 };
                self.cuts.entry(id).or_insert(first).dropped += dropped;
            }
        }
    }

    /// Returns all sightings of a search, page by page with this limit. Checks each page and the whole.
    pub fn find(&mut self, search: &Search, limit: u32) -> Vec<Sighting> {
        self.find_between(search, || limit, |_| {})
    }

    /// Like [`Harness::find`], with a limit for each page, and with a call between pages.
    pub fn find_between(
        &mut self,
        search: &Search,
        mut limit: impl FnMut() -> u32,
        mut between: impl FnMut(&mut Self),
    ) -> Vec<Sighting> {
        self.begin_query();
        let due = Coverage::new(&self.stored, search);
        let mut covered = BTreeMap::new();
        let mut all = Vec::new();
        let mut floor = Timestamp::MAX;
        let mut resume: Option<Vec<u8>> = None;
        for _ in 0..MAX_PAGES {
            let limit = limit();
            let page = self.plugin.find(search, resume.as_deref(), limit);
            let page = match page {
                Ok(page) => page,
                Err(error) => unreachable!("`find` failed: {error:?}"),
            };
            assert!(
                page.found.len() <= limit as usize,
                "a page of {} sightings for a limit of {limit}",
                page.found.len()
            );
            assert!(page.floor <= floor, "the floor rose to {}", page.floor);
            for sighting in &page.found {
                assert!(
                    sighting.newest <= floor,
                    "{sighting:?} is newer than the floor {floor} of the page before"
                );
                self.cover(sighting, &mut covered);
            }
            all.extend(page.found);
            floor = page.floor;
            if page.resume.is_none() {
                due.check(&self.stored, &covered);
                return all;
            }
            assert_ne!(page.resume, resume, "`resume` must differ from the last");
            resume = page.resume;
            between(self);
        }
        unreachable!("`find` has given {MAX_PAGES} pages and no end")
    }

    /// Records the fragments, by their digests, that a sighting stands for, and up to which start.
    fn cover(&mut self, sighting: &Sighting, covered: &mut BTreeMap<Vec<u8>, Timestamp>) {
        let digests: Vec<Vec<u8>> = if let Some(handle) = sighting.fragment {
            let pieces = self.read(&Wanted::Fragments(vec![handle]), Part::Digest, u32::MAX);
            for piece in &pieces {
                assert_eq!(piece.trace_id, sighting.trace_id, "a fragment's trace");
            }
            pieces.into_iter().map(|piece| piece.bytes).collect()
        } else {
            let all = self.stored.of_trace(sighting.trace_id);
            all.map(|fragment| fragment.digest.clone()).collect()
        };
        for digest in digests {
            let newest = covered.entry(digest).or_default();
            *newest = sighting.newest.max(*newest);
        }
    }

    /// Returns all pieces, page by page, and checks each page. A part of a query: the plugin is not refreshed.
    pub fn read(&mut self, wanted: &Wanted, part: Part, max_bytes: u32) -> Vec<Piece> {
        let mut all = Vec::new();
        let mut resume: Option<Vec<u8>> = None;
        for _ in 0..MAX_PAGES {
            let page = self.plugin.read(wanted, part, resume.as_deref(), max_bytes);
            let page = match page {
                Ok(page) => page,
                Err(error) => unreachable!("`read` failed: {error:?}"),
            };
            let bytes: usize = page.pieces.iter().map(|piece| piece.bytes.len()).sum();
            let last = page.pieces.last().map_or(0, |piece| piece.bytes.len());
            assert!(
                bytes - last <= max_bytes as usize,
                "a page of {bytes} bytes for {max_bytes}"
            );
            all.extend(page.pieces);
            if page.resume.is_none() {
                return all;
            }
            assert_ne!(page.resume, resume, "`resume` must differ from the last");
            resume = page.resume;
        }
        unreachable!("`read` has given {MAX_PAGES} pages and no end")
    }

    /// Reads both parts of these traces and asserts that they are as written.
    pub fn check_traces(&mut self, ids: &[TraceId], max_bytes: u32) {
        self.begin_query();
        let wanted = Wanted::Traces(ids.to_vec());
        let otlp = self.read(&wanted, Part::Otlp, max_bytes);
        let found: Vec<_> = otlp.iter().map(|it| (it.trace_id, &it.bytes)).collect();
        let due = ids.iter().flat_map(|id| self.stored.of_trace(*id));
        let due: Vec<_> = due.map(|it| (it.trace_id, &it.otlp)).collect();
        assert_eq!(found, due, "otlp of {ids:?}");
        self.check_dropped(ids, &otlp);

        let digests = self.read(&wanted, Part::Digest, max_bytes);
        let found: BTreeSet<_> = digests.iter().map(|it| (it.trace_id, &it.bytes)).collect();
        let due = ids.iter().flat_map(|id| self.stored.of_trace(*id));
        let due: BTreeSet<_> = due.map(|it| (it.trace_id, &it.digest)).collect();
        assert_eq!(found, due, "digests of {ids:?}");

        // A fragment has one handle for both of its parts, and can be read by it.
        let handles: BTreeSet<_> = otlp.iter().map(|it| it.fragment).collect();
        let same: BTreeSet<_> = digests.iter().map(|it| it.fragment).collect();
        assert_eq!(handles, same, "handles of {ids:?}");
        let wanted = Wanted::Fragments(otlp.iter().map(|it| it.fragment).collect());
        let again = self.read(&wanted, Part::Otlp, max_bytes);
        assert_eq!(again, otlp, "the same by handle");
    }

    /// Asserts that the first piece of each trace, and no other, has the number of spans that were dropped.
    fn check_dropped(&self, ids: &[TraceId], pieces: &[Piece]) {
        let found: Vec<u64> = pieces.iter().map(|it| it.dropped_spans).collect();
        let due = ids.iter().flat_map(|id| {
            let dropped = self.cuts.get(id).map_or(0, |cut| cut.dropped);
            let places = 0..self.stored.of_trace(*id).count();
            places.map(move |place| if place == 0 { dropped } else { 0 })
        });
        assert_eq!(found, due.collect::<Vec<_>>(), "dropped spans of {ids:?}");
    }

    /// Asserts that services and operations are those of the stored fragments.
    pub fn check_operations(&mut self) {
        self.begin_query();
        let due = self.stored.operations();
        let services: BTreeSet<String> = due.iter().map(|it| it.service.clone()).collect();
        let mut found = self.plugin.services().unwrap_or_default();
        found.sort();
        assert_eq!(
            found,
            services.iter().cloned().collect::<Vec<_>>(),
            "services"
        );
        for service in &services {
            let mut found = self.plugin.operations(service).unwrap_or_default();
            found.sort();
            let due = due.iter().filter(|it| it.service == *service);
            let due: Vec<Operation> = due.cloned().collect();
            assert_eq!(found, due, "operations of {service}");
        }
        assert_eq!(self.plugin.operations("no such service"), Ok(Vec::new()));
    }

    /// Checks everything: all traces, operations and counts, and a search that matches everything.
    pub fn check_all(&mut self) {
        let ids: Vec<TraceId> = self.stored.traces().into_iter().collect();
        self.check_traces(&ids, 1000);
        self.check_operations();
        self.check_counts();
        self.find(&Search::all(), 100);
    }
}

/// The matches that a search must return.
struct Coverage {
    /// The digest of each, and the least `newest` of its sighting.
    due: Vec<(Vec<u8>, Timestamp)>,
}

// === impl Coverage ===

impl Coverage {
    fn new(stored: &Stored, search: &Search) -> Self {
        let matching = stored.matching(search);
        Self {
            due: matching
                .map(|it| (it.digest.clone(), search.newest(&it.starts)))
                .collect(),
        }
    }

    /// Asserts that each match is covered, except for those evicted since.
    fn check(&self, stored: &Stored, covered: &BTreeMap<Vec<u8>, Timestamp>) {
        let alive: BTreeSet<&[u8]> = stored.fragments().map(|it| it.digest.as_slice()).collect();
        for (digest, newest) in &self.due {
            if alive.contains(digest.as_slice()) {
                let told = covered.get(digest);
                assert!(
                    told.is_some_and(|told| told >= newest),
                    "fragment {digest:?} of {newest} is not covered: {told:?}"
                );
            }
        }
    }
}
