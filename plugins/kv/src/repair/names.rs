//! Operations that cannot be read: the host makes those of all spans that the bucket got since then.

use std::collections::BTreeSet;

use larder_plugin::{BatchOperation, Error, Part, Remade, SpanKind};

use super::fill::Spans;
use super::report::Report;
use super::{ASK_BYTES, Asked, WriterRepair, load, replace};
use crate::cache::Value;
use crate::frame::{Area, Kind};
use crate::operations;
use crate::table::Table;

/// Operations that are being collected.
#[derive(Debug)]
pub(super) struct Naming {
    bucket: u64,
    /// The number of the value.
    number: u64,
    found: BTreeSet<(String, String, SpanKind)>,
    /// The next fragment: the place of its segment, its chunk in the segment, its row.
    at: (usize, u32, u32),
}

// === impl WriterRepair ===

impl WriterRepair {
    /// Begins to make a value of operations anew if it cannot be read.
    pub(super) fn operations(
        &mut self,
        bucket: u64,
        number: u64,
        report: &mut Report,
    ) -> Result<(), Error> {
        report.read();
        let (area, key) = (Area::Data(bucket), (Kind::Operations, number));
        if load(&self.view.writer, area, key, check)?.is_some() {
            return Ok(());
        }
        if self.named.contains(&bucket) {
            replace(&self.view.writer, area, key, |_| ())?;
            let effect = "its operations were made anew, and are in another value";
            report.mended(&self.view.writer, area, key, effect);
            return Ok(());
        }
        let naming = Naming {
            bucket,
            number,
            found: BTreeSet::new(),
            at: (self.segment, 0, 0),
        };
        self.go_on_naming(naming, &[], report)
    }

    /// Asks for the operations of the next fragments, or replaces the value once it has all.
    pub(super) fn go_on_naming(
        &mut self,
        mut naming: Naming,
        remade: &[Remade],
        report: &mut Report,
    ) -> Result<(), Error> {
        for operation in remade.iter().flat_map(|it| &it.operations) {
            let (service, name) = (operation.service.clone(), operation.name.clone());
            naming.found.insert((service, name, operation.kind));
        }
        report.read();
        let asked = self.next_spans(&mut naming)?;
        if !asked.is_empty() {
            report.ask(asked);
            self.asked = Some(Asked::Names(naming));
            return Ok(());
        }
        let (writer, area) = (&self.view.writer, Area::Data(naming.bucket));
        let key = (Kind::Operations, naming.number);
        replace(writer, area, key, |out| {
            for (service, name, kind) in &naming.found {
                let operation = BatchOperation {
                    service,
                    service_index: 0,
                    name,
                    kind: *kind,
                };
                operations::encode(&operation, out);
            }
        })?;
        self.named.insert(naming.bucket);
        let count = naming.found.len();
        let effect = format!("{count} operations were made anew from the spans of the bucket");
        report.mended(writer, area, key, &effect);
        Ok(())
    }

    /// Returns the OTLP of the next fragments of the bucket that can be read; none at the end.
    fn next_spans(&mut self, naming: &mut Naming) -> Result<Vec<Vec<u8>>, Error> {
        let (mut asked, mut bytes) = (Vec::new(), 0);
        let mut spans = Spans::default();
        while let Some((bucket, segment)) = self.view.segments.get(naming.at.0).copied() {
            let (place, chunk, first) = naming.at;
            naming.at = (place + 1, 0, 0);
            if bucket != naming.bucket {
                continue;
            }
            let header = match self.view.header(segment.number) {
                Ok(header) => header,
                Err(Error::DataLoss(_)) => continue,
                Err(error) => return Err(error),
            };
            let Some((_, found)) = header.chunk(chunk) else {
                continue;
            };
            naming.at = (place, chunk + 1, 0);
            let writer = &self.view.writer;
            let key = (Kind::Table, found.table);
            let Some(table) = load(writer, Area::Data(bucket), key, Table::of)? else {
                continue;
            };
            for row in (first..table.len()).filter(|row| !table.is_lost(*row)) {
                if bytes >= ASK_BYTES {
                    naming.at = (place, chunk, row);
                    return Ok(asked);
                }
                let at = table.place(Part::Otlp, row).unwrap_or_default();
                if let Some(otlp) = spans.read(writer, bucket, at)? {
                    bytes += otlp.len();
                    asked.push(otlp);
                }
            }
        }
        Ok(asked)
    }
}

/// Checks that a value of operations reads.
pub(super) fn check(value: &Value) -> Result<(), crate::codec::Damaged> {
    operations::decode(value.payload()).try_for_each(|it| it.map(|_| ()))
}
