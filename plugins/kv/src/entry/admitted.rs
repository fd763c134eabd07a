//! Searches an entry: filters the terms of each clause, and then looks at the rows that are left.

use std::cmp::Reverse;

use super::Entry;
use super::term_filter::TermFilter;

// === impl Entry ===

impl Entry {
    /// Returns the rows of fragments that have a term of every clause. Clauses ascend by their number of terms, and so do the terms of
    /// each.
    pub(crate) fn admitted(&self, clauses: &[Vec<u32>]) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..self.len()).collect();
        let mut passed = Vec::with_capacity(clauses.len());
        for clause in clauses {
            // Looking at the rows costs less than to filter more terms than there are rows.
            if clause.len() > rows.len() {
                self.retain(&mut rows, &mut passed);
                if rows.is_empty() {
                    return rows;
                }
            }
            let terms = self.filtered(clause);
            if terms.is_empty() {
                return Vec::new();
            }
            passed.push((clause.len(), terms));
        }
        self.retain(&mut rows, &mut passed);
        rows
    }

    /// Returns those of the terms that the entry may have.
    fn filtered(&self, clause: &[u32]) -> Vec<u32> {
        let filter = self
            .term_filter
            .get_or_init(|| TermFilter::new(self.all_terms()));
        let terms = clause.iter().copied();
        terms.filter(|term| filter.may_have(*term)).collect()
    }

    /// Keeps the rows of fragments that have a term of every clause, and empties the clauses. Each comes with the number of terms that
    /// it had before it was filtered: of those with as many left, the one that had more asks for an attribute, which is likely rarer
    /// than a service.
    fn retain(&self, rows: &mut Vec<u32>, clauses: &mut Vec<(usize, Vec<u32>)>) {
        clauses.sort_by_key(|(before, terms)| (terms.len(), Reverse(*before)));
        rows.retain(|row| {
            let terms = self.terms(*row);
            clauses.iter().all(|(_, wanted)| has_any(terms, wanted))
        });
        clauses.clear();
    }
}

/// Returns true if one of `wanted` is among the terms of a fragment; both ascend. The shorter list is looked for in the longer one.
fn has_any(terms: &[[u8; 4]], wanted: &[u32]) -> bool {
    let number = |term: &[u8; 4]| u32::from_le_bytes(*term);
    if wanted.len() <= terms.len() {
        let has = |it: &u32| terms.binary_search_by_key(it, number).is_ok();
        return wanted.iter().any(has);
    }
    let is_wanted = |term: &[u8; 4]| wanted.binary_search(&number(term)).is_ok();
    terms.iter().any(is_wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_common_term_is_found_whichever_list_is_longer() {
        let numbers = |of: &[u32]| of.iter().map(|it| it.to_le_bytes()).collect::<Vec<_>>();
        let many: Vec<u32> = (0..1000).map(|n| n * 300).collect();
        for term in [300, 150_000, 299_700] {
            assert!(has_any(&numbers(&many), &[7, term]));
            assert!(has_any(&numbers(&[7, term]), &many));
        }
        assert!(!has_any(&numbers(&many), &[7, 299_701]));
        assert!(!has_any(&numbers(&[7, 299_701]), &many));
        assert!(!has_any(&[], &many) && !has_any(&numbers(&many), &[]));
    }
}
