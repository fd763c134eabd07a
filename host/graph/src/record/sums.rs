//! Sums of a record: of each edge the calls, the errors, and how many calls there are of each class.
//!
//! | part | bytes |
//! |---|---|
//! | number of edges, then each: | varint |
//! | number of the edge, calls, errors, number of classes | 4 varints |
//! | each class, calls | 1; varint |

use super::{EdgeCall, Value};
use crate::codec;

const VERSION: u8 = 1;
/// The first class that tells an error.
const FIRST_ERROR: u8 = 1 << 7;

/// Sums by edge.
#[derive(Debug, Default)]
pub(super) struct Sums(Vec<Sum>);

/// The classes of an edge, sorted, each with its number of calls. Most edges have few, and a client may make up many edges.
type Sum = Vec<(u8, u64)>;

// === impl Sums ===

impl Sums {
    pub(super) fn add(&mut self, (edge, class): EdgeCall) {
        let edge = edge as usize;
        if self.0.len() <= edge {
            self.0.resize_with(edge + 1, Sum::new);
        }
        let Some(sum) = self.0.get_mut(edge) else {
            return;
        };
        match sum.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(place) => {
                if let Some((_, calls)) = sum.get_mut(place) {
                    *calls += 1;
                }
            }
            Err(place) => sum.insert(place, (class, 1)),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let sums = || {
            let sums = (0_u64..).zip(&self.0);
            sums.filter(|(_, sum)| !sum.is_empty())
        };
        codec::seal(VERSION, Value::Sums.number(), |bytes| {
            codec::put_len(bytes, sums().count());
            for (edge, sum) in sums() {
                let errors = sum.iter().filter(|(class, _)| *class >= FIRST_ERROR);
                codec::put(bytes, edge);
                codec::put(bytes, sum.iter().map(|(_, calls)| calls).sum());
                codec::put(bytes, errors.map(|(_, calls)| calls).sum());
                codec::put_len(bytes, sum.len());
                for (class, calls) in sum {
                    bytes.push(*class);
                    codec::put(bytes, *calls);
                }
            }
        })
    }

    /// Calls, errors and classes of an edge.
    #[cfg(test)]
    pub(super) fn decode(bytes: &[u8]) -> Result<Vec<(u32, u64, u64)>, codec::Damaged> {
        let mut reading = codec::open(bytes, VERSION, Value::Sums.number())?;
        let mut sums = Vec::new();
        for _ in 0..reading.count()? {
            sums.push((reading.number_u32()?, reading.number()?, reading.number()?));
            for _ in 0..reading.count()? {
                reading.byte()?;
                reading.number()?;
            }
        }
        reading.end()?;
        Ok(sums)
    }
}
