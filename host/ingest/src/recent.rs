//! Remembers the terms that a fragment got lately.

use larder_model::storage::Term;

/// The number of terms that are remembered: 8 KiB, which stay in the processor's first cache.
const SLOTS: usize = 512;

/// The last terms, each in the one slot that its bits name.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Terms, each with the number of its fragment.
    slots: Vec<(Term, u32)>,
}

// === impl Recent ===

impl Recent {
    /// Returns `true` unless the fragment got the term lately, and remembers it. A term that was forgotten counts as new. Fragments are
    /// numbered from 1.
    #[inline]
    pub(super) fn is_new(&mut self, term: Term, fragment: u32) -> bool {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, (0, 0));
        }
        let place = usize::try_from(term % SLOTS as u64).unwrap_or_default();
        let slot = self.slots.get_mut(place);
        slot.is_none_or(|slot| std::mem::replace(slot, (term, fragment)) != (term, fragment))
    }

    /// Forgets all terms. Fragments may then be numbered anew.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_new_once_for_each_fragment() {
        let mut recent = Recent::default();
        let slots = SLOTS as u64;
        assert!(recent.is_new(7, 1));
        assert!(!recent.is_new(7, 1));
        assert!(recent.is_new(7, 2));
        assert!(recent.is_new(8, 2));
        assert!(!recent.is_new(7, 2));
        // Another term in its slot.
        assert!(recent.is_new(7 + slots, 2));
        assert!(recent.is_new(7, 2));
        recent.clear();
        assert!(recent.is_new(7, 2));
    }
}
