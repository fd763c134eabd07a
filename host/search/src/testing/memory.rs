//! A list of fragments that answers in every way that the contract allows, and in others where a test has it lie.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use larder_ingest::{Ingest, Limits};
#[cfg(test)]
use larder_model::dictionary::Bounds;
use larder_model::dictionary::{Contents, Dictionary, Snapshot};
use larder_model::storage::{
    Batch, Error, FragmentFacts, Operation, Part, Piece, Pieces, Search, Sighting, Sightings,
    Storage, Term, TraceId, Wanted,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message as _;

type Lie<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// A naive storage.
#[derive(Default)]
pub struct Memory {
    fragments: Mutex<Vec<Stored>>,
    /// Drives the odd choices; without it every page is as full and as exact as it can be.
    chance: Option<AtomicU64>,
    /// Returns one item a page.
    one_at_a_time: bool,
    resumes: AtomicU64,
    exports: AtomicUsize,
    /// The values of some of the exports.
    dictionary: Option<Dictionary>,
    /// Changes pages of sightings before they are given.
    pub lie_about_sightings: Option<Lie<Sightings>>,
    /// Changes pages of pieces before they are given.
    pub lie_about_pieces: Option<Lie<Pieces>>,
    /// The reported errors.
    pub reports: Mutex<Vec<String>>,
    /// Number of calls to `find`.
    pub finds: AtomicUsize,
    /// Number of calls to `read`.
    pub reads: AtomicUsize,
    /// Number of pieces of spans returned.
    pub otlp_pieces: AtomicUsize,
}

struct Stored {
    facts: FragmentFacts,
    terms: Vec<Term>,
    operations: Vec<Operation>,
    digest: Vec<u8>,
    otlp: Vec<u8>,
    /// Retention has dropped it.
    is_dropped: bool,
}

impl Memory {
    /// Holds these exports, each a batch of its own. Every other one has no terms of words, like those of older releases.
    pub fn of(exports: &[Vec<ResourceSpans>]) -> Self {
        let memory = Self::default();
        for resource_spans in exports {
            memory.export(resource_spans.clone());
        }
        memory
    }

    /// Holds these exports. Of each four one is written with terms of words and listed values, one with neither, and two with one of both. At
    /// most `values` values of an attribute are listed.
    #[cfg(test)]
    pub(crate) fn of_listed(exports: &[Vec<ResourceSpans>], values: usize) -> Self {
        let dictionary = Dictionary::new(Bounds {
            values,
            ..Bounds::default()
        });
        dictionary.open(Contents::default(), true);
        let memory = Self {
            dictionary: Some(dictionary),
            ..Self::default()
        };
        for resource_spans in exports {
            memory.export(resource_spans.clone());
        }
        memory
    }

    /// The values that are listed now.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.dictionary.as_ref()?.snapshot()
    }

    /// Holds traces of one span each as a release stored them that took ids of any length.
    pub fn of_an_older_release(stored: &[ResourceSpans]) -> Self {
        let sound = stored.iter().map(|resource_spans| {
            let mut sound = resource_spans.clone();
            for span in sound
                .scope_spans
                .iter_mut()
                .flat_map(|scope| &mut scope.spans)
            {
                span.parent_span_id.clear();
                span.links.clear();
            }
            vec![sound]
        });
        let memory = Self::of(&sound.collect::<Vec<_>>());
        let mut fragments = memory.fragments.lock().unwrap();
        assert_eq!(fragments.len(), stored.len());
        for (fragment, resource_spans) in fragments.iter_mut().zip(stored) {
            let resource_spans = vec![resource_spans.clone()];
            fragment.otlp = TracesData { resource_spans }.encode_to_vec();
        }
        drop(fragments);
        memory
    }

    /// Writes an export, a batch of its own.
    pub fn export(&self, resource_spans: Vec<ResourceSpans>) {
        for batch in &self.batches(resource_spans) {
            self.store(batch);
        }
    }

    /// The batches of an export, to be stored. Their values are listed from now on.
    pub fn batches(&self, resource_spans: Vec<ResourceSpans>) -> Vec<Batch> {
        let mut ingest = ingest();
        let number = self.exports.fetch_add(1, Ordering::Relaxed);
        ingest.set_word_terms(number.is_multiple_of(2));
        let is_listing = matches!(number % 4, 0 | 3);
        ingest.set_dictionary(self.snapshot().filter(|_| is_listing));
        let ingested = ingest.walk(&TracesData { resource_spans }.encode_to_vec());
        let batches = ingested.unwrap().batches;
        for batch in &batches {
            if let (Some(listed), Some(dictionary)) = (batch.listed(), &self.dictionary) {
                let mut contents = Contents::default();
                for (source, key, form) in listed.values() {
                    contents.add(source, key, form, listed.day());
                }
                dictionary.record(contents);
            }
        }
        batches
    }

    /// The spans of the fragments that are stored, in the order in which these were written.
    pub fn stored(&self) -> Vec<TracesData> {
        let fragments = self.fragments.lock().unwrap();
        let kept = fragments.iter().filter(|fragment| !fragment.is_dropped);
        kept.map(|fragment| TracesData::decode(&fragment.otlp[..]).unwrap())
            .collect()
    }

    /// Drops the fragments of a trace, as retention does.
    pub fn drop_trace(&self, id: TraceId) {
        let mut fragments = self.fragments.lock().unwrap();
        let of_trace = fragments.iter_mut().filter(|it| it.facts.trace_id == id);
        of_trace.for_each(|fragment| fragment.is_dropped = true);
    }

    /// The trace of each fragment in the order in which they were written; `None` for a fragment that was dropped.
    pub fn traces(&self) -> Vec<Option<TraceId>> {
        let fragments = self.fragments.lock().unwrap();
        let ids = fragments.iter();
        ids.map(|it| (!it.is_dropped).then_some(it.facts.trace_id))
            .collect()
    }

    /// Forgets all fragments but the first ones, as a crash does that loses what was written last.
    pub fn lose_after(&self, count: usize) {
        self.fragments.lock().unwrap().truncate(count);
    }

    /// Number of fragments, dropped ones included.
    pub fn written(&self) -> usize {
        self.fragments.lock().unwrap().len()
    }

    /// Drops the oldest fragments, as retention does. Returns the spans of those, each alone with its resource and scope.
    pub fn drop_oldest(&self, count: usize) -> Vec<TracesData> {
        let mut fragments = self.fragments.lock().unwrap();
        let kept = fragments.iter_mut().filter(|fragment| !fragment.is_dropped);
        let dropped = kept.take(count).map(|fragment| {
            fragment.is_dropped = true;
            TracesData::decode(&fragment.otlp[..]).unwrap()
        });
        dropped.collect()
    }

    /// Drops the fragment with this number in the order in which they were written, as retention does.
    pub fn drop_fragment(&self, number: usize) {
        if let Some(fragment) = self.fragments.lock().unwrap().get_mut(number) {
            fragment.is_dropped = true;
        }
    }

    /// Makes odd choices, the same ones for the same seed.
    #[must_use]
    pub fn odd(mut self, seed: u64) -> Self {
        self.chance = Some(AtomicU64::new(seed));
        self
    }

    /// Gives one sighting, and one piece, a page.
    #[must_use]
    pub fn one_at_a_time(mut self) -> Self {
        self.one_at_a_time = true;
        self
    }

    /// Stores a batch.
    pub fn store(&self, batch: &Batch) {
        let all = batch.operations();
        let mut fragments = self.fragments.lock().unwrap();
        fragments.extend(batch.fragments().map(|fragment| {
            let operations = fragment.operations.iter();
            let operation = |o: &u32| all[usize::try_from(*o).unwrap()].clone();
            Stored {
                facts: fragment.facts,
                terms: fragment.terms.to_vec(),
                operations: operations.map(operation).collect(),
                digest: fragment.digest.to_vec(),
                otlp: fragment.otlp.to_vec(),
                is_dropped: false,
            }
        }));
    }

    /// A number below `bound`; 0 unless choices are odd.
    fn choose(&self, bound: usize) -> usize {
        let Some(chance) = &self.chance else {
            return 0;
        };
        // splitmix64
        let mut z = chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn resume(&self, offset: usize, floor: u64) -> Vec<u8> {
        let number = self.resumes.fetch_add(1, Ordering::Relaxed);
        [offset as u64, floor, number]
            .map(u64::to_be_bytes)
            .concat()
    }

    /// Handles that tell nothing of the order of writing.
    fn handle(place: usize) -> u64 {
        (place as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(17)
    }
}

fn ingest() -> Ingest {
    Ingest::new(Limits {
        max_fragment_bytes: 1000,
        max_batch_bytes: 8 << 20,
        max_span_bytes: 4 << 20,
        max_listed_bytes: 4 << 20,
    })
}

fn parse(resume: Option<&[u8]>) -> (usize, u64) {
    let Some(resume) = resume else {
        return (0, u64::MAX);
    };
    let number = |at: usize| u64::from_be_bytes(resume[at..at + 8].try_into().unwrap());
    (usize::try_from(number(0)).unwrap(), number(8))
}

fn may_match(fragment: &Stored, search: &Search) -> bool {
    let facts = &fragment.facts;
    facts.starts.start <= search.starts.end
        && facts.starts.end >= search.starts.start
        && facts.durations.shortest <= search.durations.longest
        && facts.durations.longest >= search.durations.shortest
        && search
            .clauses
            .iter()
            .all(|clause| clause.iter().any(|term| fragment.terms.contains(term)))
}

#[async_trait::async_trait]
impl Storage for Memory {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.store(&batch);
        Ok(())
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        assert!(search.clauses.iter().all(|clause| !clause.is_empty()));
        let fragments = self.fragments.lock().unwrap();
        let matching = fragments.iter().enumerate();
        let matching = matching.filter(|(_, fragment)| may_match(fragment, search));
        // Dropped fragments keep their places, as a series goes on after any of them is dropped.
        let mut matching: Vec<_> = matching
            .map(|(place, fragment)| (fragment.facts.starts.end, place, fragment.facts.trace_id))
            .collect();
        let is_stored = |place: usize| !fragments[place].is_dropped;
        matching.sort_unstable_by(|one, other| other.cmp(one));
        let (from, former_floor) = parse(resume);
        let limit = usize::try_from(limit).unwrap();
        let count = match self.choose(4) {
            _ if self.one_at_a_time => 1,
            0 => limit,
            _ => self.choose(3.min(limit) + 1),
        };
        let from = from.min(matching.len());
        let to = matching.len().min(from + count);
        let mut found: Vec<_> = matching[from..to]
            .iter()
            .filter(|(_, place, _)| is_stored(*place))
            .map(|(newest, place, trace_id)| Sighting {
                trace_id: *trace_id,
                newest: if self.choose(4) == 3 {
                    former_floor
                } else {
                    // A write since the last page may make one of its fragments come again.
                    former_floor.min(*newest)
                },
                fragment: (self.choose(3) < 2).then(|| Self::handle(*place)),
            })
            .collect();
        if found.len() < limit && self.choose(3) == 2 && to > 0 {
            // A trace, or a fragment, may come up again.
            let (newest, place, trace_id) = matching[self.choose(to)];
            let again = Sighting {
                trace_id,
                newest: newest.min(former_floor),
                fragment: (self.choose(2) == 0).then(|| Self::handle(place)),
            };
            found.extend(is_stored(place).then_some(again));
        }
        if self.choose(2) == 1 {
            found.reverse();
        }
        let floor = match matching.get(to) {
            Some((newest, ..)) if self.choose(3) < 2 => *newest,
            _ => former_floor,
        };
        let resume = (to < matching.len()).then(|| self.resume(to, floor.min(former_floor)));
        let floor = floor.min(former_floor);
        let mut page = Sightings {
            found,
            floor,
            resume,
        };
        if let Some(lie) = &self.lie_about_sightings {
            lie(&mut page);
        }
        Ok(page)
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let fragments = self.fragments.lock().unwrap();
        // A series goes on with the fragments that were there when it began, after any write and any drop.
        let (from, known) = parse(resume);
        let known = usize::try_from(known).unwrap().min(fragments.len());
        let all = || fragments.iter().enumerate().take(known);
        let mut asked: Vec<(usize, &Stored)> = match wanted {
            Wanted::Traces(ids) => ids
                .iter()
                .flat_map(|id| all().filter(move |(_, f)| f.facts.trace_id == *id))
                .collect(),
            Wanted::Fragments(handles) => handles
                .iter()
                .flat_map(|h| all().filter(move |(place, _)| Self::handle(*place) == *h))
                .collect(),
        };
        if part == Part::Digest && self.chance.is_some() {
            asked.sort_by_key(|(place, _)| Self::handle(*place));
        }
        let mut bytes = 0;
        let most = match self.choose(3) {
            _ if self.one_at_a_time => 1,
            0 => usize::MAX,
            _ => 1 + self.choose(3),
        };
        let mut pieces: Vec<Piece> = Vec::new();
        let mut to = from.min(asked.len());
        for (place, fragment) in &asked[to..] {
            if !fragment.is_dropped {
                let stored = match part {
                    Part::Digest => &fragment.digest,
                    Part::Otlp => &fragment.otlp,
                };
                bytes += stored.len();
                let fits = bytes <= usize::try_from(max_bytes).unwrap();
                if !pieces.is_empty() && (pieces.len() >= most || !fits) {
                    break;
                }
                pieces.push(Piece {
                    trace_id: fragment.facts.trace_id,
                    fragment: Self::handle(*place),
                    bytes: stored.clone(),
                    dropped_spans: 0,
                });
            }
            to += 1;
        }
        if part == Part::Otlp {
            self.otlp_pieces.fetch_add(pieces.len(), Ordering::Relaxed);
        }
        let resume = (to < asked.len()).then(|| self.resume(to, known as u64));
        let mut page = Pieces { pieces, resume };
        if let Some(lie) = &self.lie_about_pieces {
            lie(&mut page);
        }
        Ok(page)
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        let fragments = self.fragments.lock().unwrap();
        let operations = fragments.iter().flat_map(|fragment| &fragment.operations);
        Ok(operations.map(|o| o.service.clone()).rev().collect())
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        let fragments = self.fragments.lock().unwrap();
        let operations = fragments.iter().flat_map(|fragment| &fragment.operations);
        let operations = operations.filter(|operation| operation.service == service);
        Ok(operations.cloned().rev().collect())
    }

    fn report(&self, breach: &Error) {
        self.reports.lock().unwrap().push(breach.to_string());
    }
}
