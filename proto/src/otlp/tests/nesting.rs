//! Values of many levels.

use super::{at_each_level, read_traces};
use crate::otlp::{MAX_LEVELS, pdata};
use crate::testing::bytes_field;

#[test]
fn values_have_64_levels_at_most() {
    for wrap in [5, 6] {
        for content in [&b""[..], b"\x10\x01", b"\x98\x01\x01", b"\x9b\x01\x9c\x01"] {
            let mut value = content.to_vec();
            for levels in 1..=300 {
                value = match wrap {
                    5 => bytes_field(5, &bytes_field(1, &value)),
                    _ => bytes_field(6, &bytes_field(1, &bytes_field(2, &value))),
                };
                for traces in &at_each_level(&value) {
                    let read = read_traces(traces).unwrap();
                    assert_eq!(read.nesting, levels <= MAX_LEVELS, "{levels}");
                }
                let attribute = bytes_field(2, &value);
                // The attribute and its value, and the messages of each level.
                let messages = 2 + levels * if wrap == 5 { 2 } else { 3 };
                if content == b"\x10\x01" {
                    let fits = messages <= pdata::MAX_NESTED_VALUES;
                    assert_eq!(pdata::decodes_attribute(&attribute), fits, "{levels}");
                }
            }
        }
    }
}

#[test]
fn what_is_deeper_than_values_may_be_is_not_read() {
    // A hundred thousand levels, and an innermost one that is no message.
    let mut reversed = vec![0xff];
    for _ in 0..100_000 {
        for number in [1, 5] {
            let mut outer = Vec::new();
            prost::encoding::encode_varint(number << 3 | 2, &mut outer);
            prost::encoding::encode_varint(reversed.len() as u64, &mut outer);
            reversed.extend(outer.into_iter().rev());
        }
    }
    reversed.reverse();
    for traces in &at_each_level(&reversed) {
        assert!(!read_traces(traces).unwrap().nesting);
    }
}
