#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use larder_oracle::otlp::spans_of;
use larder_oracle::string_form;

use super::{Corpus, MARKED_VALUE, REPEATED_KEYS, STEP, extras};

#[test]
fn a_request_is_the_same_at_every_call() {
    let corpus = Corpus::new(7, 3_500, 1_000);
    let counts: Vec<_> = (0..4).map(|index| corpus.request(index).spans).collect();
    assert_eq!(counts, [1_000, 1_000, 1_000, 500]);
    assert_eq!(corpus.request(2).bytes, corpus.request(2).bytes);
    assert_ne!(
        corpus.request(2).bytes,
        Corpus::new(8, 3_500, 1_000).request(2).bytes
    );
}

#[test]
fn another_step_changes_when_spans_start_and_nothing_else() {
    const HOUR: u64 = 3_600_000_000_000;
    let usual = Corpus::new(7, 10_000, 1_000);
    let a_day = usual.clone().with_step(24 * HOUR / 10_000);
    let (from, to) = a_day.window();
    assert_eq!(
        to - from - 24 * HOUR,
        usual.window().1 - from - 10_000 * STEP
    );
    for (index, hour) in [(0, 0), (5, 12), (8, 19)] {
        let (request, _) = a_day.message(index);
        let (of_usual, _) = usual.message(index);
        let spans = spans_of(&request.resource_spans);
        for (one, of_usual) in spans.zip(spans_of(&of_usual.resource_spans)) {
            let start = one.span.start_time_unix_nano;
            assert_eq!((start - from) / HOUR, hour);
            let mut moved = of_usual.span.clone();
            let duration = moved.end_time_unix_nano - moved.start_time_unix_nano;
            moved.start_time_unix_nano = start;
            moved.end_time_unix_nano = start + duration;
            moved.events.clone_from(&one.span.events);
            assert_eq!(*one.span, moved);
        }
    }
    assert_eq!(
        usual.clone().with_step(STEP).request(3).bytes,
        usual.request(3).bytes
    );
}

#[test]
fn one_span_in_fifty_has_events_a_link_and_a_scope_attribute() {
    let corpus = Corpus::new(7, 50_000, 1_000);
    let mut ids = BTreeSet::new();
    let mut with_extras = 0;
    for index in 0..corpus.requests() {
        let (request, _) = corpus.message(index);
        for one in spans_of(&request.resource_spans) {
            let has_extras = extras::are_in(one.span);
            with_extras += u32::from(has_extras);
            let scope = one.scope.scope.as_ref().unwrap();
            assert_eq!(
                (
                    one.span.events.len(),
                    one.span.links.len(),
                    scope.attributes.len()
                ),
                if has_extras { (2, 1, 1) } else { (0, 0, 0) }
            );
            ids.insert((one.span.trace_id.clone(), one.span.span_id.clone()));
        }
    }
    assert_eq!(ids.len(), 50_000);
    assert!((900..1_100).contains(&with_extras), "{with_extras}");
}

/// A changed size would make the benchmark's figures of two versions incomparable.
#[test]
fn a_span_is_about_510_bytes() {
    let corpus = Corpus::new(7, 20_000, 1_000);
    let bytes: usize = (0..20).map(|index| corpus.request(index).bytes.len()).sum();
    assert!((500..520).contains(&(bytes / 20_000)), "{}", bytes / 20_000);
}

#[test]
fn texts_have_about_200_words_a_span_and_change_nothing_else() {
    let plain = Corpus::new(7, 1_000, 1_000);
    let (request, _) = plain.message(0);
    let (with_texts, _) = plain.with_texts().message(0);
    let mut words = 0;
    let spans = spans_of(&with_texts.resource_spans);
    for (one, plain) in spans.zip(spans_of(&request.resource_spans)) {
        let (before, texts) = one.span.attributes.split_at(plain.span.attributes.len());
        assert_eq!(before, plain.span.attributes);
        assert_eq!(one.span.span_id, plain.span.span_id);
        assert_eq!(texts.len(), 3);
        for text in texts {
            let text = string_form(text.value.as_ref().unwrap());
            let parts = text.split(|part: char| !part.is_alphanumeric());
            words += parts.filter(|part| !part.is_empty()).count();
        }
    }
    assert!((180..240).contains(&(words / 1_000)), "{}", words / 1_000);
}

#[test]
fn repeated_values_are_as_many_as_they_should_be_and_ten_traces_are_marked() {
    let plain = Corpus::new(7, 20_000, 1_000);
    let corpus = plain.clone().with_repeats();
    let mut values = [(); 3].map(|()| BTreeSet::new());
    let mut marked = BTreeSet::new();
    for index in 0..corpus.requests() {
        let (request, _) = corpus.message(index);
        let (before, _) = plain.message(index);
        let spans = spans_of(&request.resource_spans);
        for (one, plain) in spans.zip(spans_of(&before.resource_spans)) {
            let (before, added) = one.span.attributes.split_at(plain.span.attributes.len());
            assert_eq!(before, plain.span.attributes);
            for ((seen, (key, _)), attribute) in values.iter_mut().zip(REPEATED_KEYS).zip(added) {
                assert_eq!(attribute.key, key);
                let value = string_form(attribute.value.as_ref().unwrap());
                if value == MARKED_VALUE {
                    marked.insert(one.span.trace_id.clone());
                }
                seen.insert(value);
            }
        }
    }
    let [few, more, most] = values.map(|seen| seen.len());
    assert_eq!((few, more, marked.len()), (20, 1_000, 10));
    assert!(most > 19_000, "{most}");
}
