#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Error> {
    Fields::new(message)
        .map(|field| field.map(|field| (field.number, field.value)))
        .collect()
}

#[test]
fn reads_every_wire_type() {
    let message = b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\x80\x1a\x02hi\x25\x07\0\0\x80\x2b\x30\x01\x2c\xf8\xff\xff\xff\x0f\x05";
    assert_eq!(
        read(message).unwrap(),
        [
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1 | 1 << 63)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(7 | 1 << 31)),
            (5, Value::Group(b"\x30\x01")),
            (0x1fff_ffff, Value::Varint(5)),
        ]
    );
}

#[test]
fn gives_each_field_as_sent() {
    let message = b"\x0a\x82\x00hi\x10\x01";
    let raw: Vec<_> = Fields::new(message)
        .map(|field| (field.unwrap().offset, field.unwrap().raw))
        .collect();
    assert_eq!(raw, [(0, &b"\x0a\x82\x00hi"[..]), (5, &b"\x10\x01"[..])]);
}

#[test]
fn an_error_describes_the_fault_and_its_offset() {
    let check = |message: &[u8], text: &str| match read(message) {
        Err(error) => assert_eq!(error.to_string(), text),
        Ok(fields) => panic!("{message:x?} was read as {fields:?}"),
    };
    check(b"\x10\x01\x0a\x03hi", "a field is cut off at byte 4");
    check(b"\x09\x01", "a field is cut off at byte 1");
    check(b"\x0d\x01", "a field is cut off at byte 1");
    check(
        b"\x08",
        "a varint is cut off or longer than 64 bits at byte 1",
    );
    check(
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        "a varint is cut off or longer than 64 bits at byte 1",
    );
    check(
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
        "a varint is cut off or longer than 64 bits at byte 1",
    );
    check(
        b"\x80\x80\x80\x80\x10\x01",
        "a field's key is longer than 32 bits at byte 5",
    );
    check(b"\x0e\x01", "6 is no wire type at byte 1");
    check(b"\x02\x01", "a field has the number 0 at byte 1");
    check(b"\x0c", "a group ends that was not begun at byte 1");
    check(b"\x0b\x14", "a group ends that was not begun at byte 2");
    check(
        b"\x0b\x10\x01",
        "a varint is cut off or longer than 64 bits at byte 3",
    );
}

#[test]
fn accepts_the_longest_varint_and_padded_ones() {
    assert_eq!(
        read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap(),
        [(1, Value::Varint(u64::MAX))]
    );
    assert_eq!(
        read(b"\x88\x80\x80\x80\x00\x81\x80\x80\x00").unwrap(),
        [(1, Value::Varint(1))]
    );
}

#[test]
fn counts_groups_as_levels() {
    let nested = |levels: usize| [vec![0x0b; levels], vec![0x0c; levels]].concat();
    assert!(read(&nested(100)).is_ok());
    let error = read(&nested(101)).unwrap_err();
    assert!(error.to_string().contains("more than 100 deep"), "{error}");
}

#[test]
fn ends_after_an_error() {
    let mut fields = Fields::new(b"\x0c\x08\x01");
    assert!(fields.next().unwrap().is_err());
    assert!(fields.next().is_none());
}

#[test]
fn an_inner_error_can_be_made_relative_to_the_outer_message() {
    let outer = b"\x10\x01\x0a\x02\x08\x80";
    let inner = Fields::new(outer).nth(1).unwrap().unwrap();
    let message = inner.bytes().unwrap();
    let error = read(message).unwrap_err();
    assert_eq!(error.offset(), 1);
    assert_eq!(error.relative_to(outer, message).offset(), 5);
}
