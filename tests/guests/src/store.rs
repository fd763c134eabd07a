//! A simple, slow store in `kv`: one writer puts and commits, and any number of readers see it. A search reads the whole index.

mod record;

use std::collections::BTreeSet;

use larder_plugin::kv::{self, Change, Direction, Entry, Key, Object, Range};
use larder_plugin::{
    Batch, Error, Operation, Part, Piece, Pieces, Role, Search, Sighting, Sightings, Wanted, resume,
};
use record::Record;

/// Fragments' digests and OTLP, written once.
const FRAGMENTS: &str = "fragments";
/// The search data of each fragment, in the order written.
const INDEX: &str = "index";
/// Every operation, as a key.
const OPERATIONS: &str = "operations";

/// Commits stay well below their limit of 256 KiB.
const COMMIT_BYTES: usize = 128 << 10;
const SCAN_BYTES: u32 = 1 << 20;

/// An instance's state; only the writer uses its counter.
#[derive(Debug)]
pub(crate) struct Store {
    next: u64,
}

impl Store {
    pub(crate) fn open(role: &Role) -> Result<Self, Error> {
        let last = match role {
            Role::Reader | Role::Repairer => None,
            Role::Writer(_) => {
                let page = kv::scan(INDEX, &everything(), Direction::Descending, 1, SCAN_BYTES)?;
                page.entries.first().map(|entry| handle(&entry.sort))
            }
        };
        Ok(Self {
            next: last.map_or(0, |last| last + 1),
        })
    }

    pub(crate) fn write(&mut self, batches: &[Batch]) -> Result<(), Error> {
        let mut index = Commit::new(INDEX);
        for fragment in batches.iter().flat_map(Batch::fragments) {
            let handle = self.next;
            self.next += 1;
            let object = |part, value| Object {
                key: key(handle, part),
                value,
            };
            let record = Record::of(&fragment).encode();
            kv::put(&[
                object(Part::Digest, fragment.digest.to_vec()),
                object(Part::Otlp, fragment.otlp.to_vec()),
            ])?;
            index.put(handle.to_be_bytes().to_vec(), record)?;
        }
        index.finish()?;
        let mut operations = Commit::new(OPERATIONS);
        for operation in batches.iter().flat_map(Batch::operations) {
            operations.put(record::of_operation(&operation), Vec::new())?;
        }
        operations.finish()
    }
}

/// Returns everything on one page, because the tests ask for little.
pub(crate) fn find(search: &Search, limit: u32) -> Result<Sightings, Error> {
    let mut found = Vec::new();
    for (handle, record) in index()? {
        if record.is_admitted_by(search) {
            found.push(Sighting {
                trace_id: record.trace_id,
                newest: search.newest(&record.starts),
                fragment: Some(handle),
            });
        }
    }
    if found.len() > limit as usize {
        return Err(Error::ResourceExhausted("more than one page".to_owned()));
    }
    Ok(Sightings {
        found,
        floor: 0,
        resume: None,
    })
}

/// Returns one piece per page.
pub(crate) fn read(wanted: &Wanted, part: Part, resume: Option<&[u8]>) -> Result<Pieces, Error> {
    let index = index()?;
    let wanted: Vec<&(u64, Record)> = match wanted {
        Wanted::Traces(ids) => ids
            .iter()
            .flat_map(|id| index.iter().filter(move |(_, it)| it.trace_id == *id))
            .collect(),
        Wanted::Fragments(handles) => handles
            .iter()
            .filter_map(|handle| index.iter().find(|(known, _)| known == handle))
            .collect(),
    };
    let (place, _) = resume::decode(resume)?.unwrap_or((0, 0));
    let mut rest = wanted
        .into_iter()
        .skip(usize::try_from(place).unwrap_or(usize::MAX));
    let mut pieces = Vec::new();
    if let Some((handle, record)) = rest.next() {
        let mut values = kv::get(&[key(*handle, part)])?;
        let lost = || Error::DataLoss(format!("fragment {handle} is not there"));
        pieces.push(Piece {
            trace_id: record.trace_id,
            fragment: *handle,
            bytes: values.pop().flatten().ok_or_else(lost)?,
            dropped_spans: 0,
        });
    }
    Ok(Pieces {
        pieces,
        resume: rest.next().map(|_| resume::encode((place + 1, 0))),
    })
}

pub(crate) fn services() -> Result<Vec<String>, Error> {
    let services: BTreeSet<String> = all_operations()?.into_iter().map(|it| it.service).collect();
    Ok(services.into_iter().collect())
}

pub(crate) fn operations(service: &str) -> Result<Vec<Operation>, Error> {
    let mut operations = all_operations()?;
    operations.retain(|operation| operation.service == service);
    Ok(operations)
}

fn everything() -> Range {
    Range {
        start: Vec::new(),
        end: None,
    }
}

fn handle(sort: &[u8]) -> u64 {
    sort.try_into().map_or(0, u64::from_be_bytes)
}

fn key(handle: u64, part: Part) -> Key {
    let mut sort = handle.to_be_bytes().to_vec();
    sort.push(part as u8);
    Key {
        partition: FRAGMENTS.to_owned(),
        sort,
    }
}

/// Returns every entry of a partition, in order.
fn entries(partition: &str) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut range = everything();
    loop {
        let page = kv::scan(partition, &range, Direction::Ascending, 10_000, SCAN_BYTES)?;
        entries.extend(page.entries);
        match entries.last().filter(|_| page.more) {
            None => return Ok(entries),
            Some(last) => {
                range.start.clone_from(&last.sort);
                range.start.push(0);
            }
        }
    }
}

fn index() -> Result<Vec<(u64, Record)>, Error> {
    let entries = entries(INDEX)?.into_iter();
    entries
        .map(|entry| {
            let lost = || Error::DataLoss("an entry of the index is broken".to_owned());
            let record = Record::decode(&entry.value).ok_or_else(lost)?;
            Ok((handle(&entry.sort), record))
        })
        .collect()
}

fn all_operations() -> Result<Vec<Operation>, Error> {
    let entries = entries(OPERATIONS)?;
    Ok(entries
        .iter()
        .filter_map(|it| record::operation(&it.sort))
        .collect())
}

/// Buffered changes of a partition.
struct Commit {
    partition: &'static str,
    changes: Vec<Change>,
    bytes: usize,
}

impl Commit {
    fn new(partition: &'static str) -> Self {
        Self {
            partition,
            changes: Vec::new(),
            bytes: 0,
        }
    }

    fn put(&mut self, sort: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        self.bytes += sort.len() + value.len();
        self.changes.push(Change::Put(Entry { sort, value }));
        if self.bytes >= COMMIT_BYTES {
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !self.changes.is_empty() {
            kv::commit(self.partition, &self.changes)?;
        }
        self.changes.clear();
        self.bytes = 0;
        Ok(())
    }
}
