//! Adds up the heads of several records.

use hashbrown::HashMap;
use larder_search::kept::Names;

use super::{Encoded, Extent, Head, PageHead};

/// The sums of some records.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    names: Names,
    calls: HashMap<(u32, u32), u64>,
    extent: Extent,
    rows: u64,
}

// === impl Totals ===

impl Totals {
    /// Adds a record with so many rows.
    pub(crate) fn add(&mut self, head: &Head, rows: u64) {
        let names = &mut self.names;
        let numbers: Vec<_> = head.services.iter().map(|it| names.number(it)).collect();
        let number = |service: u32| numbers.get(service as usize).copied();
        for ((parent, child), calls) in head.edges.iter().zip(&head.totals) {
            if let (Some(parent), Some(child)) = (number(*parent), number(*child)) {
                let total = self.calls.entry((parent, child)).or_default();
                *total = total.saturating_add(*calls);
            }
        }
        self.extent.join(head.extent);
        self.rows = self.rows.saturating_add(rows);
    }

    /// The last end of all rows.
    pub(crate) fn last(&self) -> u64 {
        self.extent.last.1
    }

    /// Encodes a head of all, whose page has no rows.
    pub(crate) fn encode(self) -> Encoded {
        let mut calls: Vec<_> = self.calls.into_iter().collect();
        calls.sort_unstable();
        let page = PageHead {
            rows: self.rows,
            parts: 0,
            extent: self.extent,
            counts: (0..).zip(&calls).map(|(edge, it)| (edge, it.1)).collect(),
        };
        let head = Head {
            services: self.names.all().to_vec(),
            edges: calls.into_iter().map(|(edge, _)| edge).collect(),
            pages: vec![page],
            ..Head::default()
        };
        Encoded::new(Vec::new(), &head, self.rows)
    }
}
