//! Judging whether a text has the words that `phrase` and `fulltext` ask for (V16).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use larder_model::words::words;

use super::budget::OutOfTime;

/// Words of a text that are judged between checks of the deadline.
const WORDS_PER_CHECK: usize = 4096;

/// Words that one text has to have. ASCII case does not tell words apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordQuery {
    /// The words, with ASCII letters in lower case: each once for `fulltext`, as listed for `phrase`. Never empty.
    words: Vec<String>,
    arrangement: Arrangement,
}

/// Where the words of a query stand in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Arrangement {
    /// Anywhere, in any order. Holds the place of each word in the list.
    Anywhere(HashMap<String, usize>),
    /// Next to each other, in the order of the list. Holds, for each place of the list, how many of the words that end there begin the
    /// list too (the failure function of Knuth, Morris and Pratt).
    InOrder(Vec<usize>),
}

// === impl WordQuery ===

impl WordQuery {
    /// The query of `fulltext`: every word, in any order.
    pub(crate) fn fulltext(listed: &[String]) -> Self {
        let mut words: Vec<_> = listed
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        words.sort_unstable();
        words.dedup();
        let places = words.iter().cloned().zip(0..).collect();
        Self {
            words,
            arrangement: Arrangement::Anywhere(places),
        }
    }

    /// The query of `phrase`: the words side by side, in this order.
    pub(crate) fn phrase(listed: &[String]) -> Self {
        let words: Vec<_> = listed
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        let mut borders = vec![0; words.len()];
        let mut border = 0;
        for place in 1..words.len() {
            let word = words.get(place);
            while border > 0 && words.get(border) != word {
                border = borders.get(border - 1).copied().unwrap_or(0);
            }
            if words.get(border) == word {
                border += 1;
            }
            if let Some(it) = borders.get_mut(place) {
                *it = border;
            }
        }
        Self {
            words,
            arrangement: Arrangement::InOrder(borders),
        }
    }

    /// The words that every text has that the query is in, with ASCII letters in lower case.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// Returns `true` if the text has the words.
    ///
    /// # Errors
    /// If it takes longer than until `deadline`.
    pub(crate) fn is_in(&self, text: &[u8], deadline: Instant) -> Result<bool, OutOfTime> {
        // What is stored is UTF-8.
        let Ok(text) = std::str::from_utf8(text) else {
            return Ok(false);
        };
        let mut matcher = Matcher::of(self);
        for (number, word) in words(text).enumerate() {
            if number % WORDS_PER_CHECK == WORDS_PER_CHECK - 1 && Instant::now() > deadline {
                return Err(OutOfTime);
            }
            if matcher.is_done_with(word) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How far a text has been matched.
enum Matcher<'q> {
    Anywhere {
        places: &'q HashMap<String, usize>,
        /// The places of the words that the text has. A long list costs nothing for a text with none of its words.
        seen: HashSet<usize>,
        lower: String,
    },
    InOrder {
        words: &'q [String],
        borders: &'q [usize],
        /// The number of the first words that the last words of the text equal.
        matched: usize,
    },
}

impl<'q> Matcher<'q> {
    fn of(query: &'q WordQuery) -> Self {
        let words = query.words.as_slice();
        match &query.arrangement {
            Arrangement::Anywhere(places) => Self::Anywhere {
                places,
                seen: HashSet::new(),
                lower: String::new(),
            },
            Arrangement::InOrder(borders) => Self::InOrder {
                words,
                borders,
                matched: 0,
            },
        }
    }

    /// Takes the next word of the text. Returns `true` once the text has all that is asked for.
    fn is_done_with(&mut self, word: &str) -> bool {
        match self {
            Self::Anywhere {
                places,
                seen,
                lower,
            } => {
                lower.clear();
                lower.push_str(word);
                lower.make_ascii_lowercase();
                seen.extend(places.get(lower.as_str()));
                seen.len() == places.len()
            }
            Self::InOrder {
                words,
                borders,
                matched,
            } => {
                let is_next = |matched: usize| {
                    let next = words.get(matched);
                    next.is_some_and(|next| next.eq_ignore_ascii_case(word))
                };
                while *matched > 0 && !is_next(*matched) {
                    *matched = borders.get(*matched - 1).copied().unwrap_or(0);
                }
                if is_next(*matched) {
                    *matched += 1;
                }
                *matched == words.len()
            }
        }
    }
}

impl fmt::Display for WordQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.arrangement {
            Arrangement::Anywhere(_) => "fulltext",
            Arrangement::InOrder(_) => "phrase",
        };
        write!(f, "{operator} {:?}", self.words)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "Connection timed  out\nafter 30s";

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn is_in(query: &WordQuery, text: &str) -> bool {
        let deadline = Instant::now() + Duration::from_hours(1);
        query.is_in(text.as_bytes(), deadline) == Ok(true)
    }

    #[test]
    fn fulltext_takes_the_words_in_any_order() {
        for (words, expected) in [
            (&["out", "connection"][..], true),
            (&["out", "missing"], false),
            (&["out", "out"], true),
            (&["time"], false),
            (&["30S"], true),
        ] {
            assert_eq!(
                is_in(&WordQuery::fulltext(&list(words)), TEXT),
                expected,
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_phrase_takes_the_words_side_by_side() {
        for (words, expected) in [
            (&["timed", "out"][..], true),
            (&["TIMED", "Out", "after"], true),
            (&["out", "timed"], false),
            (&["connection", "out"], false),
            (&["30s"], true),
        ] {
            assert_eq!(
                is_in(&WordQuery::phrase(&list(words)), TEXT),
                expected,
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_long_text_is_judged_until_the_deadline() {
        let text = "word ".repeat(WORDS_PER_CHECK + 1);
        let past = Instant::now().checked_sub(Duration::from_secs(1));
        let deadline = past.unwrap_or_else(Instant::now);
        let query = WordQuery::phrase(&list(&["absent"]));
        assert_eq!(query.is_in(text.as_bytes(), deadline), Err(OutOfTime));
    }

    proptest! {
        #[test]
        fn words_are_found_as_a_naive_search_finds_them(
            text in proptest::collection::vec("[aAb]", 0..12),
            listed in proptest::collection::vec("[abB]", 1..4),
        ) {
            let stored = text.join(" ");
            let low: Vec<_> = text.iter().map(|word| word.to_lowercase()).collect();
            let asked: Vec<_> = listed.iter().map(|word| word.to_lowercase()).collect();
            let is_phrase = low.windows(asked.len()).any(|window| window == asked);
            prop_assert_eq!(is_in(&WordQuery::phrase(&listed), &stored), is_phrase);
            let has_all = asked.iter().all(|word| low.contains(word));
            prop_assert_eq!(is_in(&WordQuery::fulltext(&listed), &stored), has_all);
        }
    }
}
