//! The smallest correct storage plugin: a list of fragments that every search scans. Copy it to start your own.

#![deny(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use larder_plugin::{
    Batch, Environment, Error, Fragment, Instancing, Operation, Part, Piece, Pieces, Plugin,
    Search, Sightings, Timestamp, TraceId, Wanted, names, pages, settings,
};

larder_plugin::export!(Minimal);

/// All fragments in the order written.
#[derive(Debug, Default)]
pub struct Minimal {
    batches: Vec<Batch>,
    /// Of each fragment the batch, and the place in it. A fragment's handle is its index here.
    places: Vec<(usize, usize)>,
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
            // The other half is for an incoming batch, an outgoing page, and the growth of the lists.
            bytes_left: environment.memory_limit / 2,
            ..Self::default()
        })
    }

    fn write(&mut self, _now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        let bytes = batches.iter().map(|batch| batch.bytes() as u64).sum();
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            Error::ResourceExhausted("full: half of `limits.memory` is taken".to_owned())
        })?;
        for batch in batches {
            let operations = batch.operations().map(Operation::from);
            self.operations.extend(operations);
            for (place, fragment) in batch.fragments().enumerate() {
                let handles = self.traces.entry(fragment.trace_id).or_default();
                handles.push(self.places.len() as u64);
                self.places.push((self.batches.len(), place));
            }
            self.batches.push(batch);
        }
        Ok(())
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let fragments = (0..).zip(self.batches.iter().flat_map(Batch::fragments));
        let admitted = fragments.filter(|(_, fragment)| search.admits(fragment));
        let matches = admitted.map(|(handle, fragment)| {
            let newest = search.newest(&fragment.starts);
            ((newest, handle), fragment.trace_id)
        });
        pages::newest_first(matches, resume, limit)
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let positions = wanted.positions(|id| self.traces.get(id));
        pages::pieces(positions, resume, max_bytes, |handle| {
            let fragment = self.fragment(handle)?;
            Some(Piece {
                trace_id: fragment.trace_id,
                fragment: handle,
                bytes: fragment.part(part).to_vec(),
                dropped_spans: 0,
            })
        })
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let services: BTreeSet<&String> = self.operations.iter().map(|it| &it.service).collect();
        let services = services.into_iter().cloned().collect();
        Ok(names::services_within_call(services))
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let all = self.operations.iter();
        let own = all.filter(|it| it.service == service).cloned().collect();
        Ok(names::operations_within_call(own))
    }
}

impl Minimal {
    fn fragment(&self, handle: u64) -> Option<Fragment<'_>> {
        let (batch, place) = *self.places.get(usize::try_from(handle).ok()?)?;
        self.batches.get(batch)?.fragment(place)
    }
}
