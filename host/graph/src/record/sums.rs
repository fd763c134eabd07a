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
/// Number of classes that tell no error; those of errors follow them.
const CLASSES: usize = 128;

/// Sums by edge.
#[derive(Debug, Default)]
pub(super) struct Sums(Vec<Option<Box<Sum>>>);

/// The number of calls of each class.
type Sum = [u64; 2 * CLASSES];

// === impl Sums ===

impl Sums {
    pub(super) fn add(&mut self, (edge, class): EdgeCall) {
        let edge = edge as usize;
        if self.0.len() <= edge {
            self.0.resize_with(edge + 1, || None);
        }
        if let Some(place) = self.0.get_mut(edge) {
            let sum = place.get_or_insert_with(|| Box::new([0; 2 * CLASSES]));
            if let Some(calls) = sum.get_mut(usize::from(class)) {
                *calls += 1;
            }
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let sums = || {
            let sums = (0_u64..).zip(&self.0);
            sums.filter_map(|(edge, sum)| Some((edge, sum.as_deref()?)))
        };
        codec::seal(VERSION, Value::Sums.number(), |bytes| {
            codec::put_len(bytes, sums().count());
            for (edge, sum) in sums() {
                let (fine, errors) = sum.split_at(CLASSES);
                let errors: u64 = errors.iter().sum();
                codec::put(bytes, edge);
                codec::put(bytes, fine.iter().sum::<u64>() + errors);
                codec::put(bytes, errors);
                let classes = || (0_u8..=u8::MAX).zip(sum).filter(|(_, calls)| **calls > 0);
                codec::put_len(bytes, classes().count());
                for (class, calls) in classes() {
                    bytes.push(class);
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
