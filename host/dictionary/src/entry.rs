//! The entries in which values are kept: each has values that were written on one day.
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | the version, 2; 1 where a release wrote it that listed attributes alone |
//! | 8 | XXH3 of all that follows, in little-endian order as all numbers here |
//! | 4 | the day, since 1970 |
//! | rest | attributes: number of the source (1; that of an attribute's level, or of a text of spans), length of the key (2), the key, number of values (2), and of each its length (2) and its string form |

use larder_model::dictionary::Source;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an entry, at most, unless it has one value.
pub(crate) const MAX_BYTES: usize = 64 << 10;

const VERSION: u8 = 2;

/// Bytes before the attributes.
const HEADER: usize = 13;

/// An entry that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("an entry of the dictionary has version {0}, of a newer release")]
    Newer(u8),
    #[error("an entry of the dictionary is damaged")]
    Damaged,
}

/// A value: source, key and string form.
pub(crate) type Value<'a> = (Source, &'a [u8], &'a [u8]);

/// Encodes values of one day, which are sorted, as entries. A key or a form that is too long to be listed is left out.
pub(crate) fn encode<'a>(day: u32, values: impl IntoIterator<Item = Value<'a>>) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let mut open: Option<Open> = None;
    for (source, key, form) in values {
        let Some((key_len, form_len)) = short(key).zip(short(form)) else {
            continue;
        };
        let needed = 7 + key.len() + form.len();
        if let Some(full) = open.take_if(|open| open.bytes.len() + needed > MAX_BYTES) {
            entries.push(full.finish());
        }
        let open = open.get_or_insert_with(|| Open::new(day));
        if open
            .attribute
            .as_ref()
            .is_none_or(|it| *it != (source, key))
        {
            open.begin((source, key), key_len);
        }
        open.count += 1;
        open.bytes.extend_from_slice(&form_len);
        open.bytes.extend_from_slice(form);
    }
    entries.extend(open.map(Open::finish));
    entries
}

/// Reads an entry: its day and its values.
pub(crate) fn decode(entry: &[u8]) -> Result<(u32, Vec<Value<'_>>), Unreadable> {
    let mut rest = Rest(entry);
    let [version] = rest.array()?;
    if version > VERSION {
        return Err(Unreadable::Newer(version));
    }
    let hash = u64::from_le_bytes(rest.array()?);
    if version == 0 || xxh3_64(rest.0) != hash {
        return Err(Unreadable::Damaged);
    }
    let day = u32::from_le_bytes(rest.array()?);
    let mut values = Vec::new();
    while !rest.0.is_empty() {
        let [source] = rest.array()?;
        let source = Source::ALL.get(usize::from(source));
        let source = *source.ok_or(Unreadable::Damaged)?;
        let key = rest.text()?;
        for _ in 0..u16::from_le_bytes(rest.array()?) {
            values.push((source, key, rest.text()?));
        }
    }
    Ok((day, values))
}

fn short(part: &[u8]) -> Option<[u8; 2]> {
    let length = u16::try_from(part.len()).ok()?;
    Some(length.to_le_bytes())
}

/// An entry that is being written.
struct Open<'a> {
    bytes: Vec<u8>,
    attribute: Option<(Source, &'a [u8])>,
    /// The place of the number of the attribute's values, and the number.
    count_at: usize,
    count: u16,
}

// === impl Open ===

impl<'a> Open<'a> {
    fn new(day: u32) -> Self {
        let mut bytes = vec![0; HEADER - 4];
        bytes.extend_from_slice(&day.to_le_bytes());
        Self {
            bytes,
            attribute: None,
            count_at: 0,
            count: 0,
        }
    }

    fn begin(&mut self, (source, key): (Source, &'a [u8]), key_len: [u8; 2]) {
        self.end();
        self.bytes.push(source.number());
        self.bytes.extend_from_slice(&key_len);
        self.bytes.extend_from_slice(key);
        self.count_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.attribute = Some((source, key));
    }

    /// Ends the open attribute.
    fn end(&mut self) {
        let place = self.bytes.get_mut(self.count_at..self.count_at + 2);
        if let Some(place) = place.filter(|_| self.attribute.is_some()) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
        self.count = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        self.end();
        let hash = self.bytes.get(HEADER - 4..).map_or(0, xxh3_64);
        if let Some((version, rest)) = self.bytes.split_first_mut() {
            *version = VERSION;
            if let Some(place) = rest.get_mut(..8) {
                place.copy_from_slice(&hash.to_le_bytes());
            }
        }
        self.bytes
    }
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

// === impl Rest ===

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Unreadable::Damaged)?;
        self.0 = rest;
        Ok(*array)
    }

    fn text(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = u16::from_le_bytes(self.array()?);
        let split = self.0.split_at_checked(length.into());
        let (text, rest) = split.ok_or(Unreadable::Damaged)?;
        self.0 = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    use larder_model::terms::Level;

    use super::*;

    const SPAN: Source = Source::Attribute(Level::Span);

    type Owned = (Source, Vec<u8>, Vec<u8>);

    fn values() -> impl Strategy<Value = BTreeSet<Owned>> {
        let bytes = |max: usize| vec(any::<u8>(), 0..max);
        btree_set((select(&Source::ALL[..]), bytes(3), bytes(200)), 0..400)
    }

    fn borrowed(values: &BTreeSet<Owned>) -> impl Iterator<Item = Value<'_>> {
        let values = values.iter();
        values.map(|(source, key, form)| (*source, key.as_slice(), form.as_slice()))
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(values in values(), day: u32) {
            let entries = encode(day, borrowed(&values));
            let mut found = BTreeSet::new();
            for entry in &entries {
                prop_assert!(entry.len() <= MAX_BYTES);
                let (of, values) = decode(entry).unwrap();
                prop_assert_eq!(of, day);
                for (source, key, form) in values {
                    prop_assert!(found.insert((source, key.to_owned(), form.to_owned())));
                }
            }
            prop_assert_eq!(found, values);
        }

        #[test]
        fn damage_is_told(values in values(), at: prop::sample::Index, bit in 0..8_u8) {
            for entry in encode(7, borrowed(&values)) {
                let mut damaged = entry.clone();
                let at = at.index(entry.len());
                damaged[at] ^= 1 << bit;
                let found = decode(&damaged).unwrap_err();
                if at > 0 {
                    prop_assert_eq!(found, Unreadable::Damaged);
                }
                prop_assert!(decode(&entry[..at]).is_err());
            }
        }

        #[test]
        fn anything_is_read_without_a_panic(mut bytes in vec(any::<u8>(), 0..60)) {
            drop(decode(&bytes));
            // Also what has the right hash.
            if bytes.len() >= 9 {
                bytes[0] = VERSION;
                let hash = xxh3_64(&bytes[9..]).to_le_bytes();
                bytes[1..9].copy_from_slice(&hash);
                drop(decode(&bytes));
            }
        }
    }

    #[test]
    fn many_values_fill_several_entries() {
        let forms: Vec<_> = (0..5000).map(|number| format!("{number:050}")).collect();
        let values = forms.iter().map(|form| (SPAN, &b"k"[..], form.as_bytes()));
        let entries = encode(1, values);
        assert!(entries.len() >= 4);
        let all = entries.iter().map(|entry| decode(entry).unwrap().1.len());
        assert_eq!(all.sum::<usize>(), 5000);
        let long = vec![0; 1 << 16];
        assert!(encode(1, [(SPAN, &b"k"[..], &long[..])]).is_empty());
        assert!(encode(1, []).is_empty());
    }

    #[test]
    fn a_newer_version_is_told() {
        let mut entry = encode(1, [(SPAN, &b"k"[..], &b"v"[..])]).remove(0);
        entry[0] = 3;
        assert_eq!(decode(&entry), Err(Unreadable::Newer(3)));
        // What a release wrote that listed attributes alone.
        entry[0] = 1;
        assert_eq!(decode(&entry).unwrap().0, 1);
        entry[0] = 0;
        assert_eq!(decode(&entry), Err(Unreadable::Damaged));
    }
}
