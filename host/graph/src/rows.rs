//! Reads rows of records, and makes records of rows.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, Keep, TraceId};
use larder_search::kept::{Call, Names, TraceCalls};

use crate::bucket::{Bucket, Day};
use crate::checkpoint::pause;
use crate::codec::Damaged;
use crate::record::{Damage, Encoded, Head, Page, Row, Rows, calls, load_head, load_pages};
use crate::shared::{Shared, unique};
use crate::state::Stored;

/// Pages read in one piece of work.
const PAGES_A_PIECE: usize = 8;
/// Bytes put in one piece of work.
const BYTES_A_PIECE: usize = 4 << 20;

/// A row that was looked up. Its services are numbers of the names that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Sorted.
    pub(crate) calls: Vec<Call>,
}

impl Shared {
    /// The head of a record.
    pub(crate) async fn head(&self, keep: &dyn Keep, stored: &Stored) -> Result<Arc<Head>, Damage> {
        if let Some(head) = self.cache.lock().get(&stored.group) {
            return Ok(head);
        }
        let head = Arc::new(load_head(keep, &stored.group, stored.head_parts).await?);
        self.cache.lock().insert(&stored.group, &head);
        Ok(head)
    }

    /// The head of a record without its pages, which take the most room: what it takes to add the record up whole.
    pub(crate) async fn outline(
        &self,
        keep: &dyn Keep,
        stored: &Stored,
    ) -> Result<Arc<Head>, Damage> {
        if let Some(outline) = self.outlines.lock().get(&stored.group) {
            return Ok(outline);
        }
        let head = load_head(keep, &stored.group, stored.head_parts).await?;
        let outline = Arc::new(head.outline());
        self.outlines.lock().insert(&stored.group, &outline);
        Ok(outline)
    }

    /// The head of a record, for work in the background that needs it once: it takes no place in memory from others.
    pub(crate) async fn peek(&self, keep: &dyn Keep, stored: &Stored) -> Result<Arc<Head>, Damage> {
        if let Some(outline) = self.outlines.lock().get(&stored.group) {
            return Ok(outline);
        }
        let head = load_head(keep, &stored.group, stored.head_parts).await?;
        Ok(Arc::new(head))
    }

    /// Passes on each row of some pages of a record. For work in the background.
    async fn rows(
        &self,
        keep: &dyn Keep,
        (stored, head): (&Stored, &Head),
        pages: &[u32],
        each: &mut (dyn FnMut(&Row<'_>) -> Result<(), Damaged> + Send),
    ) -> Result<(), Damage> {
        for pages in pages.chunks(PAGES_A_PIECE) {
            let mut page = |number, bytes: &[u8]| {
                let mut page = Page::decode(number, bytes)?;
                while let Some(row) = page.next()? {
                    each(&row)?;
                }
                Ok(())
            };
            load_pages(keep, (&stored.group, head), pages, &mut page).await?;
            pause().await;
        }
        Ok(())
    }

    /// The traces that a record has rows of.
    pub(crate) async fn ids(
        &self,
        keep: &dyn Keep,
        stored: &Stored,
    ) -> Result<HashSet<TraceId>, Damage> {
        let head = self.head(keep, stored).await?;
        let mut ids = HashSet::new();
        let mut add = |row: &Row<'_>| {
            ids.insert(row.id);
            Ok(())
        };
        self.rows(keep, (stored, &head), &all(&head), &mut add)
            .await?;
        Ok(ids)
    }

    /// The rows of some traces. A row's first start is one of those that are given with its trace.
    pub(crate) async fn look_up(
        &self,
        keep: &dyn Keep,
        stored: &Stored,
        wanted: &HashMap<TraceId, Vec<u64>>,
        names: &mut Names,
    ) -> Result<HashMap<TraceId, Found>, Damage> {
        let head = self.head(keep, stored).await?;
        let numbers: Vec<_> = head.services.iter().map(|it| names.number(it)).collect();
        let mut starts: Vec<u64> = wanted.values().flatten().copied().collect();
        starts.sort_unstable();
        let mut found = HashMap::new();
        let mut add = |row: &Row<'_>| {
            if wanted.contains_key(&row.id) {
                found.insert(row.id, Found::new(row, &head, &numbers)?);
            }
            Ok(())
        };
        let pages = pages_with(&head, &starts);
        self.rows(keep, (stored, &head), &pages, &mut add).await?;
        Ok(found)
    }

    /// Makes the values of a record of the rows of another, without some and with others.
    pub(crate) async fn rewrite(
        &self,
        keep: &dyn Keep,
        (bucket, stored): (Bucket, Option<&Stored>),
        without: &HashSet<TraceId>,
        (with, services): (&[(TraceId, &TraceCalls)], &[String]),
    ) -> Result<Encoded, Damage> {
        let mut names = Names::default();
        let mut rows = Rows::new();
        if let Some(stored) = stored {
            let head = self.head(keep, stored).await?;
            for service in &head.services {
                names.number(service);
            }
            rows = Rows::with_edges(&head.edges);
            let mut add = |row: &Row<'_>| {
                if !without.contains(&row.id) {
                    rows.push_row(row);
                }
                Ok(())
            };
            self.rows(keep, (stored, &head), &all(&head), &mut add)
                .await?;
        }
        for (id, trace) in with {
            let mut number = |service: u32| {
                let name = services.get(service as usize);
                names.number(name.map_or("", String::as_str))
            };
            let calls = trace.calls.iter().map(|call| Call {
                parent: number(call.parent),
                child: number(call.child),
                class: call.class,
            });
            let calls: Vec<_> = calls.collect();
            rows.push(*id, (trace.first, trace.last), &calls);
        }
        Ok(rows.encode(bucket, names.all()).await?)
    }

    /// Keeps the values of a record in a new group. `None` if it has no rows.
    pub(crate) async fn keep(
        &self,
        keep: &dyn Keep,
        bucket: Bucket,
        encoded: Encoded,
    ) -> Result<Option<Stored>, Error> {
        if encoded.rows == 0 {
            return Ok(None);
        }
        let group = format!("{:08x}-{:016x}", bucket.0, unique());
        self.put(keep, group, encoded).await.map(Some)
    }

    /// Keeps the sums of a day in a new group.
    pub(crate) async fn keep_day(
        &self,
        keep: &dyn Keep,
        day: Day,
        encoded: Encoded,
    ) -> Result<Stored, Error> {
        let group = format!("day-{:08x}-{:016x}", day.0, unique());
        self.put(keep, group, encoded).await
    }

    /// Keeps values in a new group.
    async fn put(&self, keep: &dyn Keep, group: String, encoded: Encoded) -> Result<Stored, Error> {
        let Encoded {
            values,
            rows,
            bytes,
            head_parts,
        } = encoded;
        let mut some = Vec::new();
        let mut size = 0;
        for (name, value) in values {
            if size + value.len() > BYTES_A_PIECE && !some.is_empty() {
                keep.put(&group, std::mem::take(&mut some)).await?;
                size = 0;
                pause().await;
            }
            size += value.len();
            some.push((name, value));
        }
        keep.put(&group, some).await?;
        Ok(Stored {
            group,
            head_parts,
            rows,
            bytes,
        })
    }
}

/// The numbers of all pages.
fn all(head: &Head) -> Vec<u32> {
    (0..).zip(&head.pages).map(|(number, _)| number).collect()
}

/// The numbers of the pages with rows that may begin at one of these sorted times.
fn pages_with(head: &Head, starts: &[u64]) -> Vec<u32> {
    let pages = (0..).zip(&head.pages);
    pages
        .filter(|(_, page)| has_one(starts, page.extent.first))
        .map(|(number, _)| number)
        .collect()
}

/// Returns `true` if one of these sorted times lies within a range, ends included.
pub(crate) fn has_one(times: &[u64], (from, to): (u64, u64)) -> bool {
    let next = times.partition_point(|time| *time < from);
    times.get(next).is_some_and(|time| *time <= to)
}

// === impl Found ===

impl Found {
    /// `numbers` are those of the services of the head.
    fn new(row: &Row<'_>, head: &Head, numbers: &[u32]) -> Result<Self, Damaged> {
        let number = |service: u32| numbers.get(service as usize).copied();
        let mut found = Vec::new();
        for call in calls(row.calls) {
            let (edge, class) = call?;
            let edge = head.edges.get(edge as usize);
            let call = edge.and_then(|(parent, child)| {
                Some(Call {
                    parent: number(*parent)?,
                    child: number(*child)?,
                    class,
                })
            });
            found.push(call.ok_or(Damaged("a call has an edge that is not there"))?);
        }
        found.sort_unstable();
        Ok(Self {
            first: row.first,
            last: row.last,
            calls: found,
        })
    }

    /// Returns `true` if it is the row that the trace should have.
    pub(crate) fn is_of(&self, trace: &TraceCalls) -> bool {
        if (self.first, self.last) != (trace.first, trace.last) {
            return false;
        }
        let mut calls = trace.calls.clone();
        calls.sort_unstable();
        calls == self.calls
    }
}
