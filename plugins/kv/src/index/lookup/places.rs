//! The fragments of one chunk, as bits.

use crate::index::{CHUNK, CHUNK_BITS};

/// A bit for each fragment of a chunk.
pub(crate) type Places = [u64; 16];

/// All fragments of a chunk.
pub(super) const ALL: Places = [u64::MAX; 16];

/// Sets the place of a fragment in its chunk.
#[inline]
pub(super) fn set(places: &mut Places, ordinal: u32) {
    let place = ordinal % CHUNK;
    if let Some(word) = places.get_mut(place as usize / 64) {
        *word |= 1 << (place % 64);
    }
}

/// Returns those of the ascending ordinals that are of this chunk.
pub(super) fn of_chunk(ordinals: &[u32], chunk: u32) -> Places {
    let mut places = [0; 16];
    let start = ordinals.partition_point(|it| it >> CHUNK_BITS < chunk);
    let rest = ordinals.get(start..).unwrap_or_default();
    for ordinal in rest.iter().take_while(|it| **it >> CHUNK_BITS == chunk) {
        set(&mut places, *ordinal);
    }
    places
}

/// Keeps the places that are also in `others`.
pub(super) fn keep(places: &mut Places, others: &Places) {
    for (word, other) in places.iter_mut().zip(others) {
        *word &= other;
    }
}

/// Returns the first and the last of the places that are not in `others`; `None` if there is none.
pub(super) fn missing(places: &Places, others: &Places) -> Option<(u32, u32)> {
    let words = places.iter().zip(others).map(|(word, other)| word & !other);
    let mut words = (0_u32..16).zip(words).filter(|(_, word)| *word != 0);
    let (first, low) = words.next()?;
    let (last, high) = words.next_back().unwrap_or((first, low));
    let end = high.ilog2();
    Some((first * 64 + low.trailing_zeros(), last * 64 + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(marked: &[u32]) -> Places {
        let mut places = [0; 16];
        for place in marked {
            set(&mut places, *place);
        }
        places
    }

    #[test]
    fn what_is_missing_is_from_the_first_place_to_the_last() {
        assert_eq!(missing(&of(&[]), &of(&[])), None);
        for place in [0, 63, 64, 500, 1023] {
            assert_eq!(missing(&of(&[place]), &of(&[])), Some((place, place)));
            assert_eq!(missing(&of(&[place]), &of(&[place])), None);
        }
        assert_eq!(missing(&of(&[700, 3, 64]), &of(&[])), Some((3, 700)));
        assert_eq!(missing(&of(&[700, 3, 64]), &of(&[3, 900])), Some((64, 700)));
        assert_eq!(missing(&ALL, &of(&[])), Some((0, 1023)));
        assert_eq!(missing(&of(&[5]), &ALL), None);
    }

    #[test]
    fn ordinals_are_placed_in_their_own_chunk() {
        let ordinals = [3, 1023, 1024, 1030, 3000];
        assert_eq!(of_chunk(&ordinals, 0), of(&[3, 1023]));
        assert_eq!(of_chunk(&ordinals, 1), of(&[0, 6]));
        assert_eq!(of_chunk(&ordinals, 2), of(&[952]));
        assert_eq!(of_chunk(&ordinals, 3), [0; 16]);
        let mut places = of(&[1, 2, 900]);
        keep(&mut places, &of(&[2, 3, 900]));
        assert_eq!(places, of(&[2, 900]));
    }
}
