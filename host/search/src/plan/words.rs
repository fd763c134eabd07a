//! Clauses for the words that one text of an attribute has to have.

use std::cmp::Reverse;

use larder_model::storage::Term;
use larder_model::terms::{self, AttributeKey, WordKey};

use super::MAX_TERMS;
use super::hint;
use super::listed::Listed;
use super::question::Question;
use super::terms_of::listed_term;
use crate::predicate::Levels;
use crate::words::WordQuery;

/// Most words that are asked for. The longest ones are likely the rarest.
const MAX_WORDS: usize = 16;

/// Clauses that every fragment passes in which a text of the attribute has the words. The question is whether it has all of them.
pub(super) fn clauses(
    question: &Question<'_>,
    attribute: (Levels, &str),
    query: &WordQuery,
    listed: &Listed<'_>,
) -> Vec<Vec<Term>> {
    let words = query.words();
    let mut rare: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !terms::is_common(word))
        .collect();
    if rare.is_empty() {
        return vec![hint::of_text(question, attribute, listed)];
    }
    rare.sort_unstable_by_key(|word| (Reverse(terms::word_part(word).len()), *word));
    rare.dedup();
    // A listed value with all of the words is in each clause.
    let most = MAX_TERMS / listed.values(question).max(1);
    rare.truncate(most.clamp(1, MAX_WORDS));
    // A text with two words, equal or not, is not a single word.
    let may_be_alone = words.len() == 1;
    let of_word = |word: &str| clause(question, attribute, (word, may_be_alone), listed);
    rare.into_iter().map(of_word).collect()
}

/// Terms of which every fragment has one in which a text of the attribute has the word, or is listed and has all that are asked for.
fn clause(
    question: &Question<'_>,
    (levels, key): (Levels, &str),
    (word, may_be_alone): (&str, bool),
    listed: &Listed<'_>,
) -> Vec<Term> {
    let key_hash = AttributeKey::new(key.as_bytes());
    let word_hash = WordKey::new(key.as_bytes());
    let spellings = may_be_alone.then(|| terms::spellings(word));
    let spellings: Vec<_> = spellings.into_iter().flatten().collect();
    let mut terms = listed.terms(question, |level| [listed_term(level, key)]);
    for level in levels.iter() {
        // The last two are for fragments that were written without terms of words.
        terms.extend([
            word_hash.with_word(level, terms::word_part(word).as_bytes()),
            terms::unlisted_words(level, key.as_bytes()),
            key_hash.present(level),
            terms::present_unlisted_without_words(level, key.as_bytes()),
        ]);
        let alone = spellings.iter();
        terms.extend(alone.map(|spelling| key_hash.with_value(level, spelling.as_bytes())));
    }
    terms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, Instant};

    use larder_ingest::{Ingest, Limits};
    use larder_model::storage::Batch;
    use larder_model::terms::Level;
    use larder_model::words::words;
    use opentelemetry_proto::tonic::trace::v1::TracesData;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use prost::Message as _;

    use super::super::{Listed, plan};
    use super::*;
    use crate::predicate::{Leaf, Predicate};
    use crate::testing::{of, op};
    use crate::value::Reference;

    /// The clauses of a query of words of the attribute `k`, each sorted.
    fn planned(levels: Levels, query: WordQuery) -> Vec<Vec<Term>> {
        let key = "k".to_owned();
        let leaf = Leaf::Words(Reference::Attribute { levels, key }, query);
        plan(&leaf.into(), &Listed::unknown())
            .unwrap()
            .search
            .clauses
    }

    fn at_span(query: WordQuery) -> Vec<Vec<Term>> {
        planned(Levels::one(Level::Span), query)
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn fulltext(words: &[&str]) -> WordQuery {
        WordQuery::fulltext(&owned(words))
    }

    /// The terms by which a fragment has a word among others, whatever wrote it, where no listed values are known.
    fn among_others(level: Level, word: &str) -> Vec<Term> {
        vec![
            WordKey::new(b"k").with_word(level, word.as_bytes()),
            terms::unlisted_words(level, b"k"),
            AttributeKey::new(b"k").present(level),
            terms::present_unlisted_without_words(level, b"k"),
            terms::present_listed(level, b"k"),
        ]
    }

    fn check(found: &[Vec<Term>], expected: impl IntoIterator<Item = Vec<Term>>) {
        let mut expected: Vec<_> = expected.into_iter().collect();
        for clause in &mut expected {
            clause.sort_unstable();
            clause.dedup();
        }
        expected.sort_unstable_by(|one, other| {
            let by_len = one.len().cmp(&other.len());
            by_len.then_with(|| one.cmp(other))
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_word_is_asked_for_among_others_and_alone() {
        let alone = ["timeout", "TIMEOUT", "Timeout"]
            .map(|text| AttributeKey::new(b"k").with_value(Level::Span, text.as_bytes()));
        let all = [among_others(Level::Span, "timeout"), alone.to_vec()].concat();
        check(&at_span(fulltext(&["TimeOut"])), [all.clone()]);
        check(&at_span(WordQuery::phrase(&owned(&["timeout"]))), [all]);
    }

    #[test]
    fn each_of_several_words_is_asked_for_among_others() {
        let both = || ["timeout", "after"].map(|word| among_others(Level::Span, word));
        check(&at_span(fulltext(&["After", "timeout", "after"])), both());
        let phrase = WordQuery::phrase(&owned(&["after", "5", "timeout"]));
        check(&at_span(phrase), both());
        let twice = WordQuery::phrase(&owned(&["after", "after"]));
        check(&at_span(twice), [among_others(Level::Span, "after")]);
    }

    #[test]
    fn a_word_is_asked_for_at_each_level() {
        let levels = Levels::one(Level::Span).with(Levels::one(Level::Resource));
        let of_word = |word| {
            let at = |level| among_others(level, word);
            [at(Level::Span), at(Level::Resource)].concat()
        };
        check(
            &planned(levels, fulltext(&["one", "two"])),
            ["one", "two"].map(of_word),
        );
    }

    #[test]
    fn a_word_of_most_texts_is_asked_for_by_its_key() {
        let present = vec![
            AttributeKey::new(b"k").present(Level::Span),
            terms::present_with_words(Level::Span, b"k"),
            terms::present_unlisted(Level::Span, b"k"),
            terms::present_unlisted_without_words(Level::Span, b"k"),
            terms::present_listed(Level::Span, b"k"),
        ];
        check(&at_span(fulltext(&["a"])), [present.clone()]);
        check(&at_span(fulltext(&["42", "7"])), [present]);
    }

    #[test]
    fn of_many_words_the_longest_are_asked_for() {
        let words: Vec<_> = (0..40).map(|number| "w".repeat(number + 3)).collect();
        let longest = words.iter().skip(24);
        check(
            &at_span(WordQuery::phrase(&words)),
            longest.map(|word| among_others(Level::Span, word)),
        );
    }

    #[test]
    fn the_words_of_what_has_no_terms_are_not_asked_for() {
        let field = Reference::Field(crate::filter::Field::SpanName);
        for reference in [field, Reference::Error] {
            let leaf = Predicate::from(Leaf::Words(reference, fulltext(&["one"])));
            let plan = plan(&leaf, &Listed::unknown()).unwrap();
            assert!(plan.search.clauses.is_empty());
        }
    }

    /// The terms of a fragment with a span that has this text.
    fn stored(text: &str, word_terms: bool) -> Vec<Term> {
        let mut ingest = Ingest::new(Limits {
            max_fragment_bytes: 1 << 20,
            max_batch_bytes: 8 << 20,
            max_span_bytes: 4 << 20,
            max_listed_bytes: 4 << 20,
        });
        ingest.set_word_terms(word_terms);
        let resource_spans = vec![of("s", op(1, 1, 1, 2).attribute("k", text))];
        let ingested = ingest.walk(&TracesData { resource_spans }.encode_to_vec());
        let ingested = ingested.unwrap();
        let fragments = ingested.batches.iter().flat_map(Batch::fragments);
        fragments
            .flat_map(|fragment| fragment.terms.to_vec())
            .collect()
    }

    fn passes(text: &str, word_terms: bool, query: &WordQuery) -> bool {
        let stored = stored(text, word_terms);
        let clauses = planned(Levels::ALL, query.clone());
        clauses
            .iter()
            .all(|clause| clause.iter().any(|term| stored.contains(term)))
    }

    #[test]
    fn every_length_and_number_of_words_is_found() {
        let long = "y".repeat(65);
        let many: Vec<_> = (0..70).map(|number| format!("w{number}")).collect();
        for (text, word) in [
            (long.clone(), long.as_str()),
            (format!("x {long}"), long.as_str()),
            (many.join(" "), "w69"),
            (format!("one{}two", " ".repeat(5000)), "two"),
        ] {
            let query = fulltext(&[word]);
            assert!(passes(&text, true, &query), "{query} in {text}");
            assert!(passes(&text, false, &query), "{query} in {text}");
        }
        assert!(!passes("one two", true, &fulltext(&["three"])));
    }

    /// Words of every case and of several lengths, some of which differ in case alone.
    static WORDS: [&str; 15] = [
        "one",
        "One",
        "ONE",
        "oNe",
        "two",
        "TWO",
        "a",
        "A",
        "7",
        "42",
        "2500",
        "12500",
        "\u{e9}t\u{e9}",
        "\u{c9}T\u{c9}",
        "\u{65e5}\u{672c}",
    ];

    fn text() -> impl Strategy<Value = String> {
        let separator = select(vec![" ", ", ", "-", "", "\u{2003}"]);
        let word = (select(&WORDS[..]), separator);
        vec(word, 0..5).prop_map(|parts| {
            let parts = parts.into_iter().map(|(word, end)| [word, end].concat());
            parts.collect::<String>()
        })
    }

    fn query() -> impl Strategy<Value = WordQuery> {
        let words = vec(select(&WORDS[..]).prop_map(str::to_owned), 1..4);
        (words, any::<bool>()).prop_map(|(words, in_order)| {
            if in_order {
                WordQuery::phrase(&words)
            } else {
                WordQuery::fulltext(&words)
            }
        })
    }

    proptest! {
        /// A text passes if it has every word that has terms, in any order; a single word, which cannot match several, need not. In a
        /// fragment without terms of words any text passes.
        #[test]
        fn what_has_the_words_passes(text in text(), query in query()) {
            let deadline = Instant::now() + Duration::from_hours(1);
            let is_in = query.is_in(text.as_bytes(), deadline).unwrap();
            let has = |wanted: &String| {
                let part = terms::word_part(wanted);
                words(&text).any(|it| terms::word_part(it).eq_ignore_ascii_case(part))
            };
            let mut listed = query.words().iter().filter(|word| !terms::is_common(word));
            let has_listed = listed.all(has);
            let passes_with_terms = passes(&text, true, &query);
            prop_assert!(passes_with_terms || !is_in);
            if words(&text).count() > 1 || !has_listed {
                prop_assert_eq!(passes_with_terms, has_listed);
            }
            prop_assert!(passes(&text, false, &query));
        }
    }
}
