//! The terms of the words of an attribute's value.

use super::{Level, WORD, at_level, chain, finish, unlisted_words};
use crate::storage::Term;
use crate::words::{is_word, words};

/// Most words of a value that have terms.
const MAX_WORDS: usize = 64;

/// Most bytes of a word that has a term.
const MAX_WORD_BYTES: usize = 64;

/// Digits of a number that its term is made of, the last ones.
const NUMBER_DIGITS: usize = 4;

/// Bytes of a value whose words have terms.
const MAX_BYTES: usize = 4096;

/// The hash of the key of attributes whose words have terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordKey(u64);

impl WordKey {
    /// Hashes a key.
    pub fn new(key: &[u8]) -> Self {
        Self(chain(WORD, key))
    }

    /// Term of a text with this key at the level that has this word, its ASCII letters in lower case.
    pub fn with_word(self, level: Level, word: &[u8]) -> Term {
        finish(at_level(chain(self.0, word), level))
    }
}

/// Returns `true` for a word that has no term because too many texts have it: one byte, or a number of two digits.
pub fn is_common(word: &str) -> bool {
    match word.as_bytes() {
        [_] => true,
        [one, other] => one.is_ascii_digit() && other.is_ascii_digit(),
        _ => false,
    }
}

/// The part of a word that its term is made of: of a number of ASCII digits the last four, else all of it.
///
/// Numbers are mostly ids, which a fragment has many of and shares with few others. A term for each of them would cost more than all other
/// words together.
pub fn word_part(word: &str) -> &str {
    let start = word.len().saturating_sub(NUMBER_DIGITS);
    match word.get(start..) {
        Some(end) if word.bytes().all(|byte| byte.is_ascii_digit()) => end,
        _ => word,
    }
}

/// The spellings of a word in which it has no term where it is the whole value. The term of the value finds it there.
pub fn spellings(word: &str) -> [String; 3] {
    let lower = word.to_ascii_lowercase();
    let mut capitalised = lower.clone();
    if let Some(first) = capitalised.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    [lower, word.to_ascii_uppercase(), capitalised]
}

/// Appends the terms of the words of an attribute's text, which is UTF-8. None is there twice.
pub fn push_words(level: Level, key: &[u8], text: &str, out: &mut Vec<Term>) {
    if is_found_by_value(text) {
        return;
    }
    let key_hash = WordKey::new(key);
    let first = out.len();
    let mut buffer = [0; MAX_WORD_BYTES];
    // If this cuts a word, its first part has a term. That is one too many, which does no harm.
    let beginning = text.get(..text.floor_char_boundary(MAX_BYTES));
    let beginning = beginning.unwrap_or_default();
    let mut has_unlisted = beginning.len() < text.len();
    for word in words(beginning).filter(|word| !is_common(word)) {
        let Some(word) = lower(word_part(word), &mut buffer) else {
            has_unlisted = true;
            continue;
        };
        let term = key_hash.with_word(level, word);
        let listed = out.get(first..).unwrap_or_default();
        if listed.contains(&term) {
            continue;
        }
        if listed.len() == MAX_WORDS {
            has_unlisted = true;
            break;
        }
        out.push(term);
    }
    if has_unlisted {
        out.push(unlisted_words(level, key));
    }
}

/// Returns `true` if the text is one of the [`spellings`] of a word.
fn is_found_by_value(text: &str) -> bool {
    let has_lower = || text.bytes().any(|byte| byte.is_ascii_lowercase());
    let has_upper_inside = || text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    is_word(text) && !(has_upper_inside() && has_lower())
}

/// The word with its ASCII letters in lower case; `None` if it is too long for a term.
fn lower<'a>(word: &str, buffer: &'a mut [u8; MAX_WORD_BYTES]) -> Option<&'a [u8]> {
    let lower = buffer.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(lower)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    const KEY: &[u8] = b"k";

    fn check(text: &str, words: &[&str], has_unlisted: bool) {
        let key = WordKey::new(KEY);
        let words = words.iter();
        let mut expected: Vec<_> = words
            .map(|word| key.with_word(Level::Event, word.as_bytes()))
            .collect();
        expected.extend(has_unlisted.then(|| unlisted_words(Level::Event, KEY)));
        let mut found = Vec::new();
        push_words(Level::Event, KEY, text, &mut found);
        assert_eq!(found, expected, "{text:?}");
    }

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("w{number}")).collect()
    }

    #[test]
    fn each_word_has_a_term_once_whatever_its_case() {
        check(
            "Timed out: time-OUT, caf\u{e9} TIMED",
            &["timed", "out", "time", "caf\u{e9}"],
            false,
        );
        check("GET GET", &["get"], false);
        check("-GET", &["get"], false);
        check("", &[], false);
        check(" ,;", &[], false);
    }

    #[test]
    fn a_word_alone_has_no_term_if_its_spelling_is_a_usual_one() {
        for text in [
            "get",
            "GET",
            "Get",
            "500",
            "h2",
            "H2",
            "5xx",
            "5XX",
            "\u{e9}T\u{e9}",
            "x",
        ] {
            check(text, &[], false);
            assert!(
                spellings(&text.to_ascii_lowercase()).contains(&text.to_owned()),
                "{text}"
            );
        }
        check("TimeoutError", &["timeouterror"], false);
        check("gET", &["get"], false);
        check("5Xx", &["5xx"], false);
        check("\u{c9}tE", &["\u{c9}te"], false);
    }

    #[test]
    fn words_that_are_in_most_texts_have_no_term() {
        check(
            "a 7 42 v1 id 500 \u{e9}",
            &["v1", "id", "500", "\u{e9}"],
            false,
        );
    }

    #[test]
    fn numbers_have_the_term_of_their_last_digits() {
        check(
            "order 12345 of 345, 1007 x12345",
            &["order", "2345", "of", "345", "1007", "x12345"],
            false,
        );
        check(&format!("{} 500", "9".repeat(80)), &["9999", "500"], false);
        // It is found by its value.
        check("12345", &[], false);
    }

    #[test]
    fn words_without_a_term_are_told_by_another() {
        let (fits, long) = ("x".repeat(64), "y".repeat(65));
        check(&format!("{fits} {long} {fits}"), &[fits.as_str()], true);
        check(&long, &[], false);
        let words = numbered(65);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        check(&words[..64].join(" "), &words[..64], false);
        check(&words[..64].repeat(2).join(" "), &words[..64], false);
        check(&words.join(" "), &words[..64], true);
    }

    #[test]
    fn the_words_of_the_beginning_have_terms() {
        let filled = |length: usize| format!("one{}two", " ".repeat(length - 6));
        check(&filled(4096), &["one", "two"], false);
        check(&filled(4097), &["one", "tw"], true);
        check(&filled(4099), &["one"], true);
        // A character is not cut.
        let text = format!("{}\u{65e5}\u{672c}", " ".repeat(4092));
        check(&text, &["\u{65e5}"], true);
    }
}
