//! Reads the parts of requested fragments, page by page.
//!
//! A page ends with (index into the request, handle of the next fragment). Traces that are evicted between two pages are skipped, as
//! are unknown ones.

use larder_plugin::resume::{self, Position};
use larder_plugin::{Error, Part, Piece, Pieces, Wanted};

use crate::handle::Handle;
use crate::payload::UnpackedBlock;
use crate::store::Store;

/// The most bytes on a page, whatever the host asks for; `limits` reserves memory for it.
const MAX_BYTES: usize = 8 << 20;

/// Returns one page, resuming where the previous page ended. Raises `data-loss` if a fragment cannot be unpacked.
pub(crate) fn page(
    store: &Store,
    wanted: &Wanted,
    part: Part,
    from: Option<Position>,
    max_bytes: u32,
) -> Result<Pieces, Error> {
    let max_bytes = MAX_BYTES.min(max_bytes as usize);
    let mut page = Pieces {
        pieces: Vec::new(),
        resume: None,
    };
    let mut opened = UnpackedBlock::default();
    let mut bytes = 0;
    let mut next = start(store, wanted, from);
    while let Some((place, handle)) = next {
        if let Some((segment, record)) = store.get(handle) {
            let piece = segment.bytes_of(handle.ordinal(), part, &mut opened)?;
            if bytes + piece.len() > max_bytes && !page.pieces.is_empty() {
                page.resume = Some(resume::encode((place as u64, handle.number())));
                break;
            }
            // A piece without bytes has a cost, too.
            bytes += piece.len() + size_of::<Piece>();
            page.pieces.push(Piece {
                trace_id: record.trace_id,
                fragment: handle.number(),
                bytes: piece.to_vec(),
                dropped_spans: record.dropped_spans(),
            });
        }
        next = after(store, wanted, place, handle);
    }
    Ok(page)
}

/// Returns the position at which a page begins.
fn start(store: &Store, wanted: &Wanted, from: Option<Position>) -> Option<(usize, Handle)> {
    match from {
        None => first(store, wanted, 0),
        Some((place, number)) => {
            let place = usize::try_from(place).ok()?;
            Some((place, Handle::from_number(number)))
        }
    }
}

/// Returns the first fragment of the request at `place` or after it.
fn first(store: &Store, wanted: &Wanted, place: usize) -> Option<(usize, Handle)> {
    match wanted {
        Wanted::Traces(ids) => {
            let mut rest = (place..).zip(ids.get(place..)?);
            rest.find_map(|(place, id)| Some((place, store.first_of(*id)?)))
        }
        Wanted::Fragments(handles) => {
            let number = handles.get(place)?;
            Some((place, Handle::from_number(*number)))
        }
    }
}

/// Returns the fragment after this one: the next of its trace, or the first of the next item of the request.
fn after(store: &Store, wanted: &Wanted, place: usize, handle: Handle) -> Option<(usize, Handle)> {
    if let Wanted::Traces(_) = wanted
        && let Some((_, record)) = store.get(handle)
        && record.next != handle
    {
        return Some((place, record.next));
    }
    first(store, wanted, place + 1)
}
