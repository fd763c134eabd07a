//! Which terms an entry may have, made at its first search: what has none of a rare attribute's is not looked through.

/// How many terms there are for a word of 64 bits, fragments' shares of the same term counted each.
const TERMS_A_WORD: usize = 4;

/// Words of bits, of which each term sets three in one word.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    words: Vec<u64>,
}

// === impl Seen ===

impl Seen {
    /// Of these terms, as they are stored.
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

    /// Whether the term may be one of them.
    pub(crate) fn may_have(&self, term: u32) -> bool {
        let (word, bits) = place(term, self.words.len());
        self.words.get(word).is_some_and(|it| it & bits == bits)
    }
}

/// The word of a term, by the upper bits of what it is mixed to, and the bits there, by the lower ones. Terms are fingerprints, but those
/// of an attribute's numbers differ in a few bits alone.
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
    fn every_term_is_seen_and_few_others() {
        let terms: Vec<u32> = (0..4000_u32).map(|n| n.wrapping_mul(0x9e37_79b9)).collect();
        let stored: Vec<[u8; 4]> = terms.iter().map(|term| term.to_le_bytes()).collect();
        let seen = Seen::new(&stored);
        assert!(terms.iter().all(|term| seen.may_have(*term)));
        let others = (4000..104_000_u32).map(|n| n.wrapping_mul(0x9e37_79b9));
        let wrong = others.filter(|term| seen.may_have(*term)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
        assert!(!Seen::new(&[]).may_have(7));
    }

    /// A few keys' magnitudes, as `wit/terms.md` has them, again and again: those above the steps that are there are asked for.
    #[test]
    fn terms_that_are_next_to_each_other_are_told_apart() {
        let term = |key: u32, step: u32| key.wrapping_mul(0x9e37_79b9) & !0x7ff | step << 3;
        let steps = |key| [0, 170, 175, 176, 177].map(|step| term(key, step).to_le_bytes());
        let stored: Vec<[u8; 4]> = (0..40_u32).flat_map(steps).cycle().take(4000).collect();
        let seen = Seen::new(&stored);
        let above = (0..40).flat_map(|key| (178..=232).map(move |step| term(key, step)));
        let wrong = above.filter(|term| seen.may_have(*term)).count();
        assert!(wrong < 40, "{wrong} of 2,200");
    }
}
