//! A Bloom filter of an entry's terms, built at its first search, so that entries without a rare attribute are skipped.

/// Terms per 64-bit word. A term counts once for each fragment that has it.
const TERMS_A_WORD: usize = 4;

/// A blocked Bloom filter: each term sets three bits in one word.
#[derive(Clone, Debug)]
pub(crate) struct TermFilter {
    words: Vec<u64>,
}

// === impl TermFilter ===

impl TermFilter {
    /// Builds the filter of stored terms.
    pub(crate) fn new(terms: &[[u8; 4]]) -> Self {
        let mut words = vec![0; terms.len().div_ceil(TERMS_A_WORD).max(1)];
        for term in terms {
            let (word, bits) = place(u32::from_le_bytes(*term), words.len());
            if let Some(word) = words.get_mut(word) {
                *word |= bits;
            }
        }
        Self { words }
    }

    /// Returns false if the term is certainly not in the filter.
    pub(crate) fn may_have(&self, term: u32) -> bool {
        let (word, bits) = place(term, self.words.len());
        self.words.get(word).is_some_and(|it| it & bits == bits)
    }
}

/// Returns the index of a term's word, from the upper bits of its hash, and the bits to set there, from the lower ones. Terms are
/// fingerprints already, but the terms of an attribute's numeric values differ only in a few bits.
#[inline]
fn place(term: u32, words: usize) -> (usize, u64) {
    let mixed = u64::from(term).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = ((mixed >> 32) * words as u64) >> 32;
    let bit = |at: u32| 1 << ((mixed >> at) & 63);
    let bits = bit(14) | bit(20) | bit(26);
    (usize::try_from(word).unwrap_or(usize::MAX), bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_passes_and_few_others() {
        let terms: Vec<u32> = (0..4000_u32).map(|n| n.wrapping_mul(0x9e37_79b9)).collect();
        let stored: Vec<[u8; 4]> = terms.iter().map(|term| term.to_le_bytes()).collect();
        let filter = TermFilter::new(&stored);
        assert!(terms.iter().all(|term| filter.may_have(*term)));
        let others = (4000..104_000_u32).map(|n| n.wrapping_mul(0x9e37_79b9));
        let wrong = others.filter(|term| filter.may_have(*term)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
        assert!(!TermFilter::new(&[]).may_have(7));
    }

    /// Repeats the magnitudes of a few keys, as in `wit/terms.md`, and then asks for larger magnitudes of the same keys.
    #[test]
    fn adjacent_terms_are_told_apart() {
        let term = |key: u32, step: u32| key.wrapping_mul(0x9e37_79b9) & !0x7ff | step << 3;
        let steps = |key| [0, 170, 175, 176, 177].map(|step| term(key, step).to_le_bytes());
        let stored: Vec<[u8; 4]> = (0..40_u32).flat_map(steps).cycle().take(4000).collect();
        let filter = TermFilter::new(&stored);
        let above = (0..40).flat_map(|key| (178..=232).map(move |step| term(key, step)));
        let wrong = above.filter(|term| filter.may_have(*term)).count();
        assert!(wrong < 40, "{wrong} of 2,200");
    }
}
