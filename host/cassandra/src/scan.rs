//! Scans: entries and the objects of all shards, merged in the order of their keys.

use std::collections::VecDeque;

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Entry, Error, Key, Page, Scan, Stored, value};

use crate::commit::DELETED;
use crate::db::rows;
use crate::namespace::{Space, compute};
use crate::places::Facts;
use crate::statements::Name;

/// Longer than any key.
const AFTER_ALL_BYTES: usize = 1100;
/// Entries that one statement reads.
const CHUNK: u32 = 128;
/// Objects that one statement reads of one shard, at the most. All shards together have about [`CHUNK`] in memory.
const OBJECT_CHUNK: u32 = 8;
/// Shards that one scan reads at the same time.
const AT_ONCE: usize = 32;

/// A bound behind all keys, which have at most 1,024 bytes.
pub(crate) fn after_all() -> Vec<u8> {
    vec![0xff; AFTER_ALL_BYTES]
}

/// Something ordered that is merged with others: the entries, or the objects of one shard.
struct Source {
    /// `None` for the entries, which count for more.
    shard: Option<i32>,
    ahead: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// The range that is not read yet.
    start: Vec<u8>,
    end: Vec<u8>,
    is_done: bool,
}

// === impl Space ===

impl Space {
    /// A page of a partition; of what is of one kind, if one is given.
    pub(crate) async fn scan_page(
        &self,
        part: &str,
        kind: Option<Stored>,
        scan: &Scan,
    ) -> Result<Page, Error> {
        let end = scan.end.clone().unwrap_or_else(after_all);
        if end <= scan.start || self.is_purged() || self.is_gone(part) {
            return Ok(Page::default());
        }
        let Some(mut sources) = self.begin(part, kind, scan, &end).await? else {
            return Ok(Page::default());
        };
        let mut page = Page::default();
        let mut bytes = 0;
        loop {
            self.fill(part, scan, &mut sources).await?;
            if sources
                .iter()
                .all(|source| source.ahead.is_empty() && source.is_done)
            {
                return Ok(page);
            }
            let ready = take_ready(&mut sources, scan.descending, kind);
            for (sort, opened) in self.open(part, ready).await? {
                let Some(value) = opened else {
                    // The page that begins with it returns the error.
                    if page.entries.is_empty() {
                        return Err(self.db.damage(part, &sort));
                    }
                    page.more = true;
                    return Ok(page);
                };
                bytes += (sort.len() + value.len()) as u64;
                let is_full = page.entries.len() as u64 >= u64::from(scan.max_entries)
                    || bytes > u64::from(scan.max_bytes);
                if is_full && !page.entries.is_empty() {
                    page.more = true;
                    return Ok(page);
                }
                page.entries.push(Entry { sort, value });
            }
        }
    }

    /// Everything that the range is in. `None` if nothing was ever written to the partition.
    async fn begin(
        &self,
        part: &str,
        kind: Option<Stored>,
        scan: &Scan,
        end: &[u8],
    ) -> Result<Option<Vec<Source>>, Error> {
        let of = |facts: Facts| {
            // Objects take the entries along, which hide them.
            let objects = facts.objects && kind != Some(Stored::Entry);
            sources(Facts { objects, ..facts }, &scan.start, end)
        };
        let known = self.known(part).unwrap_or_default();
        let mut sources = of(known);
        if known.entries && known.objects {
            return Ok(Some(sources));
        }
        // The first object may have been put there since it was looked at, or the first entry committed.
        let place = self.place(part, Name::PlaceGet);
        let (place, ()) = try_join(place, self.fill(part, scan, &mut sources)).await?;
        Ok(place.map(|place| {
            if place.facts == known {
                sources
            } else {
                of(place.facts)
            }
        }))
    }

    /// Reads on in all sources that have nothing ahead.
    async fn fill(&self, part: &str, scan: &Scan, sources: &mut Vec<Source>) -> Result<(), Error> {
        let shards = u32::try_from(sources.len()).unwrap_or(u32::MAX).max(1);
        let objects = (CHUNK / shards).clamp(1, OBJECT_CHUNK);
        let filled = stream::iter(std::mem::take(sources)).map(|source| async move {
            if !source.waits() {
                return Ok(source);
            }
            let most = if source.shard.is_some() {
                objects
            } else {
                CHUNK
            };
            self.fill_one(part, (scan, most), source).await
        });
        *sources = filled.buffered(AT_ONCE).try_collect().await?;
        Ok(())
    }

    async fn fill_one(
        &self,
        part: &str,
        (scan, most): (&Scan, u32),
        mut source: Source,
    ) -> Result<Source, Error> {
        // One more than fits, to know whether there is more.
        let limit = scan.max_entries.saturating_add(1).min(most);
        let number = i32::try_from(limit).unwrap_or(i32::MAX);
        let (start, end) = (&source.start, &source.end);
        let found = match source.shard {
            None => {
                let name = if scan.descending {
                    Name::HeadDown
                } else {
                    Name::HeadUp
                };
                let values = (self.ns, part, start, end, number);
                self.db.run(name, values).await?
            }
            Some(shard) => {
                let name = if scan.descending {
                    Name::ObjectDown
                } else {
                    Name::ObjectUp
                };
                let values = (self.ns, part, shard, start, end, number);
                self.db.run(name, values).await?
            }
        };
        let found: Vec<(Vec<u8>, Option<Vec<u8>>)> = rows(found)?;
        source.is_done = found.len() < limit as usize;
        if let Some((last, _)) = found.last() {
            if scan.descending {
                source.end.clone_from(last);
            } else {
                source.start.clone_from(last);
                source.start.push(0);
            }
        }
        let ahead = found.into_iter();
        source
            .ahead
            .extend(ahead.map(|(sort, value)| (sort, value.unwrap_or_default())));
        Ok(source)
    }

    /// Decodes values; `None` for those that cannot be.
    async fn open(
        &self,
        part: &str,
        ready: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, Error> {
        let bytes = ready.iter().map(|(_, stored)| stored.len()).sum();
        let mut key = Key {
            partition: part.to_owned(),
            sort: Vec::new(),
        };
        let open = move || {
            let open = |(sort, stored): (Vec<u8>, Vec<u8>)| {
                key.sort = sort;
                let value = value::decode(&key, &stored);
                (std::mem::take(&mut key.sort), value)
            };
            ready.into_iter().map(open).collect()
        };
        compute(bytes, open).await
    }
}

fn sources(facts: Facts, start: &[u8], end: &[u8]) -> Vec<Source> {
    let entries = facts.entries.then_some(None);
    let shards = if facts.objects { facts.shards } else { 0 };
    let source = |shard| Source {
        shard,
        ahead: VecDeque::new(),
        start: start.to_vec(),
        end: end.to_vec(),
        is_done: false,
    };
    entries
        .into_iter()
        .chain((0..shards).map(Some))
        .map(source)
        .collect()
}

/// Takes out what comes next in the order, until a source has to be read on or all are done. Leaves out what is not of the kind.
fn take_ready(
    sources: &mut [Source],
    descending: bool,
    kind: Option<Stored>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut ready = Vec::new();
    while !sources.iter().any(Source::waits) {
        let heads = sources.iter().filter_map(|source| source.ahead.front());
        let sorts = heads.map(|(sort, _)| sort);
        let next = if descending { sorts.max() } else { sorts.min() };
        let Some(next) = next.cloned() else {
            break;
        };
        let mut taken = None;
        for source in sources.iter_mut() {
            if source.ahead.front().is_some_and(|(sort, _)| *sort == next) {
                let value = source.ahead.pop_front().map(|(_, value)| value);
                // The entries come first.
                taken = taken.or(value.map(|value| (source.kind(), value)));
            }
        }
        let is_wanted = |of: &Stored| kind.is_none_or(|kind| kind == *of);
        if let Some((_, value)) = taken.filter(|(of, value)| is_wanted(of) && value != DELETED) {
            ready.push((next, value));
        }
    }
    ready
}

// === impl Source ===

impl Source {
    fn kind(&self) -> Stored {
        match self.shard {
            None => Stored::Entry,
            Some(_) => Stored::Object,
        }
    }

    /// True if it has to be read on before anything is taken from any source.
    fn waits(&self) -> bool {
        self.ahead.is_empty() && !self.is_done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(shard: Option<i32>, sorts: &[&str], is_done: bool) -> Source {
        let name = shard.map_or("entry".to_owned(), |shard| format!("object {shard}"));
        let ahead = sorts
            .iter()
            .map(|sort| (sort.as_bytes().to_vec(), name.clone().into_bytes()));
        Source {
            shard,
            ahead: ahead.collect(),
            start: Vec::new(),
            end: after_all(),
            is_done,
        }
    }

    fn texts(ready: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<String> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        ready
            .into_iter()
            .map(|(sort, value)| format!("{}={}", text(sort), text(value)))
            .collect()
    }

    #[test]
    fn sources_are_merged_and_an_entry_hides_an_object() {
        let mut sources = [
            source(None, &["b", "d"], true),
            source(Some(0), &["a", "b"], true),
            source(Some(1), &["c"], true),
        ];
        let ready = texts(take_ready(&mut sources, false, None));
        assert_eq!(ready, ["a=object 0", "b=entry", "c=object 1", "d=entry"]);
    }

    #[test]
    fn an_object_that_an_entry_hides_is_of_no_kind() {
        let sources = || {
            [
                source(None, &["b", "d"], true),
                source(Some(0), &["a", "b"], true),
            ]
        };
        let of = |kind| texts(take_ready(&mut sources(), false, Some(kind)));
        assert_eq!(of(Stored::Object), ["a=object 0"]);
        assert_eq!(of(Stored::Entry), ["b=entry", "d=entry"]);
    }

    #[test]
    fn nothing_is_taken_before_what_another_source_may_have() {
        let mut sources = [
            source(Some(0), &["a", "c"], false),
            source(Some(1), &["b"], false),
        ];
        assert_eq!(
            texts(take_ready(&mut sources, false, None)),
            ["a=object 0", "b=object 1"]
        );
        assert!(take_ready(&mut sources, false, None).is_empty());
        assert_eq!(sources.iter().filter(|source| source.waits()).count(), 1);
    }

    #[test]
    fn a_deleted_object_is_left_out_in_both_directions() {
        for descending in [false, true] {
            let mut deleted = source(None, &["a"], true);
            deleted.ahead = VecDeque::from([(b"a".to_vec(), DELETED.to_vec())]);
            let mut sources = [deleted, source(Some(0), &["a"], true)];
            assert!(take_ready(&mut sources, descending, None).is_empty());
        }
    }
}
