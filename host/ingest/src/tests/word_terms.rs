//! Terms of the words of attributes.

use larder_model::storage::Term;
use larder_model::terms::{self, AttributeKey, Level, WordKey};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::build::{attribute, request, resource_spans, scope_spans, shop, span, text, walk};
use super::properties::{Rules, check, dictionary};
use super::{LIMITS, fragments};
use crate::Ingest;

fn with_text(trace: u8, id: u8, value: &str) -> Span {
    Span {
        attributes: vec![attribute("k", text(value))],
        ..span(trace, id)
    }
}

fn word(level: Level, word: &str) -> Term {
    WordKey::new(b"k").with_word(level, word.as_bytes())
}

#[test]
fn each_level_has_words_of_its_own() {
    let of = |value: &str| vec![attribute("k", text(value))];
    let one = Span {
        attributes: of("in span"),
        events: vec![Event {
            attributes: of("in event"),
            ..Event::default()
        }],
        links: vec![Link {
            attributes: of("in link"),
            ..Link::default()
        }],
        ..span(1, 1)
    };
    let mut scope = scope_spans("lib", vec![one]);
    scope.scope.as_mut().unwrap().attributes = of("in scope");
    let mut resource = resource_spans("shop", vec![scope]);
    let attributes = &mut resource.resource.as_mut().unwrap().attributes;
    attributes.extend(of("in resource"));
    let ingested = walk(&request(vec![resource]));
    let fragments = fragments(&ingested);
    for (level, own) in [
        (Level::Span, "span"),
        (Level::Event, "event"),
        (Level::Link, "link"),
        (Level::Resource, "resource"),
        (Level::Scope, "scope"),
    ] {
        for other in ["span", "event", "link", "resource", "scope"] {
            let has = fragments[0].terms.contains(&word(level, other));
            assert_eq!(has, own == other, "{other} at {level:?}");
        }
        assert!(fragments[0].terms.contains(&word(level, "in")));
    }
}

/// Every fragment has its words, though those of the one before are remembered.
#[test]
fn words_that_fragments_share_are_in_each_of_them() {
    let spans = (1..=9).map(|id| with_text(id % 3 + 1, id, &format!("order no{id}")));
    let ingested = walk(&shop(spans.collect()));
    let fragments = fragments(&ingested);
    assert_eq!(fragments.len(), 3);
    for fragment in fragments {
        let trace = fragment.facts.trace_id.to_bytes()[0];
        assert!(fragment.terms.contains(&word(Level::Span, "order")));
        for id in 1..=9 {
            let own = word(Level::Span, &format!("no{id}"));
            let is_own = id % 3 + 1 == trace;
            assert_eq!(fragment.terms.contains(&own), is_own, "{id} in {trace}");
        }
    }
}

#[test]
fn a_converter_writes_terms_of_words_as_it_is_told() {
    let mut ingest = Ingest::new(LIMITS);
    let sent = shop(vec![with_text(1, 1, "two words")]);
    for on in [true, false, true] {
        ingest.set_word_terms(on);
        let ingested = ingest.walk(&sent).unwrap();
        let fragments = fragments(&ingested);
        let has = |term| fragments[0].terms.contains(&term);
        assert_eq!(has(word(Level::Span, "words")), on);
        assert_eq!(has(terms::present_with_words(Level::Span, b"k")), on);
        assert_eq!(has(AttributeKey::new(b"k").present(Level::Span)), !on);
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let long = prop_oneof![Just("x".repeat(64)), Just("X".repeat(65))];
    let word = prop_oneof![
        8 => "[a-cA-C0-2\u{e9}]{1,3}",
        1 => long,
        1 => (0..90_u8).prop_map(|number| format!("w{number}")),
    ];
    let separator = select(vec![" ", "-", ", ", "_", "\u{2003}", ""]);
    let few = vec((word, separator), 0..6).prop_map(|parts| {
        let parts = parts.into_iter().map(|(word, end)| word + end);
        parts.collect::<String>()
    });
    let many = (1..90_u8, 0..2_usize).prop_map(|(words, spaces)| {
        let words: Vec<_> = (0..words).map(|number| format!("w{number}")).collect();
        words.join(&" ".repeat(1 + spaces * 60))
    });
    vec(prop_oneof![6 => few, 1 => many], 1..8)
}

proptest! {
    #[test]
    fn terms_of_words_are_those_of_the_model(
        texts in texts(),
        word_terms in any::<bool>(),
        dictionary in dictionary(),
    ) {
        let rules = Rules { limits: LIMITS, word_terms, dictionary };
        let spans = texts.iter().zip(1..).map(|(text, id)| with_text(id % 2 + 1, id, text));
        check(&mut rules.ingest(), &shop(spans.collect()), &rules);
    }
}
