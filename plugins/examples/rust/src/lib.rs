//! The smallest storage plugin, in Rust: a list of fragments, and every search looks at each of them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use exports::larder::storage::{lifecycle, reader, writer};
use larder::storage::types::{Error, Operation, Timestamp, TraceId};
use lifecycle::{Environment, Info, Instancing};
use reader::{Part, Piece, Pieces, Search, Sighting, Sightings, Wanted};
use writer::{Batch, Fragment};

wit_bindgen::generate!({
    path: "../../../wit/storage.wit",
    world: "plugin",
    additional_derives: [PartialEq, Eq, Hash],
});
export!(Plugin);

struct Plugin;

struct Kept {
    fragment: Fragment,
    terms: Vec<u64>,
    digest: Vec<u8>,
    otlp: Vec<u8>,
}

#[derive(Default)]
struct Store {
    /// Everything that was written, in the order written. A fragment's handle is its index.
    fragments: Vec<Kept>,
    /// The handles of each trace's fragments.
    traces: HashMap<TraceId, Vec<u64>>,
    /// The operations of each service.
    operations: HashMap<String, HashSet<Operation>>,
    memory_limit: u64,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

/// A place in an order: by the first number, then by the second.
type Place = (u64, u64);

impl lifecycle::Guest for Plugin {
    fn describe() -> Info {
        Info {
            name: "minimal-rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instancing: Instancing::Exclusive,
        }
    }

    fn open(environment: Environment) -> Result<(), Error> {
        if let Some(it) = environment.settings.first() {
            let text = format!("unknown setting `{}`: this plugin has none", it.name);
            return Err(Error::InvalidArgument(text));
        }
        STORE.with_borrow_mut(|store| store.memory_limit = environment.memory_limit);
        Ok(())
    }
}

impl writer::Guest for Plugin {
    fn write(_: Timestamp, memory_used: u64, batches: Vec<Batch>) -> Result<(), Error> {
        let mut size = 0;
        for it in &batches {
            // A fragment and its handle take up to 400 bytes.
            size += it.otlp.len() + it.digests.len() + 8 * it.terms.len();
            size += 400 * it.fragments.len();
        }
        STORE.with_borrow_mut(|store| {
            // The rest is for this batch as it came, a page that is answered, and what a search makes.
            if memory_used + 3 * size as u64 > store.memory_limit / 4 * 3 {
                let text = "full: three quarters of `limits.memory` are taken".to_owned();
                return Err(Error::ResourceExhausted(text));
            }
            for batch in batches {
                store.keep(batch);
            }
            Ok(())
        })
    }
}

impl reader::Guest for Plugin {
    fn find(search: Search, resume: Option<Vec<u8>>, limit: u32) -> Result<Sightings, Error> {
        let before = position(resume)?.unwrap_or((u64::MAX, u64::MAX));
        STORE.with_borrow(|store| {
            let newest = |it: &Kept| it.fragment.starts.end.min(search.starts.end);
            let admitted = (0..)
                .zip(&store.fragments)
                .filter(|(_, it)| search.admits(it));
            let places = admitted.map(|(handle, it)| (newest(it), handle));
            let mut places: Vec<Place> = places.filter(|it| *it < before).collect();
            places.sort_unstable_by(|a, b| b.cmp(a));
            let more = places.len() > limit as usize;
            places.truncate(limit as usize);
            let end = places.last().copied();
            let found = places.into_iter().map(|(newest, handle)| Sighting {
                trace_id: store.fragments[handle as usize].fragment.trace_id,
                newest,
                fragment: Some(handle),
            });
            Ok(Sightings {
                found: found.collect(),
                floor: end.map_or(0, |(newest, _)| newest),
                resume: end.filter(|_| more).map(resume_at),
            })
        })
    }

    fn read(
        wanted: Wanted,
        part: Part,
        resume: Option<Vec<u8>>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        // (index into `wanted`, handle) of the first piece.
        let from = position(resume)?.unwrap_or_default();
        let (mut pieces, mut size) = (Vec::new(), 0);
        STORE.with_borrow(|store| {
            for place in store.asked(&wanted).into_iter().filter(|it| *it >= from) {
                if size >= max_bytes as usize && !pieces.is_empty() {
                    let resume = Some(resume_at(place));
                    return Ok(Pieces { pieces, resume });
                }
                let it = &store.fragments[place.1 as usize];
                let bytes = match part {
                    Part::Digest => it.digest.clone(),
                    Part::Otlp => it.otlp.clone(),
                };
                size += bytes.len();
                pieces.push(Piece {
                    trace_id: it.fragment.trace_id,
                    fragment: place.1,
                    bytes,
                    dropped_spans: 0,
                });
            }
            let resume = None;
            Ok(Pieces { pieces, resume })
        })
    }

    fn services() -> Result<Vec<String>, Error> {
        STORE.with_borrow(|store| Ok(store.operations.keys().cloned().collect()))
    }

    fn operations(service: String) -> Result<Vec<Operation>, Error> {
        STORE.with_borrow(|store| {
            let its = store.operations.get(&service);
            Ok(its.into_iter().flatten().cloned().collect())
        })
    }
}

impl Store {
    fn keep(&mut self, batch: Batch) {
        for it in batch.operations {
            let service = batch.services[it.service as usize].clone();
            let operations = self.operations.entry(service.clone()).or_default();
            let (name, kind) = (it.name, it.kind);
            operations.insert(Operation {
                service,
                name,
                kind,
            });
        }
        let (mut terms, mut digest, mut otlp) = (0, 0, 0);
        for it in batch.fragments {
            let handles = self.traces.entry(it.trace_id).or_default();
            handles.push(self.fragments.len() as u64);
            self.fragments.push(Kept {
                terms: batch.terms[terms..it.terms_end as usize].to_vec(),
                digest: batch.digests[digest..it.digest_end as usize].to_vec(),
                otlp: batch.otlp[otlp..it.otlp_end as usize].to_vec(),
                fragment: it,
            });
            terms = it.terms_end as usize;
            digest = it.digest_end as usize;
            otlp = it.otlp_end as usize;
        }
    }

    /// The places of the fragments that are wanted, in ascending order.
    fn asked(&self, wanted: &Wanted) -> Vec<Place> {
        match wanted {
            Wanted::Traces(ids) => {
                let found = (0..).zip(ids.iter().map(|id| self.traces.get(id)));
                let places = found.flat_map(|(index, handles)| {
                    handles.into_iter().flatten().map(move |it| (index, *it))
                });
                places.collect()
            }
            Wanted::Fragments(handles) => {
                let places = (0..).zip(handles.iter().copied());
                let written = self.fragments.len() as u64;
                places.filter(|(_, it)| *it < written).collect()
            }
        }
    }
}

impl Search {
    fn admits(&self, it: &Kept) -> bool {
        let (starts, durations) = (it.fragment.starts, it.fragment.durations);
        // Terms are ascending.
        let has = |term: &u64| it.terms.binary_search(term).is_ok();
        starts.start <= self.starts.end
            && self.starts.start <= starts.end
            && durations.shortest <= self.durations.longest
            && self.durations.shortest <= durations.longest
            && self.clauses.iter().all(|clause| clause.iter().any(has))
    }
}

fn resume_at(place: Place) -> Vec<u8> {
    [place.0.to_be_bytes(), place.1.to_be_bytes()].concat()
}

fn position(resume: Option<Vec<u8>>) -> Result<Option<Place>, Error> {
    let Some(bytes) = resume else { return Ok(None) };
    let ([first, second], []) = bytes.as_chunks() else {
        let text = "a `resume` that this plugin did not make".to_owned();
        return Err(Error::InvalidArgument(text));
    };
    let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
    Ok(Some((first, second)))
}
