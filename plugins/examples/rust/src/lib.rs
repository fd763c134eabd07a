//! The smallest storage plugin, in Rust: a list of fragments, and every search looks at each of them.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

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

#[derive(Default)]
struct Store {
    /// Everything that was written, in the order written. A fragment's handle is its index.
    fragments: Vec<Kept>,
    /// The handles of each trace's fragments.
    traces: HashMap<TraceId, Vec<u64>>,
    operations: HashSet<Operation>,
    memory_limit: u64,
}

struct Kept {
    fragment: Fragment,
    terms: Vec<u64>,
    digest: Vec<u8>,
    otlp: Vec<u8>,
}

static STORE: LazyLock<Mutex<Store>> = LazyLock::new(Mutex::default);

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
        STORE.lock().unwrap().memory_limit = environment.memory_limit;
        Ok(())
    }
}

impl writer::Guest for Plugin {
    fn write(_: Timestamp, memory_used: u64, batches: Vec<Batch>) -> Result<(), Error> {
        let mut store = STORE.lock().unwrap();
        // A fragment and its handle take up to 400 bytes.
        let sizes = batches.iter().map(|it| {
            it.otlp.len() + it.digests.len() + 8 * it.terms.len() + 400 * it.fragments.len()
        });
        // The rest is for this batch as it came, a page that is answered, and what a search makes.
        if memory_used + 3 * sizes.sum::<usize>() as u64 > store.memory_limit / 4 * 3 {
            let text = "full: three quarters of `limits.memory` are taken".to_owned();
            return Err(Error::ResourceExhausted(text));
        }
        batches.into_iter().for_each(|batch| store.keep(batch));
        Ok(())
    }
}

impl Store {
    fn keep(&mut self, batch: Batch) {
        let services = batch.services;
        let operations = batch.operations.into_iter().map(|it| Operation {
            service: services[it.service as usize].clone(),
            name: it.name,
            kind: it.kind,
        });
        self.operations.extend(operations);
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

    fn of_trace(&self, id: &TraceId) -> &[u64] {
        self.traces.get(id).map_or(&[], Vec::as_slice)
    }
}

/// A place in an order: by the first number, then by the second.
type Place = (u64, u64);

impl reader::Guest for Plugin {
    fn find(search: Search, resume: Option<Vec<u8>>, limit: u32) -> Result<Sightings, Error> {
        let before = position(resume)?;
        let store = STORE.lock().unwrap();
        let places = (0..)
            .zip(&store.fragments)
            .filter(|(_, it)| search.admits(it))
            .map(|(handle, it)| (it.fragment.starts.end.min(search.starts.end), handle))
            .filter(|place| before.is_none_or(|before| *place < before));
        let mut places: Vec<Place> = places.collect();
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
    }

    fn read(
        wanted: Wanted,
        part: Part,
        resume: Option<Vec<u8>>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let after = position(resume)?;
        let store = STORE.lock().unwrap();
        let handles: Vec<&[u64]> = match &wanted {
            Wanted::Traces(ids) => ids.iter().map(|id| store.of_trace(id)).collect(),
            Wanted::Fragments(handles) => handles.chunks(1).collect(),
        };
        // (index into `wanted`, handle) of each fragment, in this order.
        let places = (0..)
            .zip(handles)
            .flat_map(|(index, handles)| handles.iter().map(move |handle| (index, *handle)))
            .filter(|place| after.is_none_or(|after| *place > after));
        let (mut pieces, mut size, mut last) = (Vec::new(), 0, None);
        for (index, handle) in places.filter(|(_, it)| *it < store.fragments.len() as u64) {
            if size >= max_bytes as usize && last.is_some() {
                let resume = last.map(resume_at);
                return Ok(Pieces { pieces, resume });
            }
            let it = &store.fragments[handle as usize];
            let bytes = match part {
                Part::Digest => it.digest.clone(),
                Part::Otlp => it.otlp.clone(),
            };
            size += bytes.len();
            last = Some((index, handle));
            pieces.push(Piece {
                trace_id: it.fragment.trace_id,
                fragment: handle,
                bytes,
                dropped_spans: 0,
            });
        }
        let resume = None;
        Ok(Pieces { pieces, resume })
    }

    fn services() -> Result<Vec<String>, Error> {
        let store = STORE.lock().unwrap();
        let services = store.operations.iter().map(|it| &it.service);
        let services: HashSet<&String> = services.collect();
        Ok(services.into_iter().cloned().collect())
    }

    fn operations(service: String) -> Result<Vec<Operation>, Error> {
        let store = STORE.lock().unwrap();
        let own = store.operations.iter().filter(|it| it.service == service);
        Ok(own.cloned().collect())
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

fn resume_at((first, second): Place) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
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
