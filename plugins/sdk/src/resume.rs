//! The simplest `resume`: a position of two numbers, in an order that the plugin chooses.

use crate::Error;

/// A position, ordered by the first number, then the second.
pub type Position = (u64, u64);

/// Encodes a position for the host to hand back.
pub fn encode(position: Position) -> Vec<u8> {
    let (major, minor) = position;
    [major.to_be_bytes(), minor.to_be_bytes()].concat()
}

/// Decodes a position that [`encode`] wrote; `None` on the first page. Raises `invalid-argument` for other bytes.
pub fn decode(resume: Option<&[u8]>) -> Result<Option<Position>, Error> {
    let Some(bytes) = resume else {
        return Ok(None);
    };
    match bytes.as_chunks() {
        ([major, minor], []) => Ok(Some((
            u64::from_be_bytes(*major),
            u64::from_be_bytes(*minor),
        ))),
        _ => Err(Error::InvalidArgument(format!(
            "invalid `resume`: {} bytes, where this plugin makes 16",
            bytes.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was() {
        for position in [(0, 0), (1, u64::MAX), (u64::MAX, 7)] {
            assert_eq!(decode(Some(&encode(position))), Ok(Some(position)));
        }
        assert_eq!(decode(None), Ok(None));
    }

    #[test]
    fn bytes_that_it_did_not_make_are_refused() {
        for len in [0, 8, 15, 17, 24] {
            assert!(matches!(
                decode(Some(&vec![1; len])),
                Err(Error::InvalidArgument(_))
            ));
        }
    }
}
