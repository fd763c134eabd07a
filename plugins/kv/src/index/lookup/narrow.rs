//! Clauses with few fragments: those are looked up in the other clauses' lists at once, instead of chunk by chunk.

use larder_plugin::Error;

use super::{Alternative, Long, Postings, all_short};
use crate::codec::Damaged;
use crate::frame::Area;
use crate::index::lists::Ordinals;
use crate::index::{CHUNK, CHUNK_BITS};
use crate::store::{Store, Writer};

// === impl Postings ===

impl Postings {
    /// If a clause has at most `most` fragments, intersects all clauses right away. Returns false if nothing remains.
    pub(super) fn narrow(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        most: usize,
    ) -> Result<bool, Error> {
        let Some((fewest, others)) = self.clauses.split_first_mut() else {
            return Ok(true);
        };
        let count = fewest.iter().map(|list| list.short().len()).sum::<usize>();
        if others.is_empty() || !all_short(fewest) || count > most {
            return Ok(true);
        }
        let mut left: Vec<u32> = fewest
            .iter()
            .flat_map(Alternative::short)
            .copied()
            .collect();
        left.sort_unstable();
        left.dedup();
        for clause in others {
            let mut has = vec![false; left.len()];
            for list in clause {
                list.look_for(store, (writer, self.area), &left, &mut has)?;
            }
            let mut has = has.into_iter();
            left.retain(|_| has.next().unwrap_or_default());
        }
        let is_any_left = !left.is_empty();
        self.clauses = vec![vec![Alternative::Short(left)]];
        Ok(is_any_left)
    }
}

// === impl Alternative ===

impl Alternative {
    /// Sets `has` for those of the ascending ordinals that the list contains.
    fn look_for(
        &mut self,
        store: &mut Store,
        at: (&Writer, Area),
        wanted: &[u32],
        has: &mut [bool],
    ) -> Result<(), Error> {
        match self {
            Self::Short(ordinals) => {
                for (wanted, has) in wanted.iter().zip(has) {
                    *has |= ordinals.binary_search(wanted).is_ok();
                }
                Ok(())
            }
            Self::Long(long) => long.look_for(store, at, wanted, has),
            Self::Any => {
                has.fill(true);
                Ok(())
            }
        }
    }
}

// === impl Long ===

impl Long {
    fn look_for(
        &mut self,
        store: &mut Store,
        at: (&Writer, Area),
        mut wanted: &[u32],
        mut has: &mut [bool],
    ) -> Result<(), Error> {
        while let Some(first) = wanted.first() {
            let after = self.after(first >> CHUNK_BITS);
            let end = self
                .runs
                .get(after)
                .map(|next| next.chunk.saturating_mul(CHUNK));
            let these = wanted.partition_point(|it| end.is_none_or(|end| *it < end));
            let (of_run, rest) = wanted.split_at(these);
            let (has_run, has_rest) = has.split_at_mut(these);
            (wanted, has) = (rest, has_rest);
            let run = after
                .checked_sub(1)
                .and_then(|at| self.runs.get(at))
                .copied();
            if let Some(run) = run
                && !self.read(store, at, &run, |list| mark(list, of_run, &mut *has_run))?
            {
                has_run.fill(true);
            }
        }
        Ok(())
    }
}

/// Sets `has` for those of the ascending ordinals that the list contains.
fn mark(list: &mut Ordinals<'_>, wanted: &[u32], has: &mut [bool]) -> Result<(), Damaged> {
    let mut found = None;
    for (wanted, has) in wanted.iter().zip(has) {
        if found.is_none_or(|it| it < *wanted) {
            found = list.seek(*wanted)?;
        }
        *has |= found == Some(*wanted);
    }
    Ok(())
}
