//! The words of a text: its longest runs of letters, digits and combining marks (Unicode's general categories L, N and M).
//!
//! Everything else ends a word, so that a comma or an `=` hides none from a query, which can name no such character. ASCII case does not
//! tell words apart; there is no other folding, no normalisation and no stemming. Ingest makes terms of words, and filters ask for them.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The most UTF-16 code units of a word that a filter can ask for (RFC 0005).
pub const MAX_UTF16: usize = 255;

/// Iterates over the words of a text, in its order.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

/// The words of `text`, in its order.
pub fn words(text: &str) -> Words<'_> {
    Words { rest: text }
}

/// Returns `true` if the text is one word, and nothing else.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && find(text, false).is_none()
}

/// Returns `true` for a letter, a digit or a combining mark.
pub fn is_part_of_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    let ranges = &*PARTS;
    let after = ranges.partition_point(|(start, _)| *start <= character);
    let range = after.checked_sub(1).and_then(|place| ranges.get(place));
    range.is_some_and(|(_, end)| character <= *end)
}

/// The characters that are part of a word, as ascending ranges with both ends.
static PARTS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let class = regex_syntax::parse(r"[\p{L}\p{N}\p{M}]");
    match class.map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class
            .ranges()
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        // The pattern is a class; a test says so.
        _ => Vec::new(),
    }
});

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = find(self.rest, true)?;
        let (_, word) = self.rest.split_at_checked(start)?;
        let end = find(word, false).unwrap_or(word.len());
        let (word, rest) = word.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }
}

/// The position of the first character that is part of a word (`part`), or of the first that is not. ASCII is taken byte by byte.
fn find(text: &str, part: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let byte = text.as_bytes().get(at)?;
        let (is_part, length) = if byte.is_ascii() {
            (byte.is_ascii_alphanumeric(), 1)
        } else {
            let character = text.get(at..)?.chars().next()?;
            (is_part_of_word(character), character.len_utf8())
        };
        if is_part == part {
            return Some(at);
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn everything_but_letters_digits_and_marks_ends_a_word() {
        assert_eq!(
            split("Connection timed  out\nafter 30s"),
            ["Connection", "timed", "out", "after", "30s"]
        );
        assert_eq!(
            split("timeout, code=500; a_b-c\u{2003}d"),
            ["timeout", "code", "500", "a", "b", "c", "d"]
        );
        assert_eq!(
            split("é e\u{301} 日本語 x\u{1F600}y \u{2167}"),
            ["é", "e\u{301}", "日本語", "x", "y", "\u{2167}"]
        );
        assert_eq!(split(" \t,;"), [""; 0]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn letters_digits_and_marks_are_those_of_unicode() {
        for part in [
            'a',
            'Z',
            '0',
            'ß',
            'é',
            '\u{301}',
            '日',
            '٣',
            '½',
            '\u{1D7D8}',
        ] {
            assert!(is_part_of_word(part), "{part:?}");
        }
        // The circled letter is a symbol, though it counts as alphabetic.
        for other in [
            '_',
            '-',
            ' ',
            '\u{A0}',
            '\u{24B6}',
            '\u{1F600}',
            '€',
            '\u{200D}',
            '·',
        ] {
            assert!(!is_part_of_word(other), "{other:?}");
        }
    }

    /// Stored terms depend on them: with others a search would miss what an older release has written.
    #[test]
    fn the_parts_of_words_are_those_of_the_version_of_unicode_that_the_contract_names() {
        let bytes = PARTS.iter().flat_map(|(start, end)| [*start, *end]);
        let bytes: Vec<u8> = bytes
            .flat_map(|bound| u32::from(bound).to_le_bytes())
            .collect();
        assert_eq!((PARTS.len(), xxh3_64(&bytes)), (819, 0x4e70_a2d4_9b2e_1a52));
    }

    #[test]
    fn a_word_is_whole() {
        assert!(is_word("naïve2"));
        for text in ["", "a b", "a-b", " a", "a\n"] {
            assert!(!is_word(text), "{text:?}");
        }
    }
}
