//! Calls a plugin beside a plain list, and checks every answer.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::fragment::{FragmentBuilder, batch};
use super::pages::{answered, listed, read_all, these, this};
use super::stored::Stored;
use super::subject::{Breach, Subject};
use crate::{
    Counts, Instancing, Operation, Part, Piece, Search, Sighting, Timestamp, TraceId, Wanted,
};

/// A plugin under test, and its expected contents.
#[derive(Debug)]
pub struct Checker<S> {
    subject: S,
    stored: Stored,
    max_traces: Option<usize>,
    /// True for a plugin that counts everything, if it counts anything.
    counts_all: bool,
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

// === impl Checker ===

impl<S: Subject> Checker<S> {
    /// Takes an opened plugin that is still empty.
    pub fn new(subject: S) -> Self {
        Self {
            subject,
            stored: Stored::default(),
            max_traces: None,
            counts_all: false,
            evicted_traces: 0,
            evicted_spans: 0,
            cuts: BTreeMap::new(),
            written: 0,
            now: 1,
        }
    }

    /// Expects the plugin to evict the trace that was first written before all others whenever one more trace than `max` would be
    /// stored.
    pub fn set_max_traces(&mut self, max: usize) {
        self.max_traces = Some(max);
    }

    /// Expects the plugin to count everything, if it counts anything. A counter that is zero counts nothing otherwise.
    pub fn expect_all_counters(&mut self) {
        self.counts_all = true;
    }

    /// Returns what is tested.
    pub fn subject(&mut self) -> &mut S {
        &mut self.subject
    }

    /// Returns its expected contents.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The time of the next write: one more with each.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Begins a query, as the host does: an instance of several looks for what the others have written.
    pub fn begin_query(&mut self) -> Result<(), Breach> {
        if self.subject.instancing() == Instancing::Replicated {
            answered("refresh", self.subject.refresh())?;
        }
        Ok(())
    }

    /// Writes these fragments at once, as one batch or as two. Each digest and `otlp` is prefixed with a number, so that no two are equal.
    ///
    /// Evictions that the plugin reports beyond [`Checker::set_max_traces`] are applied to the list, oldest written trace first, and
    /// the counts are compared. The list cannot know at which point of a write they happened, so a write must not contain a trace that
    /// may just have been evicted. Then the end of a trace that the plugin has dropped is removed from the list.
    pub fn write(
        &mut self,
        fragments: impl IntoIterator<Item = FragmentBuilder>,
    ) -> Result<Counts, Breach> {
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
        answered("write", self.subject.write(self.now, batches))?;
        self.now += 1;
        self.check_counts()
    }

    /// Takes note that the plugin was opened anew, so that its counters of what has gone begin again.
    pub fn reopened(&mut self) {
        (self.evicted_traces, self.evicted_spans) = (0, 0);
    }

    fn evict_oldest(&mut self) {
        self.evicted_traces += 1;
        self.evicted_spans += self.stored.evict_oldest();
    }

    /// Removes evicted traces, and the dropped ends of others, from the list and checks that the plugin's counts are those of the list.
    /// A plugin that counts nothing passes.
    pub fn check_counts(&mut self) -> Result<Counts, Breach> {
        let counts = self.subject.statistics()?;
        if counts == Counts::default() {
            return Ok(counts);
        }
        while self.evicted_traces < counts.evicted_traces && !self.stored.traces().is_empty() {
            self.evict_oldest();
        }
        let traces = self.stored.traces();
        self.cuts.retain(|id, _| traces.contains(id));
        if self.evicted_spans < counts.evicted_spans {
            self.remove_dropped()?;
        }
        for (id, cut) in &self.cuts {
            let kept = self.stored.of_trace(*id).count();
            counted(
                "fragments of a trace that was cut",
                cut.kept as u64,
                kept as u64,
            )?;
        }
        let traces = self.stored.traces().len() as u64;
        let all = [
            ("evicted traces", counts.evicted_traces, self.evicted_traces),
            ("evicted spans", counts.evicted_spans, self.evicted_spans),
            ("spans", counts.spans, self.stored.spans()),
        ];
        for (what, told, due) in all {
            if told != 0 || self.counts_all {
                counted(what, told, due)?;
            }
        }
        // Counting traces is optional: a fragment's trace may have been stored before, which is costly to find out.
        if counts.traces != 0 {
            counted("traces", counts.traces, traces)?;
        }
        Ok(counts)
    }

    /// Removes the fragments at the end of each trace that the plugin has dropped. [`Checker::check_traces`] compares those that it keeps.
    fn remove_dropped(&mut self) -> Result<(), Breach> {
        self.begin_query()?;
        for id in self.stored.traces() {
            let kept = self.read(&Wanted::Traces(vec![id]), Part::Otlp, u32::MAX)?;
            let kept = kept.len();
            if kept < self.stored.of_trace(id).count() {
                let dropped = self.stored.truncate(id, kept);
                self.evicted_spans += dropped;
                let first = Cut { kept, dropped: 0 };
                self.cuts.entry(id).or_insert(first).dropped += dropped;
            }
        }
        Ok(())
    }

    /// Returns all sightings of a search, with these limits of its pages in turn. Checks each page and the whole.
    pub fn find(
        &mut self,
        search: &Search,
        mut limit: impl FnMut() -> u32,
    ) -> Result<Vec<Sighting>, Breach> {
        let mut finding = Finding::begin(self, search)?;
        while finding.page(self, limit())? {}
        finding.end(self)
    }

    /// Returns all pieces, page by page, and checks each page. A part of a query: the plugin is not refreshed.
    pub fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        max_bytes: u32,
    ) -> Result<Vec<Piece>, Breach> {
        read_all(&mut self.subject, wanted, part, max_bytes)
    }

    /// Reads both parts of these traces and checks that they are as written.
    pub fn check_traces(&mut self, ids: &[TraceId], max_bytes: u32) -> Result<(), Breach> {
        self.begin_query()?;
        let wanted = Wanted::Traces(ids.to_vec());
        let otlp = self.read(&wanted, Part::Otlp, max_bytes)?;
        self.check_pieces(ids, Part::Otlp, &otlp)?;
        self.check_dropped(ids, &otlp)?;
        let digests = self.read(&wanted, Part::Digest, max_bytes)?;
        self.check_pieces(ids, Part::Digest, &digests)?;

        let handles: BTreeSet<u64> = otlp.iter().map(|it| it.fragment).collect();
        let same: BTreeSet<u64> = digests.iter().map(|it| it.fragment).collect();
        if handles != same {
            let text = format!(
                "`read` of {}: fragments have other handles for their otlp ({}) than for their digests ({})",
                these(ids),
                numbers(&handles),
                numbers(&same)
            );
            return Err(Breach::new("read.handle", text));
        }
        self.check_handles(ids, &otlp, max_bytes)
    }

    /// Reads what was read by traces again by its handles: as it is, and in the opposite order, in which the number of spans that were
    /// dropped may be elsewhere.
    fn check_handles(
        &mut self,
        ids: &[TraceId],
        pieces: &[Piece],
        max_bytes: u32,
    ) -> Result<(), Breach> {
        let mut handles: Vec<u64> = pieces.iter().map(|it| it.fragment).collect();
        let again = self.read(&Wanted::Fragments(handles.clone()), Part::Otlp, max_bytes)?;
        let mut is_same = again == pieces;
        let mut found = again;
        if is_same {
            handles.reverse();
            found = self.read(&Wanted::Fragments(handles.clone()), Part::Otlp, max_bytes)?;
            let opposite = pieces.iter().rev();
            let shown = |it: &Piece| (it.trace_id, it.fragment, it.bytes.clone());
            is_same = found.iter().map(shown).eq(opposite.map(shown));
        }
        if is_same {
            return Ok(());
        }
        let found: Vec<u64> = found.iter().map(|it| it.fragment).collect();
        let text = format!(
            "`read` of the handles {}, which `read` of {} has just given, gives the pieces of {}, or other bytes; it has to give the same pieces in the order asked",
            numbers(&handles),
            these(ids),
            numbers(&found)
        );
        Err(Breach::new("read.fragments", text))
    }

    /// Checks that these are one part of all fragments of these traces.
    fn check_pieces(&self, ids: &[TraceId], part: Part, found: &[Piece]) -> Result<(), Breach> {
        let due = ids.iter().flat_map(|id| self.stored.of_trace(*id));
        let due = due.map(|it| (it.trace_id, it.part(part)));
        let due: Vec<(TraceId, &[u8])> = due.collect();
        let found = found.iter().map(|it| (it.trace_id, it.bytes.as_slice()));
        let found: Vec<(TraceId, &[u8])> = found.collect();
        let all_due: BTreeSet<_> = due.iter().copied().collect();
        let all_found: BTreeSet<_> = found.iter().copied().collect();
        let breach = |rule: &'static str, text: String| {
            let part = match part {
                Part::Otlp => "otlp",
                Part::Digest => "digests",
            };
            let text = format!("`read` of {} ({part}) {text}", these(ids));
            Err(Breach::new(rule, text))
        };
        if let Some((id, _)) = found.iter().find(|it| !ids.contains(&it.0)) {
            return breach("read.wanted", format!("gives a piece of {}", this(*id)));
        }
        if let Some((id, bytes)) = found.iter().find(|it| !all_due.contains(*it)) {
            let start = bytes.get(..bytes.len().min(16)).unwrap_or_default();
            let text = format!(
                "gives {} bytes for {} that were never written as that, beginning with {start:?}",
                bytes.len(),
                this(*id)
            );
            return breach("read.bytes", text);
        }
        if let Some((id, bytes)) = due.iter().find(|it| !all_found.contains(*it)) {
            let text = format!(
                "gives {} pieces where {} fragments were written: one of {} with {} bytes is missing",
                found.len(),
                due.len(),
                this(*id),
                bytes.len()
            );
            return breach("read.all", text);
        }
        if found.len() != due.len() {
            let text = format!("gives {} pieces for {} fragments", found.len(), due.len());
            return breach("read.all", text);
        }
        if part == Part::Otlp && found != due {
            return breach(
                "read.order",
                "is not in the order asked and written".to_owned(),
            );
        }
        Ok(())
    }

    /// Checks that the first piece of each trace, and no other, has the number of spans that were dropped.
    fn check_dropped(&self, ids: &[TraceId], pieces: &[Piece]) -> Result<(), Breach> {
        let found: Vec<u64> = pieces.iter().map(|it| it.dropped_spans).collect();
        let due = ids.iter().flat_map(|id| {
            let dropped = self.cuts.get(id).map_or(0, |cut| cut.dropped);
            let places = 0..self.stored.of_trace(*id).count();
            places.map(move |place| if place == 0 { dropped } else { 0 })
        });
        let due: Vec<u64> = due.collect();
        if found == due {
            return Ok(());
        }
        let text = format!(
            "`read` of {} tells of dropped spans {}, where it has to be {}",
            these(ids),
            numbers(&found),
            numbers(&due)
        );
        Err(Breach::new("read.dropped", text))
    }

    /// Checks that services and operations are those of the stored fragments.
    pub fn check_operations(&mut self) -> Result<(), Breach> {
        self.begin_query()?;
        let due = self.stored.operations();
        let services: BTreeSet<String> = due.iter().map(|it| it.service.clone()).collect();
        let mut found = answered("services", self.subject.services())?;
        found.sort();
        if !found.iter().eq(&services) {
            let names = |it: &String| format!("{it:?}");
            let text = format!(
                "`services` gives {}, where {} were written",
                listed(found.iter().map(names)),
                listed(services.iter().map(names))
            );
            return Err(Breach::new("services.all", text));
        }
        let unknown = "no such service".to_owned();
        for service in services.iter().chain([&unknown]) {
            let mut found = answered("operations", self.subject.operations(service))?;
            found.sort();
            let due = due.iter().filter(|it| it.service == *service);
            let due: Vec<Operation> = due.cloned().collect();
            if found != due {
                let names = |list: &[Operation]| {
                    let names = list.iter();
                    listed(names.map(|it| format!("{:?} {:?}", it.name, it.kind)))
                };
                let text = format!(
                    "`operations` of {} gives {}, where {} were written",
                    listed([service].into_iter().map(|it| format!("{it:?}"))),
                    names(&found),
                    names(&due)
                );
                return Err(Breach::new("operations.all", text));
            }
        }
        Ok(())
    }

    /// Checks everything: all traces, operations and counts, and a search that matches everything.
    pub fn check_all(&mut self) -> Result<(), Breach> {
        let ids: Vec<TraceId> = self.stored.traces().into_iter().collect();
        self.check_traces(&ids, 1000)?;
        self.check_operations()?;
        self.check_counts()?;
        self.find(&Search::all(), || 100)?;
        Ok(())
    }
}

fn counted(what: &str, told: u64, due: u64) -> Result<(), Breach> {
    if told == due {
        return Ok(());
    }
    let text = format!("`statistics` tells of {told} {what}, where there are {due}");
    Err(Breach::new("statistics.true", text))
}

/// Numbers in messages.
fn numbers<'a>(numbers: impl IntoIterator<Item = &'a u64, IntoIter: ExactSizeIterator>) -> String {
    listed(numbers.into_iter().map(u64::to_string))
}

#[cfg(test)]
mod tests {
    use super::super::fragment::fragment;
    use super::super::subject::Called;
    use super::*;
    use crate::{Batch, Pieces, Sightings};

    /// Takes every write, and has these counters.
    struct Counting(Counts);

    impl Subject for Counting {
        fn instancing(&self) -> Instancing {
            Instancing::Exclusive
        }

        fn write(&mut self, _: Timestamp, _: Vec<Batch>) -> Called<()> {
            Ok(Ok(()))
        }

        fn refresh(&mut self) -> Called<()> {
            Ok(Ok(()))
        }

        fn find(&mut self, _: &Search, _: Option<&[u8]>, _: u32) -> Called<Sightings> {
            let (found, floor, resume) = (Vec::new(), 0, None);
            Ok(Ok(Sightings {
                found,
                floor,
                resume,
            }))
        }

        fn read(&mut self, _: &Wanted, _: Part, _: Option<&[u8]>, _: u32) -> Called<Pieces> {
            let (pieces, resume) = (Vec::new(), None);
            Ok(Ok(Pieces { pieces, resume }))
        }

        fn services(&mut self) -> Called<Vec<String>> {
            Ok(Ok(Vec::new()))
        }

        fn operations(&mut self, _: &str) -> Called<Vec<Operation>> {
            Ok(Ok(Vec::new()))
        }

        fn statistics(&mut self) -> Result<Counts, Breach> {
            Ok(self.0)
        }
    }

    fn written(counts: Counts, counts_all: bool) -> Result<Counts, Breach> {
        let mut checker = Checker::new(Counting(counts));
        if counts_all {
            checker.expect_all_counters();
        }
        checker.write([fragment(1)])
    }

    #[test]
    fn a_counter_that_is_zero_may_count_nothing_unless_all_are_expected() {
        let bytes = Counts {
            bytes: 7,
            ..Counts::default()
        };
        assert_eq!(written(bytes, false), Ok(bytes));
        let rule = |counted: Result<Counts, Breach>| counted.map_err(|it| it.rule.into_owned());
        assert_eq!(
            rule(written(bytes, true)),
            Err("statistics.true".to_owned())
        );
        let wrong = Counts {
            spans: 2,
            ..Counts::default()
        };
        assert_eq!(
            rule(written(wrong, false)),
            Err("statistics.true".to_owned())
        );
    }
}
