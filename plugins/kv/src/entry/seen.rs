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

/// The word of a term, by its upper bits, and the bits there, by its lower ones: terms are fingerprints, so all of them are random.
#[inline]
fn place(term: u32, words: usize) -> (usize, u64) {
    let word = (u64::from(term) * words as u64) >> 32;
    let bits = 1 << (term & 63) | 1 << ((term >> 6) & 63) | 1 << ((term >> 12) & 63);
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
}
