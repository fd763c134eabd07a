//! The smallest correct storage plugin: a list of fragments that every search scans. Copy it to start your own.

#![deny(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use larder_plugin::names::{operations_within_call, services_within_call};
use larder_plugin::{
    Batch, Environment, Error, Fragment, Instancing, Operation, Part, Piece, Pieces, Plugin,
    Search, Sighting, Sightings, Timestamp, TraceId, Wanted, resume, settings,
};

larder_plugin::export!(Minimal);

/// All fragments in the order written. A fragment's handle is its index.
#[derive(Debug)]
pub struct Minimal {
    batches: Vec<Batch>,
    /// The handle of each batch's first fragment.
    firsts: Vec<u64>,
    next: u64,
    /// The handles of each trace's fragments.
    traces: BTreeMap<TraceId, Vec<u64>>,
    operations: BTreeSet<Operation>,
    bytes_left: u64,
}

impl Plugin for Minimal {
    const NAME: &'static str = "minimal";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const INSTANCING: Instancing = Instancing::Exclusive;

    fn open(environment: Environment) -> Result<Self, Error> {
        settings::none(&environment)?;
        Ok(Self {
            batches: Vec::new(),
            firsts: Vec::new(),
            next: 0,
            traces: BTreeMap::new(),
            operations: BTreeSet::new(),
            // The other half is for an incoming batch, an outgoing page, and the growth of the list.
            bytes_left: environment.memory_limit / 2,
        })
    }

    fn write(&mut self, _now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        let bytes = batches.iter().map(|batch| batch.bytes() as u64).sum();
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            Error::ResourceExhausted("full: half of `limits.memory` is taken".to_owned())
        })?;
        for batch in batches {
            self.operations
                .extend(batch.operations().map(Operation::from));
            self.firsts.push(self.next);
            for fragment in &batch.fragments {
                let handles = self.traces.entry(fragment.trace_id).or_default();
                handles.push(self.next);
                self.next += 1;
            }
            self.batches.push(batch);
        }
        Ok(())
    }

    /// Sorts all matches by (newest, handle), newest first, and returns those below the last one of the previous page. Writes between
    /// two pages do not move existing fragments.
    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let last = resume::decode(resume)?;
        let matching = self
            .fragments()
            .filter(|(_, fragment)| search.admits(fragment))
            .map(|(handle, fragment)| (search.newest(&fragment.starts), handle, fragment.trace_id))
            .filter(|(newest, handle, _)| last.is_none_or(|last| (*newest, *handle) < last));
        let mut page: Vec<(u64, u64, _)> = matching.collect();
        page.sort_unstable_by(|a, b| b.cmp(a));
        let more = page.len() > limit as usize;
        page.truncate(limit as usize);
        let end = page.last().map(|(newest, handle, _)| (*newest, *handle));
        let found = page.into_iter().map(|(newest, handle, trace_id)| Sighting {
            trace_id,
            newest,
            fragment: Some(handle),
        });
        Ok(Sightings {
            found: found.collect(),
            floor: end.map_or(0, |(newest, _)| newest),
            resume: end.filter(|_| more).map(resume::encode),
        })
    }

    /// Iterates over (index into `wanted`, handle), in this order, from after the last one of the previous page.
    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let last = resume::decode(resume)?;
        let mut page = Pieces {
            pieces: Vec::new(),
            resume: None,
        };
        let mut bytes = 0;
        let mut end = None;
        for (place, handle, fragment) in self.wanted(wanted) {
            if last.is_some_and(|last| (place, handle) <= last) {
                continue;
            }
            if bytes >= max_bytes as usize && end.is_some() {
                page.resume = end.map(resume::encode);
                break;
            }
            let piece = match part {
                Part::Digest => fragment.digest,
                Part::Otlp => fragment.otlp,
            };
            bytes += piece.len();
            end = Some((place, handle));
            page.pieces.push(Piece {
                trace_id: fragment.trace_id,
                fragment: handle,
                bytes: piece.to_vec(),
                dropped_spans: 0,
            });
        }
        Ok(page)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let services: BTreeSet<&String> = self.operations.iter().map(|it| &it.service).collect();
        Ok(services_within_call(
            services.into_iter().cloned().collect(),
        ))
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let all = self.operations.iter();
        let own = all.filter(|it| it.service == service).cloned();
        Ok(operations_within_call(own.collect()))
    }
}

impl Minimal {
    fn fragments(&self) -> impl Iterator<Item = (u64, Fragment<'_>)> {
        (0..).zip(self.batches.iter().flat_map(Batch::fragments))
    }

    fn fragment(&self, handle: u64) -> Option<Fragment<'_>> {
        let batch = self
            .firsts
            .partition_point(|first| *first <= handle)
            .checked_sub(1)?;
        let place = handle - self.firsts.get(batch)?;
        self.batches
            .get(batch)?
            .fragment(usize::try_from(place).ok()?)
    }

    fn wanted(&self, wanted: &Wanted) -> Vec<(u64, u64, Fragment<'_>)> {
        let places: Vec<(u64, u64)> = match wanted {
            Wanted::Traces(ids) => (0..)
                .zip(ids)
                .filter_map(|(place, id)| Some((place, self.traces.get(id)?)))
                .flat_map(|(place, handles)| handles.iter().map(move |it| (place, *it)))
                .collect(),
            Wanted::Fragments(handles) => (0..).zip(handles.iter().copied()).collect(),
        };
        let found = places.into_iter();
        found
            .filter_map(|(place, handle)| Some((place, handle, self.fragment(handle)?)))
            .collect()
    }
}
