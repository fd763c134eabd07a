//! Adds up the calls of records, and of days.

use std::sync::Arc;

use hashbrown::HashMap;
use larder_search::kept::Summed;

use super::{Judged, Kept};
use crate::bucket::{Bucket, Day};
use crate::codec::Damaged;
use crate::record::{Damage, Extent, Head, Page, PageHead, Row, calls, load_pages};
use crate::rows::has_one;
use crate::state::{DaySums, Stored};

/// The calls of a record, or of a day, that count.
pub(super) struct Sums {
    head: Arc<Head>,
    /// The number of calls by edge.
    counts: Vec<u64>,
    pub(super) summed: Summed,
}

/// How the traces of a page lie to the window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    Within,
    Outside,
    /// Some within and some outside.
    Across,
}

/// What is read of a page.
#[derive(Clone, Copy)]
enum Reads {
    Nothing,
    /// Its sums, which the head has.
    Sums,
    /// Its rows.
    Rows,
}

/// Says whether a row counts.
type CountsRow<'a> = dyn Fn(&Row<'_>) -> bool + Sync + 'a;

// === impl Sums ===

impl Sums {
    /// Passes on the calls by the names of their services.
    pub(super) fn pass(&self, add: &mut (dyn for<'a> FnMut(&'a str, &'a str, u64) + Send)) {
        for ((parent, child), count) in self.calls() {
            add(parent, child, count);
        }
    }

    /// The edges with calls, by the names of their services.
    fn calls(&self) -> impl Iterator<Item = ((&str, &str), u64)> {
        let head: &Head = &self.head;
        let edges = head.edges.iter().zip(&self.counts);
        let edges = edges.filter(|(_, count)| **count > 0);
        edges.filter_map(move |(edge, count)| Some((names(head, *edge)?, *count)))
    }
}

/// The names of the services of an edge.
fn names(head: &Head, (parent, child): (u32, u32)) -> Option<(&str, &str)> {
    let name = |service: u32| Some(head.services.get(service as usize)?.as_str());
    Some((name(parent)?, name(child)?))
}

// === impl Kept ===

impl Kept {
    /// The calls of the traces of a record within the window that were not judged.
    pub(super) async fn sums(&self, bucket: Bucket, stored: &Stored) -> Result<Sums, Damage> {
        let head = self.shared.outline(&*self.keep, stored).await?;
        let judged = self.judged.get(&bucket);
        if judged.is_none() && self.lies(head.extent) == Lies::Within {
            let counts = head.totals.clone();
            let summed = Summed {
                whole_buckets: 1,
                ..Summed::default()
            };
            return Ok(Sums {
                head,
                counts,
                summed,
            });
        }
        let window = self.window;
        let reads = |page: &PageHead| {
            let has_judged = judged.is_some_and(|it| has_one(&it.starts, page.extent.first));
            match self.lies(page.extent) {
                Lies::Outside => Reads::Nothing,
                Lies::Within if !has_judged => Reads::Sums,
                Lies::Within | Lies::Across => Reads::Rows,
            }
        };
        let counts_row = |row: &Row<'_>| {
            let is_judged = || judged.is_some_and(|it| it.ids.contains(&row.id));
            row.first >= window.start && row.last <= window.end && !is_judged()
        };
        self.part(stored, &reads, &counts_row).await
    }

    /// The calls of the traces of a day that were not judged. All of its traces lie within the window.
    pub(super) async fn day(&self, day: Day, sums: &DaySums) -> Result<Sums, Damage> {
        let head = self.shared.outline(&*self.keep, &sums.stored).await?;
        let mut counts = head.totals.clone();
        let mut summed = Summed::default();
        let mut edges = HashMap::new();
        let buckets = day.buckets(self.shared.config.day_buckets);
        for (bucket, stored) in self.used.range(buckets) {
            let Some(judged) = self.judged.get(bucket) else {
                summed.whole_buckets += 1;
                continue;
            };
            let judged = self.judged_sums(stored, judged).await?;
            summed += judged.summed;
            if edges.is_empty() {
                let whole: &Head = &head;
                let named = whole.edges.iter().enumerate();
                edges.extend(named.filter_map(|(place, edge)| Some((names(whole, *edge)?, place))));
            }
            let too_few = || Damaged("a day has fewer calls than its records");
            for (edge, calls) in judged.calls() {
                let place = edges.get(&edge).ok_or_else(too_few)?;
                let count = counts.get_mut(*place).ok_or_else(too_few)?;
                *count = count.checked_sub(calls).ok_or_else(too_few)?;
            }
        }
        drop(edges);
        Ok(Sums {
            head,
            counts,
            summed,
        })
    }

    /// The calls of the traces of a record that were judged.
    async fn judged_sums(&self, stored: &Stored, judged: &Judged) -> Result<Sums, Damage> {
        let reads = |page: &PageHead| {
            if has_one(&judged.starts, page.extent.first) {
                Reads::Rows
            } else {
                Reads::Nothing
            }
        };
        self.part(stored, &reads, &|row| judged.ids.contains(&row.id))
            .await
    }

    /// The calls of a part of a record: of the pages that count whole, and of those rows of others that count.
    async fn part(
        &self,
        stored: &Stored,
        reads: &(dyn Fn(&PageHead) -> Reads + Sync),
        counts_row: &CountsRow<'_>,
    ) -> Result<Sums, Damage> {
        let head = self.shared.head(&*self.keep, stored).await?;
        let mut summed = Summed {
            partial_buckets: 1,
            ..Summed::default()
        };
        let mut counts = vec![0_u64; head.edges.len()];
        let mut scanned = Vec::new();
        for (number, page) in (0..).zip(&head.pages) {
            match reads(page) {
                Reads::Nothing => {}
                Reads::Sums => add(&mut counts, page),
                Reads::Rows => {
                    scanned.push(number);
                    summed.scanned_pages += 1;
                    summed.scanned_rows += page.rows;
                }
            }
        }
        let mut each = |number, bytes: &[u8]| {
            let mut page = Page::decode(number, bytes)?;
            while let Some(row) = page.next()? {
                if !counts_row(&row) {
                    continue;
                }
                for call in calls(row.calls) {
                    if let Some(count) = counts.get_mut(call?.0 as usize) {
                        *count += 1;
                    }
                }
            }
            Ok(())
        };
        load_pages(&*self.keep, (&stored.group, &head), &scanned, &mut each).await?;
        Ok(Sums {
            head,
            counts,
            summed,
        })
    }

    fn lies(&self, extent: Extent) -> Lies {
        let (start, end) = (self.window.start, self.window.end);
        if extent.first.0 >= start && extent.last.1 <= end {
            Lies::Within
        } else if extent.first.1 < start || extent.last.0 > end {
            Lies::Outside
        } else {
            Lies::Across
        }
    }
}

/// Adds the sums of a page.
fn add(counts: &mut [u64], page: &PageHead) {
    for (edge, calls) in &page.counts {
        if let Some(count) = counts.get_mut(*edge as usize) {
            *count = count.saturating_add(*calls);
        }
    }
}
