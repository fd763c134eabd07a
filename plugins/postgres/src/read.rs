//! A page of pieces, of traces or of fragments.

use larder_plugin::{Error, Part, Piece, Pieces, TraceId, Wanted, resume};

use crate::connection::{Connection, Failure, Value};
use crate::engine::Engine;
use crate::schema::Tenant;

/// Traces that are asked for at once, and fragments.
const TRACES: usize = 256;
const FRAGMENTS: usize = 1024;
/// The most pieces of one statement.
const ROWS: usize = 4096;

/// Where a read goes on: an index into what is wanted, and of a trace the last fragment that was read, 0 for none.
type Position = (usize, i64);

/// A page that is being made.
struct Page<'a> {
    connection: &'a mut Connection,
    tenant: &'a Tenant,
    column: &'static str,
    pieces: Vec<Piece>,
    bytes: usize,
    max_bytes: usize,
}

/// Returns one page.
pub(crate) fn page(
    engine: &mut Engine,
    wanted: &Wanted,
    part: Part,
    resume: Option<&[u8]>,
    max_bytes: u32,
) -> Result<Pieces, Error> {
    let (place, id) = resume::decode(resume)?.unwrap_or((0, 0));
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    let column = match part {
        Part::Digest => "digest",
        Part::Otlp => "otlp",
    };
    let read = engine.with_tenant(|connection, _, tenant| {
        let page = Page {
            connection,
            tenant,
            column,
            pieces: Vec::new(),
            bytes: 0,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX).max(1),
        };
        page.fill(wanted, (place, id.cast_signed()))
    })?;
    Ok(read.unwrap_or_else(|| Pieces {
        pieces: Vec::new(),
        resume: None,
    }))
}

// === impl Page ===

impl Page<'_> {
    fn fill(mut self, wanted: &Wanted, from: Position) -> Result<Pieces, Failure> {
        let mut next = Some(from);
        while let Some(position) = next {
            if self.bytes >= self.max_bytes {
                break;
            }
            next = match wanted {
                Wanted::Traces(ids) => self.traces(ids, position)?,
                Wanted::Fragments(ids) => self.fragments(ids, position)?,
            };
        }
        let resume = next.map(|(place, id)| resume::encode((place as u64, id.cast_unsigned())));
        Ok(Pieces {
            pieces: self.pieces,
            resume,
        })
    }

    /// Reads on in the trace of this position, or the traces from it on.
    fn traces(
        &mut self,
        ids: &[TraceId],
        (place, after): Position,
    ) -> Result<Option<Position>, Failure> {
        let few = if after == 0 { TRACES } else { 1 };
        let some = ids.get(place..).unwrap_or_default();
        let some = some.get(..few.min(some.len())).unwrap_or_default();
        if some.is_empty() {
            return Ok(None);
        }
        let wanted = some.iter().map(|it| u128::from(*it)).collect();
        let values = [Value::Uuids(wanted), Value::Int8(after)];
        let source = format!(
            "unnest($1) WITH ORDINALITY AS w (trace, place) JOIN {}.fragments f ON f.trace = w.trace
             WHERE f.trace = ANY ($1) AND f.id > $2",
            self.tenant.schema
        );
        let last = self.take(&source, &values)?;
        Ok(Some(match last {
            Some((last, id)) => (place + last, id),
            None => (place + some.len(), 0),
        }))
    }

    /// Reads the fragments from this position on.
    fn fragments(
        &mut self,
        ids: &[u64],
        (place, _): Position,
    ) -> Result<Option<Position>, Failure> {
        let some = ids.get(place..).unwrap_or_default();
        let some = some.get(..FRAGMENTS.min(some.len())).unwrap_or_default();
        if some.is_empty() {
            return Ok(None);
        }
        // No fragment has an id that is below 0.
        let wanted = some.iter().map(|it| it.cast_signed()).collect();
        // The second condition tells the planner the partitions.
        let source = format!(
            "unnest($1) WITH ORDINALITY AS w (id, place) JOIN {}.fragments f ON f.id = w.id WHERE f.id = ANY ($1)",
            self.tenant.schema
        );
        let last = self.take(&source, &[Value::Int8s(wanted)])?;
        Ok(Some(match last {
            Some((last, _)) => (place + last + 1, 0),
            None => (place + some.len(), 0),
        }))
    }

    /// Takes pieces until the page is full. Returns the index and the id of the last one, if there may be more.
    fn take(&mut self, source: &str, values: &[Value<'_>]) -> Result<Option<Position>, Failure> {
        let column = self.column;
        let left = self.max_bytes - self.bytes;
        // Lengths are known without reading what is long, so that no more is read than the page takes.
        let statement = format!(
            "SELECT place, id, trace, part FROM (
                 SELECT *, sum(octet_length(part)) OVER (ORDER BY place, id) - octet_length(part) AS before FROM (
                     SELECT w.place, f.id, f.trace, f.{column} AS part FROM {source}
                     ORDER BY w.place, f.id LIMIT {ROWS}
                 ) f
             ) f WHERE before < {left} ORDER BY place, id"
        );
        let (mut rows, mut last) = (0, None);
        let (pieces, bytes) = (&mut self.pieces, &mut self.bytes);
        self.connection.query(&statement, values, |row| {
            let place = usize::try_from(row.int8(0)? - 1).unwrap_or(0);
            let (id, part) = (row.int8(1)?, row.bytes(3)?);
            rows += 1;
            last = Some((place, id));
            *bytes += part.len();
            pieces.push(Piece {
                trace_id: TraceId::from(row.uuid(2)?),
                fragment: id.cast_unsigned(),
                bytes: part.to_vec(),
                dropped_spans: 0,
            });
            Ok(())
        })?;
        let has_more = *bytes >= self.max_bytes || rows >= ROWS;
        Ok(last.filter(|_| has_more))
    }
}
