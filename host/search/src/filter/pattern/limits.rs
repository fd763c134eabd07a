//! Go's limits of how large and how deep a pattern may be, measured as Go measures them.
//!
//! Go measures lazily and caches the sizes, even if a part grows afterwards and if the memory of a dropped part is reused. This mirrors
//! it, in order to refuse the same patterns.

use super::error::Code;
use super::node::{Node, Op};
use super::stack::Entry;

/// The most instructions of the program that Go would make of a pattern.
const MAX_SIZE: u64 = (128 << 20) / (5 * 8);

/// The most levels of a tree. It is not measured before as many parts were made.
const MAX_HEIGHT: u32 = 1000;

/// The most copies that nested repetitions may make of one thing.
pub(super) const MAX_REPEAT: u32 = 1000;

/// The parts made so far for a pattern.
#[derive(Debug)]
pub(super) struct Usage {
    /// Parts made, but for those that took the place of a dropped one.
    made: u64,
    /// The remembered sizes of parts that were dropped, the next to be used last.
    dropped: Vec<Option<u64>>,
    /// The product of all repetitions seen.
    repeats: u64,
    measures_size: bool,
    measures_height: bool,
}

// === impl Usage ===

impl Usage {
    pub(super) fn new() -> Self {
        Self {
            made: 0,
            dropped: Vec::new(),
            repeats: 1,
            measures_size: false,
            measures_height: false,
        }
    }

    /// Counts a new part. Returns its initial size.
    pub(super) fn make(&mut self) -> Option<u64> {
        if let Some(size) = self.dropped.pop() {
            return size;
        }
        self.made += 1;
        None
    }

    /// Counts a part, with its remembered size, that is dropped.
    pub(super) fn drop(&mut self, size: Option<u64>) {
        self.dropped.push(size);
    }

    /// Measures a part that is new on top of the others.
    ///
    /// # Errors
    /// `TooLarge` and `NestsTooDeeply`.
    pub(super) fn check(&mut self, node: &mut Node, others: &mut [Entry]) -> Result<(), Code> {
        if !self.measures_size && self.must_measure_size(node) {
            self.measures_size = true;
            (parts(others).map(size).all(|size| size <= MAX_SIZE))
                .then_some(())
                .ok_or(Code::TooLarge)?;
        }
        if self.measures_size && size(node) > MAX_SIZE {
            return Err(Code::TooLarge);
        }
        if !self.measures_height && self.made >= u64::from(MAX_HEIGHT) {
            self.measures_height = true;
            (parts(others).map(height).all(|height| height <= MAX_HEIGHT))
                .then_some(())
                .ok_or(Code::NestsTooDeeply)?;
        }
        if self.measures_height && height(node) > MAX_HEIGHT {
            return Err(Code::NestsTooDeeply);
        }
        Ok(())
    }

    /// Returns `true` if the parts made, times all repetitions, are so many that the pattern may be too large.
    fn must_measure_size(&mut self, node: &Node) -> bool {
        if let Op::Repeat { min, max, .. } = node.op {
            let times = u64::from(max.unwrap_or(min)).max(1);
            self.repeats = if times > MAX_SIZE / self.repeats {
                MAX_SIZE
            } else {
                self.repeats * times
            };
        }
        self.made >= MAX_SIZE / self.repeats
    }
}

/// Returns `true` if this repetition and those within it make no more than `most` copies of any part.
pub(super) fn may_repeat(node: &Node, mut most: u32) -> bool {
    if let Op::Repeat { min, max, .. } = node.op {
        let times = match max {
            Some(0) => return true,
            Some(max) => max,
            None => min,
        };
        if times > most {
            return false;
        }
        most /= times.max(1);
    }
    node.subs().iter().all(|sub| may_repeat(sub, most))
}

fn parts(entries: &mut [Entry]) -> impl Iterator<Item = &mut Node> {
    entries.iter_mut().filter_map(|entry| match entry {
        Entry::Part(node) => Some(node),
        Entry::Open { .. } | Entry::Bar => None,
    })
}

fn size(node: &mut Node) -> u64 {
    let subs: u64 = (node.subs_mut().iter_mut())
        .map(|sub| match sub.size {
            Some(size) => size,
            None => size(sub),
        })
        .sum();
    let size = match &node.op {
        Op::Literal(text) => text.len() as u64,
        Op::Capture(_)
        | Op::Star(_)
        | Op::Repeat {
            min: 0, max: None, ..
        } => 2 + subs,
        Op::Plus(_) | Op::Quest(_) => 1 + subs,
        Op::Concat(_) => subs,
        Op::Alternate(all) => subs + (all.len() as u64).saturating_sub(1),
        Op::Repeat { min, max: None, .. } => 1 + u64::from(*min) * subs,
        Op::Repeat {
            min,
            max: Some(max),
            ..
        } => u64::from(*max) * subs + u64::from(*max) - u64::from(*min),
        Op::Empty | Op::Class(_) | Op::AnyNotNewline | Op::Any | Op::Anchor | Op::Boundary => 0,
    };
    let size = size.max(1);
    node.size = Some(size);
    size
}

fn height(node: &mut Node) -> u32 {
    let subs = node.subs_mut().iter_mut();
    let below = subs.map(|sub| match sub.height {
        Some(height) => height,
        None => height(sub),
    });
    let height = 1 + below.max().unwrap_or(0);
    node.height = Some(height);
    height
}
