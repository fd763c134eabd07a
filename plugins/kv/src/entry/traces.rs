//! An index of an entry's rows by trace, built at the first lookup of a trace.

use std::cmp::Ordering;

use crate::seek::pass_over;
use crate::table::Table;
use crate::traces::{self, WantedTrace};

/// The rows of an entry by the hash of their trace.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// The stored half of each hash, with its row; ascending.
    rows: Vec<(u32, u32)>,
}

// === impl Traces ===

impl Traces {
    /// Indexes the rows of a table.
    pub(crate) fn new(table: &Table) -> Self {
        let row = |row| (traces::short(traces::hash(table.trace_id(row))), row);
        let mut rows: Vec<_> = (0..table.len()).map(row).collect();
        rows.sort_unstable();
        Self { rows }
    }

    /// Calls `found` with (index into `wanted`, row) for each row of a wanted trace. `wanted` ascends by hash.
    pub(crate) fn each(
        &self,
        table: &Table,
        wanted: &[WantedTrace],
        mut found: impl FnMut(usize, u32),
    ) {
        let (mut rows, mut wanted) = (self.rows.as_slice(), wanted);
        while let (Some((hash, _)), Some((first, others))) = (rows.first(), wanted.split_first()) {
            let short = traces::short(first.hash);
            match hash.cmp(&short) {
                Ordering::Less => rows = pass_over(rows, |(hash, _)| *hash < short),
                Ordering::Greater => {
                    wanted = pass_over(wanted, |it| traces::short(it.hash) < *hash);
                }
                Ordering::Equal => {
                    let of_hash = rows.iter().take_while(|(hash, _)| *hash == short);
                    for (_, row) in of_hash {
                        if table.trace_id(*row) == first.id {
                            found(first.place, *row);
                        }
                    }
                    wanted = others;
                }
            }
        }
    }
}
