//! A list of distinct texts in one buffer, with a table to find them by hash.

use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Steps after which a search for a place in the table counts as too long. At most half of the places are taken, so texts that have not
/// been made for the purpose are found within a few.
const MAX_STEPS: usize = 128;

/// Texts by number, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// The end of each text in `bytes`. It starts where the one before ends.
    ends: Vec<u32>,
    /// A power of two of places, or none. A text is at the first free place from the one that its hash names.
    places: Vec<Place>,
}

/// A place of the table.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The upper half of the text's hash.
    tag: u32,
    /// One more than the number of the text; 0 if the place is free.
    number: u32,
}

/// The hash of a text, by a seed that only this process knows.
pub(super) fn hash(text: &[u8]) -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = SEED.get_or_init(|| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    });
    xxh3_64_with_seed(text, *seed)
}

// === impl Texts ===

impl Texts {
    /// A list of these texts, which are distinct.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut this = Self::default();
        for text in texts {
            this.bytes.extend_from_slice(text);
            this.ends.push(small(this.bytes.len()));
        }
        this.places = vec![Place::default(); (this.ends.len() * 2).next_power_of_two()];
        for number in 0..this.ends.len() {
            let hash = this.get(number).map_or(0, hash);
            let free = this.places_from(hash).find(|(_, place)| place.number == 0);
            if let Some((position, _)) = free
                && let Some(place) = this.places.get_mut(position)
            {
                *place = Place {
                    tag: tag(hash),
                    number: small(number + 1),
                };
            }
        }
        this
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all texts together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        let end = *self.ends.get(number)?;
        self.bytes.get(start as usize..end as usize)
    }

    /// The number of a text with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, text: &[u8]) -> Option<usize> {
        let tag = tag(hash);
        for (_, place) in self.places_from(hash) {
            let number = (place.number as usize).checked_sub(1)?;
            if place.tag == tag && self.get(number) == Some(text) {
                return Some(number);
            }
        }
        None
    }

    /// Returns `true` if so many texts have a hash near this one that a further one would be found too slowly.
    pub(super) fn is_crowded(&self, hash: u64) -> bool {
        let taken = self.places_from(hash).take(MAX_STEPS);
        taken.filter(|(_, place)| place.number != 0).count() == MAX_STEPS
    }

    /// Every place of the table once, from the one that a hash names on, with its position.
    #[inline]
    fn places_from(&self, hash: u64) -> impl Iterator<Item = (usize, Place)> {
        let mask = self.places.len().wrapping_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower bits name a place"
        )]
        let start = hash as usize;
        (0..self.places.len()).filter_map(move |step| {
            let position = start.wrapping_add(step) & mask;
            Some((position, *self.places.get(position)?))
        })
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the bounds of a dictionary are far below 4 GiB"
)]
fn small(length: usize) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_bytes() {
        let all: Vec<_> = (0..1000).map(|number| format!("text {number}")).collect();
        let texts = Texts::of(all.iter().map(String::as_bytes));
        assert_eq!(texts.len(), 1000);
        for (number, text) in all.iter().enumerate() {
            let text = text.as_bytes();
            assert_eq!(texts.get(number), Some(text));
            assert_eq!(texts.find(hash(text), text), Some(number));
            assert_eq!(texts.find(hash(text), b"another"), None);
        }
        assert_eq!(texts.get(1000), None);
        let none = Texts::default();
        assert_eq!(none.find(hash(b""), b""), None);
        assert!(!none.is_crowded(7));
        let empty = Texts::of([&b""[..]].into_iter());
        assert_eq!(empty.find(hash(b""), b""), Some(0));
    }

    #[test]
    fn a_place_with_many_neighbours_is_crowded() {
        let all: Vec<_> = (0..300).map(|number| number.to_string()).collect();
        let mut texts = Texts::of(all.iter().map(String::as_bytes));
        assert!((0..1024).all(|hash| !texts.is_crowded(hash)));
        for (place, number) in texts.places.iter_mut().zip(1..).take(MAX_STEPS) {
            *place = Place { tag: 0, number };
        }
        assert!(texts.is_crowded(0));
        assert!(!texts.is_crowded(MAX_STEPS as u64));
    }
}
