#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use larder_model::storage::TraceId;
use proptest::prelude::*;

use super::*;
use crate::paging::position::{SpanCursor, TraceCursor};
use crate::paging::{SpanPosition, TracePosition};

/// Every letter of base64url, and some that are none.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=! .é\0";

prop_compose! {
    fn trace_position()(start: u64, trace: u128) -> TracePosition {
        TracePosition { start, trace: TraceId(trace) }
    }
}

prop_compose! {
    fn span_position()(
        start: u64,
        duration: i128,
        trace: u128,
        span: [u8; 8],
        fragment: u64,
        place: u32,
    ) -> SpanPosition {
        SpanPosition { start, duration, trace: TraceId(trace), span, fragment, place }
    }
}

const SPAN: SpanPosition = SpanPosition {
    start: 1_700_000_000_123_456_789,
    duration: -5,
    trace: TraceId(u128::MAX),
    span: [1, 2, 3, 4, 5, 6, 7, 8],
    fragment: 77,
    place: 3,
};

/// The zeros of fields, which a message leaves out, are what a changed letter could hide in.
const ZEROS: SpanPosition = SpanPosition {
    start: 0,
    duration: 0,
    trace: TraceId(0),
    span: [0; 8],
    fragment: 0,
    place: 0,
};

/// The texts that differ from this one in one letter: another one, none, or one more.
fn changed(token: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for at in 0..=token.len() {
        let (before, after) = token.split_at(at);
        for letter in LETTERS.chars() {
            texts.push(format!("{before}{letter}{after}"));
            texts.extend(after.get(1..).map(|rest| format!("{before}{letter}{rest}")));
        }
        texts.extend(after.get(1..).map(|rest| format!("{before}{rest}")));
    }
    texts.retain(|text| text != token);
    texts
}

fn assert_every_change_is_refused<P: Position + std::fmt::Debug + PartialEq>(position: P) {
    for fingerprint in [0, 0x0123_4567_89ab_cdef] {
        let token = write(position, fingerprint);
        assert_eq!(read::<P>(&token, fingerprint), Ok(position));
        for text in changed(&token) {
            assert!(
                read::<P>(&text, fingerprint).is_err(),
                "{text} in place of {token}"
            );
        }
    }
}

#[test]
fn every_change_of_a_letter_is_refused() {
    assert_every_change_is_refused(TracePosition {
        start: SPAN.start,
        trace: SPAN.trace,
    });
    assert_every_change_is_refused(TracePosition {
        start: 0,
        trace: TraceId(0),
    });
    assert_every_change_is_refused(SPAN);
    assert_every_change_is_refused(ZEROS);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_token_gives_back_its_position(traces in trace_position(), spans in span_position(), fingerprint: u64) {
        let of_trace = write(traces, fingerprint);
        prop_assert_eq!(read::<TracePosition>(&of_trace, fingerprint), Ok(traces));
        let of_span = write(spans, fingerprint);
        prop_assert!(of_span.len() <= MAX_LETTERS);
        prop_assert_eq!(read::<SpanPosition>(&of_span, fingerprint), Ok(spans));

        let other = fingerprint.wrapping_add(1);
        prop_assert_eq!(read::<TracePosition>(&of_trace, other), Err(Refusal::OtherQuery));
        prop_assert_eq!(read::<SpanPosition>(&of_span, other), Err(Refusal::OtherQuery));
    }

    #[test]
    fn a_changed_byte_is_refused(position in span_position(), at: prop::sample::Index, flip in 1..=u8::MAX) {
        let mut bytes = URL_SAFE_NO_PAD.decode(write(position, 1)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        prop_assert!(read::<SpanPosition>(&text, 1).is_err());
    }

    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,130}", bytes: Vec<u8>) {
        prop_assert!(read::<SpanPosition>(&text, 1).is_err());
        prop_assert!(read::<TracePosition>(&URL_SAFE_NO_PAD.encode(bytes), 1).is_err());
    }
}

fn refusal(text: &str) -> String {
    read::<TracePosition>(text, 1).unwrap_err().to_string()
}

#[test]
fn what_is_no_token_is_refused_by_what_it_is() {
    for text in ["not-a-token!", "====", "A", "AA==", "a b c"] {
        assert_eq!(refusal(text), "page token is not valid base64", "{text}");
    }
    // "hello", zeros, nothing but a fingerprint, and a text longer than any token.
    for text in ["aGVsbG8", "AAAA", "EQAAAAAAAAAA", &"A".repeat(4000)] {
        assert!(
            refusal(text).starts_with("page token is malformed: "),
            "{text}: {}",
            refusal(text)
        );
    }
}

#[test]
fn a_token_of_another_version_is_refused_by_its_number() {
    /// The message of version 1.
    #[derive(Clone, PartialEq, Message)]
    struct First {
        #[prost(uint32, tag = "1")]
        version: u32,
        #[prost(fixed64, tag = "2")]
        fingerprint: u64,
        #[prost(fixed64, tag = "3")]
        start: u64,
        #[prost(bytes = "vec", tag = "4")]
        trace_id: Vec<u8>,
    }
    for version in [1, 3, u32::MAX] {
        let token = First {
            version,
            fingerprint: 1,
            start: 2,
            trace_id: vec![3; 16],
        };
        assert_eq!(
            refusal(&URL_SAFE_NO_PAD.encode(token.encode_to_vec())),
            format!("page token version {version} is not supported")
        );
    }
}

/// A token that somebody made who knows the format: its checksum is right, and its cursor is none.
#[test]
fn a_position_that_no_search_gives_is_refused() {
    let made = |cursor| {
        let token = Token {
            version: VERSION,
            fingerprint: 1,
            cursor,
            checksum: 0,
        };
        token.sealed().text()
    };
    assert_eq!(refusal(&made(None)), "page token carries no cursor");
    assert_eq!(
        refusal(&made(Some(SPAN.cursor()))),
        "page token does not carry a trace position"
    );
    let short = "page token is malformed: its position has a field of a wrong length";
    assert_eq!(
        refusal(&made(Some(Cursor::Trace(TraceCursor::default())))),
        short
    );
    let empty = made(Some(Cursor::Span(SpanCursor::default())));
    assert_eq!(
        read::<SpanPosition>(&empty, 1).unwrap_err().to_string(),
        short
    );
}
