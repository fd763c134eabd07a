//! Searches in sorted slices.

#![expect(
    clippy::indexing_slicing,
    reason = "places are within what was counted"
)]

/// Returns the positions in `terms` of those of `wanted` that it has; both ascend. Each search begins where the last one ended, because
/// an attribute's terms at all levels are adjacent.
pub(crate) fn places(wanted: &[u32], terms: &[u32]) -> impl Iterator<Item = usize> {
    let mut before = None;
    wanted.iter().filter_map(move |term| {
        let at = match before {
            None => first_not_below(terms, *term),
            Some(before) => before + gallop(&terms[before..], |it| it < term),
        };
        before = Some(at);
        (terms.get(at) == Some(term)).then_some(at)
    })
}

/// Counts the terms below this one by interpolation search, because terms are hashes and so uniformly distributed.
fn first_not_below(terms: &[u32], term: u32) -> usize {
    let near = ((u64::from(term) * terms.len() as u64) >> u32::BITS) as usize;
    let (before, after) = terms.split_at(near);
    let mut reach = 0;
    while reach < near && before[near - 1 - reach] >= term {
        reach = reach * 2 + 1;
    }
    if reach == 0 {
        return near + gallop(after, |it| *it < term);
    }
    let start = near.saturating_sub(reach);
    start + before[start..].partition_point(|it| *it < term)
}

/// Counts the leading items for which `below` holds, by galloping search.
pub(crate) fn gallop<T>(sorted: &[T], below: impl Fn(&T) -> bool) -> usize {
    // Double the reach until it is too far, then search between the last two.
    let mut reach = 1;
    while sorted.get(reach - 1).is_some_and(&below) {
        reach *= 2;
    }
    let start = reach / 2;
    start + sorted[start..reach.min(sorted.len())].partition_point(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets of uniformly distributed terms, and skewed ones.
    fn sets() -> [Vec<u32>; 4] {
        let mut spread: Vec<u32> = (0..5000_u32).map(|n| n.wrapping_mul(0x9e37_79b9)).collect();
        spread.sort_unstable();
        let low = (0..300).map(|n| n * 3).collect();
        let high = (0..300).map(|n| u32::MAX - 900 + n * 3).collect();
        [spread, low, high, Vec::new()]
    }

    #[test]
    fn interpolation_agrees_with_binary_search() {
        for terms in sets() {
            let others = [0, 1, 449, 900, 1 << 31, u32::MAX - 901, u32::MAX];
            for term in terms.iter().copied().chain(others) {
                let due = terms.partition_point(|it| *it < term);
                assert_eq!(first_not_below(&terms, term), due, "{term}");
            }
        }
    }

    #[test]
    fn present_terms_are_found_in_order() {
        for terms in sets() {
            let (last, some) = (terms.last().copied(), terms.iter().step_by(7).copied());
            let mut wanted: Vec<u32> = some.flat_map(|it| [it, it.wrapping_add(1)]).collect();
            wanted.extend(last);
            wanted.sort_unstable();
            wanted.dedup();
            let due: Vec<usize> = wanted
                .iter()
                .filter_map(|term| terms.binary_search(term).ok())
                .collect();
            assert_eq!(places(&wanted, &terms).collect::<Vec<_>>(), due);
        }
    }

    #[test]
    fn galloping_counts_those_below() {
        let sorted: Vec<u32> = (0..40).collect();
        for term in 0..42 {
            assert_eq!(gallop(&sorted, |it| *it < term), term.min(40) as usize);
        }
    }
}
