//! What there is to copy of a tenant.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use xxhash_rust::xxh3::Xxh3Default;

use super::{Extent, Stored};
use crate::{Entry, Error, HOST_PREFIX, Namespace, Scan};

/// Bytes of one page that is read.
pub(super) const PAGE_BYTES: u32 = 2 << 20;
/// Entries of one page that is read.
const PAGE_ENTRIES: u32 = 4096;

/// See the module.
pub(super) struct Plan {
    pub(super) writers: Vec<Writer>,
    /// Ordered by name.
    pub(super) parts: Vec<Part>,
    /// A hash of the names of all partitions and of all entries.
    pub(super) fingerprint: u128,
}

pub(super) struct Writer {
    pub(super) id: String,
    pub(super) number: u16,
}

pub(super) struct Part {
    pub(super) name: String,
    /// Place of its writer in [`Plan::writers`].
    pub(super) writer: usize,
    pub(super) has_objects: bool,
    /// No partition of its kind has objects.
    pub(super) is_head: bool,
    /// The last key under which something was committed.
    pub(super) last: Option<Vec<u8>>,
    /// A hash of its name and entries.
    hash: u128,
}

/// A whole partition from a key on, a page at a time.
pub(super) fn from(start: Vec<u8>) -> Scan {
    Scan {
        start,
        end: None,
        descending: false,
        max_entries: PAGE_ENTRIES,
        max_bytes: PAGE_BYTES,
    }
}

/// The first key after this one.
pub(super) fn after(mut sort: Vec<u8>) -> Vec<u8> {
    sort.push(0);
    sort
}

/// The place of the writer of a partition. One writer commits to a partition, and drivers that have one writer do not keep which. So it is the
/// id that the name ends with, and the first one where it ends with none: who has written a partition counts for quotas and upkeep, and
/// not for what is read.
fn writer_of(part: &str, writers: &[Writer]) -> usize {
    let ends = |id: &str| {
        let before = part.strip_suffix(id);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    let fitting = writers.iter().enumerate().filter(|(_, it)| ends(&it.id));
    let longest = fitting.max_by_key(|(_, it)| it.id.len());
    longest.map_or(0, |(place, _)| place)
}

/// The kind of a partition: its name up to the first `/`.
fn kind(part: &str) -> &str {
    part.split('/').next().unwrap_or_default()
}

// === impl Plan ===

impl Plan {
    /// Looks through a tenant. `None` if nothing was ever committed: then no plugin sees anything of it.
    pub(super) async fn of(source: &dyn Namespace, at_once: usize) -> Result<Option<Self>, Error> {
        let mut writers = Vec::new();
        for id in source.writers().await? {
            if !id.starts_with(HOST_PREFIX) {
                let number = source.number(&id).await?;
                writers.push(Writer { id, number });
            }
        }
        if writers.is_empty() {
            return Ok(None);
        }
        writers.sort_by(|a, b| a.id.cmp(&b.id));
        let mut names = source.partitions().await?;
        names.retain(|name| !name.starts_with(HOST_PREFIX));
        names.sort();
        let parts = stream::iter(names)
            .map(|name| Part::of(source, name, &writers))
            .buffered(at_once.max(1));
        let mut parts: Vec<Part> = parts.try_collect().await?;
        let with_objects = parts.iter().filter(|it| it.has_objects);
        let of_data: BTreeSet<String> = with_objects.map(|it| kind(&it.name).to_owned()).collect();
        for part in &mut parts {
            part.is_head = !of_data.contains(kind(&part.name));
        }
        let mut hash = Xxh3Default::new();
        for part in &parts {
            hash.update(&part.hash.to_le_bytes());
        }
        Ok(Some(Self {
            writers,
            parts,
            fingerprint: hash.digest128(),
        }))
    }

    pub(super) fn has(&self, part: &str) -> bool {
        let found = self.parts.binary_search_by(|it| it.name.as_str().cmp(part));
        found.is_ok()
    }

    pub(super) fn extent(&self, source: &dyn Namespace) -> Extent {
        Extent {
            writers: self.writers.iter().map(|it| it.id.clone()).collect(),
            partitions: self.parts.len() as u64,
            stored_bytes: source.stored_bytes().saturating_sub(source.host_bytes()),
        }
    }
}

// === impl Part ===

impl Part {
    async fn of(source: &dyn Namespace, name: String, writers: &[Writer]) -> Result<Self, Error> {
        let one = Scan {
            max_entries: 1,
            ..from(Vec::new())
        };
        let objects = source.scan_stored(&name, Stored::Object, &one).await?;
        let mut hash = Xxh3Default::new();
        hash_bytes(&mut hash, name.as_bytes());
        let mut last = None;
        let mut scan = from(Vec::new());
        loop {
            let page = source.scan_stored(&name, Stored::Entry, &scan).await?;
            for Entry { sort, value } in &page.entries {
                hash_bytes(&mut hash, sort);
                hash_bytes(&mut hash, value);
            }
            let Some(end) = page.entries.into_iter().next_back() else {
                break;
            };
            last = Some(end.sort.clone());
            scan.start = after(end.sort);
            if !page.more {
                break;
            }
        }
        Ok(Self {
            writer: writer_of(&name, writers),
            name,
            has_objects: !objects.entries.is_empty(),
            is_head: false,
            last,
            hash: hash.digest128(),
        })
    }
}

fn hash_bytes(hash: &mut Xxh3Default, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_that_of_the_writer_with_which_its_name_ends() {
        let writer = |id: &str| Writer {
            id: id.to_owned(),
            number: 1,
        };
        let writers = [writer("a"), writer("b"), writer("c/b")];
        let of = |part| writer_of(part, &writers);
        assert_eq!((of("head/a"), of("data/1/b"), of("b")), (0, 1, 1));
        assert_eq!(of("data/1/c/b"), 2);
        assert_eq!((of("head/xb"), of("other")), (0, 0));
    }
}
