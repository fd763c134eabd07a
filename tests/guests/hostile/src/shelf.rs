//! What the guest does when nobody tells it otherwise: keeps a list and answers from it, all on one page.

use std::collections::BTreeSet;

use larder_plugin::{
    Batch, Fragment, Operation, Part, Piece, Pieces, Search, Sighting, Sightings, Wanted,
};

/// All that was written.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    batches: Vec<Batch>,
    operations: BTreeSet<Operation>,
}

impl Shelf {
    pub(crate) fn write(&mut self, batches: Vec<Batch>) {
        for batch in &batches {
            self.operations
                .extend(batch.operations().map(Operation::from));
        }
        self.batches.extend(batches);
    }

    fn all(&self) -> impl Iterator<Item = (u64, Fragment<'_>)> {
        (0..).zip(self.batches.iter().flat_map(Batch::fragments))
    }

    pub(crate) fn find(&self, search: &Search) -> Sightings {
        let matching = self.all().filter(|(_, fragment)| search.admits(fragment));
        let mut found: Vec<Sighting> = matching
            .map(|(handle, fragment)| Sighting {
                trace_id: fragment.trace_id,
                newest: search.newest(&fragment.starts),
                fragment: Some(handle),
            })
            .collect();
        found.sort_by_key(|sighting| std::cmp::Reverse(sighting.newest));
        Sightings {
            found,
            floor: 0,
            resume: None,
        }
    }

    pub(crate) fn wanted(&self, wanted: &Wanted) -> Vec<(u64, Fragment<'_>)> {
        match wanted {
            Wanted::Traces(ids) => ids
                .iter()
                .flat_map(|id| self.all().filter(move |(_, it)| it.trace_id == *id))
                .collect(),
            Wanted::Fragments(handles) => handles
                .iter()
                .filter_map(|handle| self.all().nth(usize::try_from(*handle).ok()?))
                .collect(),
        }
    }

    pub(crate) fn services(&self) -> Vec<String> {
        let services: BTreeSet<&String> = self.operations.iter().map(|it| &it.service).collect();
        services.into_iter().cloned().collect()
    }

    pub(crate) fn operations(&self, service: &str) -> Vec<Operation> {
        let own = self.operations.iter().filter(|it| it.service == service);
        own.cloned().collect()
    }
}

/// The digests or the OTLP of these.
pub(crate) fn pieces(fragments: &[(u64, Fragment<'_>)], part: Part) -> Pieces {
    let pieces = fragments.iter().map(|(handle, fragment)| Piece {
        trace_id: fragment.trace_id,
        fragment: *handle,
        bytes: match part {
            Part::Digest => fragment.digest.to_vec(),
            Part::Otlp => fragment.otlp.to_vec(),
        },
    });
    Pieces {
        pieces: pieces.collect(),
        resume: None,
    }
}
