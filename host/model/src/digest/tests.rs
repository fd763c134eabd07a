#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Vec<Span<&str>>, Error> {
    decode(bytes)?
        .spans()
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

fn root() -> Span<&'static str> {
    Span {
        span_id: [1; 8],
        parent: Parent::None,
        start: 1000,
        end: 1300,
        kind: SpanKind::Server,
        status: StatusCode::Error,
        service: "shop",
        name: "GET /",
    }
}

#[test]
fn the_layout_stays_as_it_was_stored() {
    let child = Span {
        span_id: [2; 8],
        parent: Parent::Id([1; 8]),
        start: 990,
        end: 980,
        kind: SpanKind::Client,
        status: StatusCode::Unset,
        name: "SELECT",
        ..root()
    };
    let odd = Span {
        parent: Parent::InvalidId,
        ..child
    };
    let expected = [
        &b"\x01\x03\x04shop\x05GET /\x06SELECT\x03"[..],
        b"\x12\x01\x01\x01\x01\x01\x01\x01\x01\xd0\x0f\xac\x02\x00\x01",
        b"\xa3\x02\x02\x02\x02\x02\x02\x02\x02\x01\x01\x01\x01\x01\x01\x01\x01\x13\x0a\x00\x02",
        b"\xc3\x02\x02\x02\x02\x02\x02\x02\x02\x00\x0a\x00\x02",
    ]
    .concat();
    assert_eq!(encode(&[root(), child, odd]), expected);
    assert_eq!(read(&expected).unwrap(), [root(), child, odd]);
}

#[test]
fn names_that_an_older_release_left_empty_have_a_name() {
    let bytes = encode(&[Span {
        service: "",
        name: "",
        ..root()
    }]);
    let read = read(&bytes).unwrap();
    assert_eq!(read[0].service, "missing-service-name");
    assert_eq!(read[0].name, "empty-span-name");
}

#[test]
fn finish_starts_anew() {
    let mut encoder = Encoder::new();
    let mut first = Vec::new();
    let mut second = Vec::new();
    for out in [&mut first, &mut second] {
        let service = encoder.string("shop");
        encoder.push(&Span {
            span_id: [1; 8],
            parent: Parent::None,
            start: 1000,
            end: 1300,
            kind: SpanKind::Server,
            status: StatusCode::Error,
            service,
            name: service,
        });
        encoder.finish(out);
    }
    assert_eq!(first, second);
    let mut empty = Vec::new();
    encoder.finish(&mut empty);
    assert_eq!(empty, [1, 0, 0]);
    assert!(decode(&empty).unwrap().is_empty());
}

#[test]
fn says_why_bytes_are_no_digest() {
    let check = |bytes: &[u8], text: &str| match read(bytes) {
        Err(error) => assert_eq!(error.to_string(), format!("not a digest: {text}")),
        Ok(spans) => panic!("{bytes:x?} was read as {spans:?}"),
    };
    let good = encode(&[root()]);
    let changed = |position: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[position] = byte;
        bytes
    };
    let span = good.len() - 15;
    check(b"", "there are no bytes");
    check(&changed(0, 9), "version 9 is unknown");
    check(b"\x01\x80", "a varint is malformed");
    check(
        b"\x01\xff\xff\xff\xff\x0f",
        "it counts more than its bytes can hold",
    );
    check(b"\x01\x00\x02", "it counts more than its bytes can hold");
    check(&changed(2, 200), "the bytes end early");
    check(&changed(3, 0xff), "a string is not UTF-8");
    check(&changed(span, 0b111), "a span has the flags 0b00000111");
    check(
        &changed(span, 0b0110_0000),
        "a span has the flags 0b01100000",
    );
    check(
        &changed(span, 0b0001_1000),
        "a span has the flags 0b00011000",
    );
}

#[test]
fn refuses_strings_ends_and_bytes_that_cannot_be() {
    let good = encode(&[root()]);
    let with_end = |end: &[u8]| [&good[..good.len() - 4], end].concat();
    let text = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(text(&with_end(b"\xac\x02\x00\x02")).contains("a string that is not there"));
    assert!(text(&with_end(b"\xac\x02\x00\x01\x00")).contains("bytes follow the last span"));
    let forever = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01";
    assert!(text(&with_end(forever)).contains("outside of time"));
}

fn any_parent() -> impl Strategy<Value = Parent> {
    prop_oneof![
        Just(Parent::None),
        Just(Parent::InvalidId),
        any::<[u8; 8]>().prop_map(Parent::Id),
    ]
}

/// A time near the others, near the ends of time, or anywhere.
fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![
        1_700_000_000_000_000_000..1_700_000_000_100_000_000_u64,
        0..3_u64,
        u64::MAX - 3..=u64::MAX,
        any::<u64>(),
    ]
}

type Owned = ([u8; 8], Parent, (u64, u64), (u64, u64), String, String);

fn any_span() -> impl Strategy<Value = Owned> {
    (
        any::<[u8; 8]>(),
        any_parent(),
        (any_time(), any_time()),
        (0..6_u64, 0..3_u64),
        "[ab]{1,2}",
        prop_oneof!["[ab]{1,2}", ".{1,200}"],
    )
}

fn borrow(owned: &Owned) -> Span<&str> {
    let (span_id, parent, (start, end), (kind, status), service, name) = owned;
    Span {
        span_id: *span_id,
        parent: *parent,
        start: *start,
        end: *end,
        kind: SpanKind::from_wire(*kind),
        status: StatusCode::from_wire(*status),
        service,
        name,
    }
}

proptest! {
    #[test]
    fn decoding_gives_what_was_pushed(owned in prop::collection::vec(any_span(), 0..40)) {
        let spans: Vec<_> = owned.iter().map(borrow).collect();
        let bytes = encode(&spans);
        prop_assert_eq!(decode(&bytes).unwrap().len(), spans.len());
        prop_assert_eq!(read(&bytes).unwrap(), spans);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[&[VERSION], &bytes[..]].concat());
    }

    #[test]
    fn mutated_digests_never_panic_nor_give_more_spans_than_they_say(
        owned in prop::collection::vec(any_span(), 1..10),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let spans: Vec<_> = owned.iter().map(borrow).collect();
        let mut bytes = encode(&spans);
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(3));
        if let Ok(digest) = decode(&bytes) {
            prop_assert!(digest.spans().count() <= digest.len());
        }
    }
}
