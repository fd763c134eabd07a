#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;

fn key(partition: &str, sort: &[u8]) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.to_vec(),
    }
}

#[test]
fn a_long_value_is_stored_shorter_and_a_short_one_with_thirteen_bytes_more() {
    let at = key("p", b"a");
    let long = encode(&at, vec![7; 70_000]);
    assert!(long.len() < 100, "{}", long.len());
    assert_eq!(decode(&at, &long), Some(vec![7; 70_000]));
    let short = encode(&at, vec![7; MIN_COMPRESSED - 1]);
    assert_eq!(short.len(), MIN_COMPRESSED - 1 + 13);
    assert_eq!(short[13..], [7; MIN_COMPRESSED - 1]);
}

#[test]
fn a_value_under_a_wrong_key_is_damaged() {
    let blob = encode(&key("ab", b"c"), b"value".to_vec());
    for wrong in [
        key("ab", b"d"),
        key("a", b"bc"),
        key("abc", b""),
        key("", b"abc"),
    ] {
        assert_eq!(open(&wrong, &blob), Err(Unreadable::Damaged));
    }
}

#[test]
fn a_value_of_a_newer_release_is_refused_and_the_reason_told() {
    let at = key("p", b"a");
    let blob = encode(&at, vec![7; 1000]);
    let mut with_dictionary = blob.clone();
    with_dictionary[0] |= DICTIONARY;
    with_dictionary.splice(13..13, 77_u32.to_le_bytes());
    let refused = open(&at, &with_dictionary).unwrap_err();
    assert_eq!(refused, Unreadable::Dictionary(77));
    assert!(refused.to_string().contains("dictionary 77"), "{refused}");
    assert_eq!(decode(&at, &with_dictionary), None);

    for bit in [1, 3, 4, 5, 6, 7] {
        let mut unknown = blob.clone();
        unknown[0] |= 1 << bit;
        let refused = open(&at, &unknown).unwrap_err();
        assert_eq!(refused, Unreadable::UnknownFlags(1 | 1 << bit));
        assert!(refused.to_string().contains("newer"), "{refused}");
        assert_eq!(decode(&at, &unknown), None);
    }
}

/// The layout is on disk in other machines' stores: these bytes never change.
#[test]
fn the_layout_of_a_blob_does_not_change() {
    let blob = encode(&key("p", b"a"), b"value".to_vec());
    let mut due = vec![0];
    due.extend_from_slice(&0x8186_9b26_d56b_6321_u64.to_le_bytes());
    due.extend_from_slice(&[5, 0, 0, 0]);
    due.extend_from_slice(b"value");
    assert_eq!(blob, due);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        partition in ".{0,8}",
        sort in proptest::collection::vec(any::<u8>(), 0..40),
        value in proptest::collection::vec(0..4_u8, 0..2000),
    ) {
        let at = key(&partition, &sort);
        prop_assert_eq!(decode(&at, &encode(&at, value.clone())), Some(value));
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed(
        value in proptest::collection::vec(0..4_u8, 0..400),
        at in any::<prop::sample::Index>(),
        change in 1..=u8::MAX,
    ) {
        let name = key("p", b"a");
        let blob = encode(&name, value);
        let at = at.index(blob.len());
        let mut changed = blob.clone();
        changed[at] ^= change;
        prop_assert_eq!(decode(&name, &changed), None);
        prop_assert_eq!(decode(&name, &blob[..at]), None);
    }
}
