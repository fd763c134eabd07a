//! Pages of sightings and of pieces, for a plugin that gives its fragments handles. Writes between two pages move nothing, as a page begins
//! after the last position of the one before: see [`resume`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::resume::{self, Position};
use crate::{Error, Piece, Pieces, Sighting, Sightings, TraceId, Wanted};

/// Returns a page of `find`: the newest `limit` of these matches that come after the page that gave `resume`.
///
/// A match is a position, of the sighting's `newest` and the fragment's handle, and a trace. They come in any order, and have to be those of
/// the whole search; of equally new ones the highest handle is the first. Raises `invalid-argument` for a `resume` that it did not make.
///
/// ```
/// use larder_plugin::{TraceId, pages};
///
/// let matches = [((30, 0), TraceId::from(1)), ((50, 1), TraceId::from(2)), ((40, 2), TraceId::from(1))];
/// let page = pages::newest_first(matches, None, 2)?;
/// assert_eq!(page.found.iter().map(|it| it.newest).collect::<Vec<_>>(), [50, 40]);
/// assert_eq!(page.floor, 40);
/// let page = pages::newest_first(matches, page.resume.as_deref(), 2)?;
/// assert_eq!((page.found[0].newest, page.resume), (30, None));
/// # Ok::<(), larder_plugin::Error>(())
/// ```
pub fn newest_first(
    matches: impl IntoIterator<Item = (Position, TraceId)>,
    resume: Option<&[u8]>,
    limit: u32,
) -> Result<Sightings, Error> {
    let before = resume::decode(resume)?;
    let limit = limit as usize;
    let mut more = false;
    // The newest so far; its top is the oldest of them.
    let mut newest = BinaryHeap::new();
    for it in matches {
        if before.is_some_and(|before| it.0 >= before) {
            continue;
        }
        newest.push(Reverse(it));
        if newest.len() > limit {
            newest.pop();
            more = true;
        }
    }
    let newest = newest.into_sorted_vec();
    let end = newest.last().map(|Reverse((end, _))| *end);
    let found = newest.into_iter().map(|Reverse((position, trace_id))| {
        let (newest, handle) = position;
        Sighting {
            trace_id,
            newest,
            fragment: Some(handle),
        }
    });
    Ok(Sightings {
        found: found.collect(),
        floor: end.map_or(0, |(newest, _)| newest),
        resume: end.filter(|_| more).map(resume::encode),
    })
}

/// Returns a page of `read`: of these positions, those that come after the page that gave `resume`, until there are `max_bytes`.
///
/// The positions are those of all that is wanted, in ascending order, as [`Wanted::positions`] has them. `piece` makes the piece of a
/// handle, or none for one that nothing has. Raises `invalid-argument` for a `resume` that it did not make.
pub fn pieces(
    positions: impl IntoIterator<Item = Position>,
    resume: Option<&[u8]>,
    max_bytes: u32,
    mut piece: impl FnMut(u64) -> Option<Piece>,
) -> Result<Pieces, Error> {
    let after = resume::decode(resume)?;
    let mut page = Pieces {
        pieces: Vec::new(),
        resume: None,
    };
    let mut bytes = 0;
    let mut end = None;
    for position in positions {
        if after.is_some_and(|after| position <= after) {
            continue;
        }
        if bytes >= max_bytes as usize && end.is_some() {
            page.resume = end.map(resume::encode);
            break;
        }
        let Some(piece) = piece(position.1) else {
            continue;
        };
        bytes += piece.bytes.len();
        page.pieces.push(piece);
        end = Some(position);
    }
    Ok(page)
}

// === impl Wanted ===

impl Wanted {
    /// Returns what is wanted in the order asked: the place in the list, and the handle. `of_trace` has the handles of a trace's fragments in
    /// the order written, none for an unknown one.
    pub fn positions<'a>(
        &'a self,
        of_trace: impl Fn(&TraceId) -> Option<&'a Vec<u64>>,
    ) -> Vec<Position> {
        match self {
            Self::Traces(ids) => {
                let handles = ids.iter().map(|id| of_trace(id).into_iter().flatten());
                let places = (0..).zip(handles);
                let positions = places.flat_map(|(place, its)| its.map(move |it| (place, *it)));
                positions.collect()
            }
            Self::Fragments(handles) => (0..).zip(handles.iter().copied()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::collections::BTreeMap;

    use super::*;

    /// All pages of `newest_first`, with what a write between two pages adds.
    fn found(limit: u32, between: &[(Position, TraceId)]) -> Vec<Vec<Position>> {
        let mut matches: Vec<_> = [(5, 0), (9, 1), (5, 2), (0, 3), (u64::MAX, 4)]
            .map(|position| (position, TraceId::from(7)))
            .into();
        let mut all = Vec::new();
        let mut resume: Option<Vec<u8>> = None;
        loop {
            let page = newest_first(matches.iter().copied(), resume.as_deref(), limit).unwrap();
            let found = page.found.iter();
            all.push(found.map(|it| (it.newest, it.fragment.unwrap())).collect());
            let floor = page.found.last().map_or(0, |it| it.newest);
            assert_eq!(page.floor, floor);
            resume = page.resume;
            if resume.is_none() {
                return all;
            }
            matches.extend(between);
        }
    }

    #[test]
    fn sightings_come_newest_first_page_by_page() {
        let all = [(u64::MAX, 4), (9, 1), (5, 2), (5, 0), (0, 3)];
        for limit in 1..=6 {
            let pages: Vec<_> = all.chunks(limit).map(Vec::from).collect();
            assert_eq!(found(u32::try_from(limit).unwrap(), &[]), pages);
        }
        assert_eq!(newest_first([], None, 3).unwrap().found, []);
    }

    #[test]
    fn what_is_written_between_two_pages_moves_nothing() {
        let later = [
            ((7, 5), TraceId::from(8)),
            ((u64::MAX, 6), TraceId::from(8)),
        ];
        let pages = found(2, &later[1..]);
        assert_eq!(
            pages[..2],
            [vec![(u64::MAX, 4), (9, 1)], vec![(5, 2), (5, 0)]]
        );
        let pages = found(2, &later);
        assert_eq!(pages[1], [(7, 5), (5, 2)]);
    }

    fn piece(handle: u64) -> Option<Piece> {
        let is_there = handle < 10;
        is_there.then(|| Piece {
            trace_id: TraceId::from(1),
            fragment: handle,
            bytes: vec![7; 10],
            dropped_spans: 0,
        })
    }

    /// The handles of each page.
    fn read(wanted: &Wanted, max_bytes: u32) -> Vec<Vec<u64>> {
        let traces = BTreeMap::from([
            (TraceId::from(1), vec![0, 3, 4]),
            (TraceId::from(2), vec![1]),
        ]);
        let mut all = Vec::new();
        let mut resume: Option<Vec<u8>> = None;
        loop {
            let positions = wanted.positions(|id| traces.get(id));
            let page = pieces(positions, resume.as_deref(), max_bytes, piece).unwrap();
            all.push(page.pieces.iter().map(|it| it.fragment).collect());
            resume = page.resume;
            if resume.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn pieces_come_in_the_order_asked_about_as_many_bytes_as_asked_for() {
        let traces = Wanted::Traces([2, 9, 1].map(TraceId::from).into());
        assert_eq!(read(&traces, 0), [[1], [0], [3], [4]].map(Vec::from));
        assert_eq!(read(&traces, 11), [[1, 0], [3, 4]].map(Vec::from));
        assert_eq!(read(&traces, 1_000), [[1, 0, 3, 4]].map(Vec::from));
        let fragments = Wanted::Fragments(vec![4, 700, 0, u64::MAX]);
        assert_eq!(read(&fragments, 1_000), [[4, 0]].map(Vec::from));
        assert_eq!(read(&Wanted::Fragments(vec![]), 5), [[0; 0]].map(Vec::from));
    }

    #[test]
    fn a_resume_that_they_did_not_make_is_refused() {
        let found = newest_first([], Some(b"rubbish"), 1);
        assert!(matches!(found, Err(Error::InvalidArgument(_))));
        let read = pieces([], Some(b"rubbish"), 1, piece);
        assert!(matches!(read, Err(Error::InvalidArgument(_))));
    }
}
