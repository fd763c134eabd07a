//! Where a search goes on.

use larder_plugin::{Error, Timestamp};

use crate::number::ordered;

/// A place in an index of starts: a last start, as it is stored, and an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) last: i64,
    pub(super) id: i64,
}

/// What is left of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The fragments that began within the search's times and ended after them, from this class on, and in it after this place. Then all
    /// others.
    Across { class: i16, after: Place },
    /// Those below this place, a window at a time.
    Windows { below: Place, step: u8 },
    /// Those below this place, which are few.
    Few { below: Place },
}

// === impl Place ===

impl Place {
    /// Above every fragment whose last start is this or earlier.
    pub(super) fn above(last: Timestamp) -> Self {
        Self {
            last: ordered(last),
            id: i64::MAX,
        }
    }
}

// === impl Rest ===

impl Rest {
    pub(super) fn encode(self) -> Vec<u8> {
        let (kind, detail, place) = match self {
            Self::Across { class, after } => (0, u8::try_from(class).unwrap_or(u8::MAX), after),
            Self::Windows { below, step } => (1, step, below),
            Self::Few { below } => (2, 0, below),
        };
        let (last, id) = (place.last.to_be_bytes(), place.id.to_be_bytes());
        [&[kind, detail], last.as_slice(), id.as_slice()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let refused = || {
            Error::InvalidArgument(format!(
                "invalid `resume`: {} bytes that this plugin's `find` did not make",
                bytes.len()
            ))
        };
        let ([kind, detail], rest) = bytes.split_first_chunk().ok_or_else(refused)?;
        let (last, rest) = rest.split_first_chunk().ok_or_else(refused)?;
        let place = Place {
            last: i64::from_be_bytes(*last),
            id: i64::from_be_bytes(rest.try_into().map_err(|_| refused())?),
        };
        match (kind, detail) {
            (0, 0..=64) => Ok(Self::Across {
                class: i16::from(*detail),
                after: place,
            }),
            (1, step) => Ok(Self::Windows {
                below: place,
                step: *step,
            }),
            (2, 0) => Ok(Self::Few { below: place }),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_comes_back_as_it_was(last in any::<i64>(), id in any::<i64>(), class in 0..65_i16, step in 0..9_u8) {
            let place = Place { last, id };
            for rest in [
                Rest::Across { class, after: place },
                Rest::Windows { below: place, step },
                Rest::Few { below: place },
            ] {
                prop_assert_eq!(rest.encode().len(), 18);
                prop_assert_eq!(Rest::decode(&rest.encode()), Ok(rest));
            }
        }

        #[test]
        fn other_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(rest) = Rest::decode(&bytes) {
                prop_assert_eq!(rest.encode(), bytes);
            }
        }
    }
}
