//! Fingerprints of searchable facts, byte by byte as `wit/terms.md` defines them.
//!
//! A plugin does not need this module to store and search: it receives terms and compares them. It is for tests, and for plugins that
//! interpret terms.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{SpanKind, Term};

/// The level of an attribute; the number is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// `Span.attributes`
    Span = 0,
    /// `Span.Event.attributes`
    Event = 1,
    /// `Span.Link.attributes`
    Link = 2,
    /// `Resource.attributes`
    Resource = 3,
    /// `InstrumentationScope.attributes`
    Scope = 4,
}

/// A text of a span that the host's dictionary may list; the number is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TextField {
    /// `Span.name`
    SpanName = 0,
    /// `Span.Status.message`, if it is not empty.
    StatusMessage = 1,
    /// `Span.Event.name`
    EventName = 2,
}

/// OTLP's `Status.StatusCode`; the number is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StatusCode {
    /// `STATUS_CODE_UNSET`, and every number that OTLP does not define
    Unset = 0,
    /// `STATUS_CODE_OK`
    Ok = 1,
    /// `STATUS_CODE_ERROR`
    Error = 2,
}

/// Computes `h = tag; for each part: h = XXH3_64(part, seed = h)`
fn hash(tag: u64, parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .fold(tag, |hash, part| xxh3_64_with_seed(part, hash))
}

/// Returns the term of a fact; a hash of 0 becomes 1.
fn term(tag: u64, parts: &[&[u8]]) -> Term {
    hash(tag, parts).max(1)
}

/// A resource's `service.name`; "" if it is absent or not a string.
pub fn service(service: &str) -> Term {
    term(1, &[service.as_bytes()])
}

/// A span's name.
pub fn span_name(name: &str) -> Term {
    term(2, &[name.as_bytes()])
}

/// A service and the name of one of its spans.
pub fn service_and_span_name(service: &str, name: &str) -> Term {
    term(3, &[service.as_bytes(), name.as_bytes()])
}

/// A span's kind.
pub fn kind(kind: SpanKind) -> Term {
    term(4, &[&[kind as u8]])
}

/// A span's status. In a fragment whose texts are in the host's dictionary the term is [`status_with_listed_texts`].
pub fn status(status: StatusCode) -> Term {
    term(5, &[&[status as u8]])
}

/// A span's status, in a fragment whose texts are in the host's dictionary, but for those that [`unlisted_text`] tells.
pub fn status_with_listed_texts(status: StatusCode) -> Term {
    term(25, &[&[status as u8]])
}

/// A span has a text of this field that is not in the host's dictionary, in a fragment whose other texts are.
pub fn unlisted_text(field: TextField) -> Term {
    term(26, &[&[field as u8]])
}

/// A span's status message, which is in the host's dictionary. One that is not has no term.
pub fn listed_status_message(message: &str) -> Term {
    term(27, &[message.as_bytes()])
}

/// A span of this service with status error.
pub fn service_with_error(service: &str) -> Term {
    term(6, &[service.as_bytes(), &[StatusCode::Error as u8]])
}

/// An instrumentation scope's name.
pub fn scope_name(name: &str) -> Term {
    term(7, &[name.as_bytes()])
}

/// An instrumentation scope's version.
pub fn scope_version(version: &str) -> Term {
    term(8, &[version.as_bytes()])
}

/// An event's name.
pub fn event_name(name: &str) -> Term {
    term(9, &[name.as_bytes()])
}

/// A link's trace id, as its bytes on the wire.
pub fn link_trace_id(id: &[u8]) -> Term {
    term(10, &[id])
}

/// A fragment that was written with the host's dictionary.
pub fn with_dictionary() -> Term {
    term(24, &[b""])
}

/// An attribute with this key is present at the level, and is not a number. In a fragment that has terms of words the term is
/// [`attribute_present_with_words`], and in one that was written with a dictionary one of [`attribute_listed`] and its siblings.
pub fn attribute_present(level: Level, key: &str) -> Term {
    at_level(16, level, &[key.as_bytes()])
}

/// An attribute with this key is present at the level, and is not a number; the fragment has terms of words.
pub fn attribute_present_with_words(level: Level, key: &str) -> Term {
    at_level(20, level, &[key.as_bytes()])
}

/// An attribute with this key is present at the level, and is not a number; its value is in the host's dictionary.
pub fn attribute_listed(level: Level, key: &str) -> Term {
    at_level(21, level, &[key.as_bytes()])
}

/// An attribute with this key is present at the level, and is not a number; its value is not in the host's dictionary. If it is a text, its
/// words have terms.
pub fn attribute_unlisted(level: Level, key: &str) -> Term {
    at_level(22, level, &[key.as_bytes()])
}

/// An attribute with this key is present at the level, and is not a number; its value is not in the host's dictionary, and its words have no
/// terms.
pub fn attribute_unlisted_without_words(level: Level, key: &str) -> Term {
    at_level(23, level, &[key.as_bytes()])
}

/// An attribute with this key at the level has this string form. Arrays and maps have no such term.
pub fn attribute(level: Level, key: &str, string_form: &str) -> Term {
    at_level(16, level, &[key.as_bytes(), string_form.as_bytes()])
}

/// An attribute with this key at the level is a text with this word, whose ASCII letters are in lower case. A number of more than four ASCII
/// digits counts by its last four.
pub fn attribute_word(level: Level, key: &str, word: &str) -> Term {
    at_level(18, level, &[key.as_bytes(), word.as_bytes()])
}

/// An attribute with this key at the level is a text of which some words may have no term.
pub fn attribute_unlisted_words(level: Level, key: &str) -> Term {
    at_level(19, level, &[key.as_bytes()])
}

/// An attribute with this key is present at the level, and is a number; one in the host's dictionary has [`number_listed`] instead.
pub fn number_present(level: Level, key: &str) -> Term {
    number(level, key, 0)
}

/// An attribute with this key is present at the level, and is a number that is in the host's dictionary.
pub fn number_listed(level: Level, key: &str) -> Term {
    number(level, key, 1)
}

/// An attribute with this key at the level is a number of this magnitude, 24 to 232 as `wit/terms.md` has it.
pub fn magnitude(level: Level, key: &str, magnitude: u8) -> Term {
    number(level, key, magnitude)
}

/// Returns the fact's hash with the level in bits 32 to 34.
fn at_level(tag: u64, level: Level, parts: &[&[u8]]) -> Term {
    let hash = hash(tag, parts) & !(0b111 << 32) | (level as u64) << 32;
    hash.max(1)
}

/// Returns the key's hash with the level in bits 32 to 34 and the magnitude in the eight bits above.
fn number(level: Level, key: &str, magnitude: u8) -> Term {
    let hash = hash(17, &[key.as_bytes()]) & !(0x7ff << 32);
    let hash = hash | (level as u64) << 32 | u64::from(magnitude) << 35;
    hash.max(1)
}
