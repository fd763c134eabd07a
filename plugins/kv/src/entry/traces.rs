//! Where the traces of an entry are, made when a trace is first looked for: what has none of it is not looked through.

use std::cmp::Ordering;

use crate::table::Table;
use crate::traces::{self, Wanted};

/// The rows of an entry by the hash of their trace.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// The kept half of each hash, with the row; ascending.
    rows: Vec<(u32, u32)>,
}

// === impl Traces ===

impl Traces {
    /// Of the rows of a table.
    pub(crate) fn new(table: &Table) -> Self {
        let row = |row| (traces::short(traces::hash(table.trace_id(row))), row);
        let mut rows: Vec<_> = (0..table.len()).map(row).collect();
        rows.sort_unstable();
        Self { rows }
    }

    /// Gives the rows of wanted traces, which ascend by their hash: of each trace its place in the list, and a row.
    pub(crate) fn each(&self, table: &Table, wanted: &[Wanted], mut found: impl FnMut(usize, u32)) {
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

/// What is left of a slice without what comes before at its front: in steps that double, so that little and much are passed over soon.
fn pass_over<T>(slice: &[T], is_before: impl Fn(&T) -> bool) -> &[T] {
    let mut step = 1;
    while slice.get(step).is_some_and(&is_before) {
        step *= 2;
    }
    let start = step / 2;
    let within = slice.get(start..slice.len().min(step)).unwrap_or_default();
    let end = start + within.partition_point(is_before);
    slice.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_comes_before_is_passed_over() {
        for len in 0..40 {
            let numbers: Vec<u32> = (0..len).collect();
            for first in 0..=len {
                let left = pass_over(&numbers, |it| *it < first);
                assert_eq!(left, numbers.split_at(first as usize).1, "{first} of {len}");
            }
        }
    }
}
