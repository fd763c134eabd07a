//! The smallest correct storage plugin: a list of fragments, and every search looks at each of them. The example to copy.

#![deny(unsafe_code)]

use std::collections::BTreeSet;

use larder_plugin::{
    Batch, Environment, Error, Fragment, Instancing, Operation, Part, Piece, Pieces, Plugin,
    Search, Sighting, Sightings, Wanted, resume, settings,
};

larder_plugin::export!(Minimal);

/// Everything that was written, in the order written. A fragment's handle is its place in the list.
#[derive(Debug)]
pub struct Minimal {
    fragments: Vec<Fragment>,
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
            fragments: Vec::new(),
            operations: BTreeSet::new(),
            // The rest is for the batch that is on its way in, the page that is on its way out, and the list as it grows.
            bytes_left: environment.memory_limit / 2,
        })
    }

    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let bytes = batch.fragments.iter().map(weight).sum();
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            Error::ResourceExhausted("full: half of `limits.memory` is taken".to_owned())
        })?;
        self.fragments.extend(batch.fragments);
        self.operations.extend(batch.operations);
        Ok(())
    }

    /// Sorts all matches by (newest, handle), newest first, and gives those below the last one of the page before. What is
    /// written between two pages changes the place of nothing that was there.
    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let last = resume::decode(resume)?;
        let matching = (0..)
            .zip(&self.fragments)
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

    /// Goes through (place in `wanted`, handle), in this order, from after the last one of the page before.
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
                Part::Digest => &fragment.digest,
                Part::Otlp => &fragment.otlp,
            };
            bytes += piece.len();
            end = Some((place, handle));
            page.pieces.push(Piece {
                trace_id: fragment.trace_id,
                fragment: handle,
                bytes: piece.clone(),
            });
        }
        Ok(page)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let services: BTreeSet<&String> = self.operations.iter().map(|it| &it.service).collect();
        Ok(services.into_iter().cloned().collect())
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let all = self.operations.iter();
        Ok(all.filter(|it| it.service == service).cloned().collect())
    }
}

impl Minimal {
    fn wanted(&self, wanted: &Wanted) -> Vec<(u64, u64, &Fragment)> {
        let all = || (0..).zip(&self.fragments);
        match wanted {
            Wanted::Traces(ids) => (0..)
                .zip(ids)
                .flat_map(|(place, id)| {
                    all()
                        .filter(|(_, fragment)| fragment.trace_id == *id)
                        .map(move |(handle, fragment)| (place, handle, fragment))
                })
                .collect(),
            Wanted::Fragments(handles) => (0..)
                .zip(handles)
                .filter_map(|(place, handle)| {
                    let fragment = self.fragments.get(usize::try_from(*handle).ok()?)?;
                    Some((place, *handle, fragment))
                })
                .collect(),
        }
    }
}

fn weight(fragment: &Fragment) -> u64 {
    let lists = fragment.terms.len() * 8 + fragment.operations.len() * 4;
    (size_of::<Fragment>() + lists + fragment.digest.len() + fragment.otlp.len()) as u64
}
