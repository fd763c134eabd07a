//! Sets of code points. Surrogates are in them, as in Go, though no text has one.

use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// A set of code points: ranges with both ends, in order, that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runes(Vec<(u32, u32)>);

/// The greatest code point.
const LAST: u32 = char::MAX as u32;

/// The last code point of the planes that have letters of two cases.
const LAST_WITH_CASE: char = '\u{1FFFF}';

/// A set of fewer ranges is added range by range, a greater one by merging.
const FEW: usize = 8;

/// Every code point that has others of the same simple case folding, with all of these; in order.
static ORBITS: LazyLock<Vec<(u32, Vec<u32>)>> = LazyLock::new(|| {
    let others = |rune: char| {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(rune, rune)]);
        // It fails only without the tables, which the features of the dependency name.
        class.try_case_fold_simple().ok()?;
        let all = class.iter().flat_map(|range| range.start()..=range.end());
        let others = all.filter(|other| *other != rune).map(u32::from);
        Some(others.collect::<Vec<_>>()).filter(|others| !others.is_empty())
    };
    let every = (char::MIN..=LAST_WITH_CASE).filter_map(|rune| Some((rune.into(), others(rune)?)));
    every.collect()
});

// === impl Runes ===

impl Runes {
    /// Every code point.
    pub(super) fn all() -> Self {
        Self(vec![(0, LAST)])
    }

    /// The set of these ranges, which may come in any order.
    pub(super) fn of(ranges: &[(u32, u32)]) -> Self {
        let mut runes = Self::default();
        for &(low, high) in ranges {
            runes.add(low, high);
        }
        runes
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub(super) fn contains(&self, rune: u32) -> bool {
        let after = self.0.partition_point(|&(_, high)| high < rune);
        self.0.get(after).is_some_and(|&(low, _)| low <= rune)
    }

    /// Adds a range, both ends included.
    pub(super) fn add(&mut self, mut low: u32, mut high: u32) {
        let first = self.0.partition_point(|&(_, end)| end + 1 < low);
        let after = self.0.partition_point(|&(start, _)| start <= high + 1);
        if let Some(touched) = self.0.get(first..after)
            && let (Some(&(start, _)), Some(&(_, end))) = (touched.first(), touched.last())
        {
            low = low.min(start);
            high = high.max(end);
        }
        self.0.splice(first..after, [(low, high)]);
    }

    /// Adds all of another set.
    pub(super) fn add_all(&mut self, other: &Self) {
        if other.0.len() < FEW {
            for &(low, high) in &other.0 {
                self.add(low, high);
            }
            return;
        }
        self.0.extend_from_slice(&other.0);
        self.0.sort_unstable();
        self.0.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1 + 1;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
    }

    /// Every code point that is not in the set.
    #[must_use]
    pub(super) fn negated(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for &(low, high) in &self.0 {
            if next < low {
                gaps.push((next, low - 1));
            }
            next = high + 1;
        }
        if next <= LAST {
            gaps.push((next, LAST));
        }
        Self(gaps)
    }

    /// The set with every code point that folds as one of its own.
    #[must_use]
    pub(super) fn folded(&self) -> Self {
        let mut folded = self.clone();
        for &(low, high) in &self.0 {
            let from = ORBITS.partition_point(|&(rune, _)| rune < low);
            let within = ORBITS
                .iter()
                .skip(from)
                .take_while(|&&(rune, _)| rune <= high);
            for &other in within.flat_map(|(_, others)| others) {
                if !(low..=high).contains(&other) {
                    folded.add(other, other);
                }
            }
        }
        folded
    }
}

impl From<&ClassUnicode> for Runes {
    fn from(class: &ClassUnicode) -> Self {
        let range = |range: &ClassUnicodeRange| (range.start().into(), range.end().into());
        Self(class.iter().map(range).collect())
    }
}

/// The least code point that folds as this one.
pub(super) fn least_fold(rune: u32) -> u32 {
    let least = others(rune).iter().min();
    least.map_or(rune, |&least| least.min(rune))
}

/// Returns `true` if two code points fold to each other, and no third one does.
pub(super) fn are_a_pair(rune: u32, other: u32) -> bool {
    others(rune) == [other]
}

fn others(rune: u32) -> &'static [u32] {
    let found = ORBITS.binary_search_by_key(&rune, |&(rune, _)| rune);
    let orbit = found.ok().and_then(|at| ORBITS.get(at));
    orbit.map_or(&[], |(_, others)| others)
}
