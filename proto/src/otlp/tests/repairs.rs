//! Strings that are not UTF-8 are replaced, and marked.

use proptest::prelude::*;

use super::{in_span, read_traces};
use crate::otlp::repair;
use crate::testing::{bytes_field, mutated_traces, traces};

proptest! {
    #[test]
    fn repaired_traces_are_utf8_and_otherwise_the_same(bytes in traces(true)) {
        let repaired = repair::repair(&bytes).unwrap();
        prop_assert!(read_traces(&repaired).unwrap().utf8);
        prop_assert_eq!(repaired == bytes, read_traces(&bytes).unwrap().utf8);
        prop_assert_eq!(repair::repair(&repaired).unwrap(), repaired);
    }

    #[test]
    fn repair_takes_what_can_be_read(bytes in mutated_traces()) {
        let read = read_traces(&bytes);
        if let Ok(repaired) = repair::repair(&bytes) {
            prop_assert!(read.is_err() || read_traces(&repaired).unwrap().utf8);
        } else {
            prop_assert!(read.is_err());
        }
    }
}

#[test]
fn a_replaced_string_is_marked_where_it_was() {
    let mark = |count: u8| {
        let key = bytes_field(1, repair::REPLACED_STRINGS.as_bytes());
        [key, bytes_field(2, &[0x18, count])].concat()
    };
    let name = |name: &[u8]| {
        let key = bytes_field(1, b"invalid-span-name");
        bytes_field(9, &[key, bytes_field(2, &bytes_field(7, name))].concat())
    };
    let spoilt = in_span(&[bytes_field(5, b"AB\xff\xfe"), bytes_field(3, b"\xff")].concat());
    let fields = [
        bytes_field(5, "AB\u{fffd}\u{fffd}".as_bytes()),
        bytes_field(3, "\u{fffd}".as_bytes()),
        name(b"AB\xff\xfe"),
        bytes_field(9, &mark(2)),
    ];
    assert_eq!(repair::repair(&spoilt).unwrap(), in_span(&fields.concat()));
    let scope = |scope: &[u8]| bytes_field(1, &bytes_field(2, &bytes_field(1, scope)));
    let spoilt = scope(&bytes_field(2, b"1\xff"));
    let fields = [
        bytes_field(2, "1\u{fffd}".as_bytes()),
        bytes_field(3, &mark(1)),
    ];
    assert_eq!(repair::repair(&spoilt).unwrap(), scope(&fields.concat()));
}
