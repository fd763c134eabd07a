//! Terms: 64-bit fingerprints of searchable facts, as specified in `wit/terms.md`.
//!
//! `ingest` computes the terms of stored fragments and the planner those of a query; a plugin only compares them. Equal facts have
//! equal terms. Different facts may share a term, so terms narrow a search but never decide it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::storage::{SpanKind, StatusCode, Term};

mod magnitude;
mod words;

pub use magnitude::Magnitude;
pub use words::{WordKey, is_common, push_words, spellings, word_part};

/// The kind of message that holds an attribute. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Level {
    /// Every level, ordered by number.
    pub const ALL: [Self; 5] = [
        Self::Span,
        Self::Event,
        Self::Link,
        Self::Resource,
        Self::Scope,
    ];
}

/// A text of a span that is no attribute, and that the dictionary may list. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TextField {
    /// `Span.name`
    SpanName = 0,
    /// `Span.Status.message`, if it is not empty.
    StatusMessage = 1,
    /// `Span.Event.name`
    EventName = 2,
}

const SERVICE: u64 = 1;
const SPAN_NAME: u64 = 2;
const SERVICE_AND_SPAN_NAME: u64 = 3;
const KIND: u64 = 4;
const STATUS: u64 = 5;
const SERVICE_WITH_ERROR: u64 = 6;
const SCOPE_NAME: u64 = 7;
const SCOPE_VERSION: u64 = 8;
const EVENT_NAME: u64 = 9;
const LINK_TRACE_ID: u64 = 10;
const ATTRIBUTE: u64 = 16;
const NUMBER: u64 = 17;
const WORD: u64 = 18;
const UNLISTED_WORDS: u64 = 19;
const PRESENT_WITH_WORDS: u64 = 20;
const PRESENT_LISTED: u64 = 21;
const PRESENT_UNLISTED: u64 = 22;
const PRESENT_UNLISTED_WITHOUT_WORDS: u64 = 23;
const WITH_DICTIONARY: u64 = 24;
const STATUS_WITH_LISTED_TEXTS: u64 = 25;
const UNLISTED_TEXT: u64 = 26;
const LISTED_STATUS_MESSAGE: u64 = 27;

/// The step in the terms of numbers that are listed. It is below all magnitudes.
const LISTED_STEP: u8 = 1;

fn chain(hash: u64, part: &[u8]) -> u64 {
    xxh3_64_with_seed(part, hash)
}

fn finish(hash: u64) -> Term {
    hash.max(1)
}

/// Term of a resource's `service.name`, which counts as "" if it is absent or not a string.
pub fn service(service: &[u8]) -> Term {
    finish(chain(SERVICE, service))
}

/// Term of a span's name.
pub fn span_name(name: &[u8]) -> Term {
    finish(chain(SPAN_NAME, name))
}

/// Term of a service with the name of one of its spans.
pub fn service_and_span_name(service: &[u8], name: &[u8]) -> Term {
    finish(chain(chain(SERVICE_AND_SPAN_NAME, service), name))
}

/// Term of a span's kind.
pub fn kind(kind: SpanKind) -> Term {
    finish(chain(KIND, &[kind as u8]))
}

/// Term of a span's status, in a fragment whose texts are not listed. In others it is [`status_with_listed_texts`].
pub fn status(status: StatusCode) -> Term {
    finish(chain(STATUS, &[status as u8]))
}

/// Term of a span's status, in a fragment whose texts are in the dictionary, but for those that [`unlisted_text`] tells.
pub fn status_with_listed_texts(status: StatusCode) -> Term {
    finish(chain(STATUS_WITH_LISTED_TEXTS, &[status as u8]))
}

/// Term of a span that has a text of this field which is not in the dictionary, in a fragment whose other texts are.
pub fn unlisted_text(field: TextField) -> Term {
    finish(chain(UNLISTED_TEXT, &[field as u8]))
}

/// Term of a span with this status message, which is in the dictionary. A message that is not has no term.
pub fn listed_status_message(message: &[u8]) -> Term {
    finish(chain(LISTED_STATUS_MESSAGE, message))
}

/// Term of a service that has a span with status error.
pub fn service_with_error(service: &[u8]) -> Term {
    finish(chain(
        chain(SERVICE_WITH_ERROR, service),
        &[StatusCode::Error as u8],
    ))
}

/// Term of an instrumentation scope's name.
pub fn scope_name(name: &[u8]) -> Term {
    finish(chain(SCOPE_NAME, name))
}

/// Term of an instrumentation scope's version.
pub fn scope_version(version: &[u8]) -> Term {
    finish(chain(SCOPE_VERSION, version))
}

/// Term of an event's name.
pub fn event_name(name: &[u8]) -> Term {
    finish(chain(EVENT_NAME, name))
}

/// Term of a link's trace id, in its bytes on the wire.
pub fn link_trace_id(id: &[u8]) -> Term {
    finish(chain(LINK_TRACE_ID, id))
}

/// The hash of an attribute's key, from which its terms are computed.
///
/// The terms of different levels differ only in three bits, the lowest of the upper half. A plugin that sorts terms by their upper half
/// therefore finds an attribute at any level in one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeKey(u64);

impl AttributeKey {
    /// Hashes a key.
    pub fn new(key: &[u8]) -> Self {
        Self(chain(ATTRIBUTE, key))
    }

    /// Term of an attribute with this key at the level whose value is not a number, in a fragment without terms of words. In others it is
    /// [`present_with_words`], or one of [`present_listed`] and its siblings if the fragment was written with a dictionary.
    pub fn present(self, level: Level) -> Term {
        finish(at_level(self.0, level))
    }

    /// Term of an attribute with this key and string form (`crate::string_form`) at the level. Arrays and maps have no such term.
    pub fn with_value(self, level: Level, string_form: &[u8]) -> Term {
        finish(at_level(chain(self.0, string_form), level))
    }
}

/// The hash of the key of attributes that are numbers. NaN does not count as a number.
///
/// The terms computed from it differ only in bits 32 to 42. A plugin that sorts terms by their upper half therefore finds a range of
/// numbers in one range of terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberKey(u64);

impl NumberKey {
    /// Hashes a key.
    pub fn new(key: &[u8]) -> Self {
        Self(chain(NUMBER, key))
    }

    /// Term of a number with this key at the level. One that is listed has [`NumberKey::listed`] instead.
    pub fn present(self, level: Level) -> Term {
        self.at_step(level, 0)
    }

    /// Term of a number with this key at the level whose value is in the dictionary.
    pub fn listed(self, level: Level) -> Term {
        self.at_step(level, LISTED_STEP)
    }

    /// Term of a number with this key and magnitude at the level.
    pub fn with_magnitude(self, level: Level, magnitude: Magnitude) -> Term {
        self.at_step(level, magnitude.number())
    }

    fn at_step(self, level: Level, step: u8) -> Term {
        let hash = self.0 & !(0xff << 35) | u64::from(step) << 35;
        finish(at_level(hash, level))
    }
}

/// Term of an attribute with this key at the level whose value is not a number, in a fragment that has terms of words.
pub fn present_with_words(level: Level, key: &[u8]) -> Term {
    finish(at_level(chain(PRESENT_WITH_WORDS, key), level))
}

/// Term of a fragment that was written with a dictionary.
pub fn with_dictionary() -> Term {
    finish(chain(WITH_DICTIONARY, b""))
}

/// Term of an attribute with this key at the level whose value is not a number, and is in the dictionary. If it is a text, its words have no
/// terms: its value finds it.
pub fn present_listed(level: Level, key: &[u8]) -> Term {
    finish(at_level(chain(PRESENT_LISTED, key), level))
}

/// Term of an attribute with this key at the level whose value is neither a number nor in the dictionary. If it is a text, its words have
/// terms.
pub fn present_unlisted(level: Level, key: &[u8]) -> Term {
    finish(at_level(chain(PRESENT_UNLISTED, key), level))
}

/// Term of an attribute with this key at the level whose value is neither a number nor in the dictionary. Its words have no terms.
pub fn present_unlisted_without_words(level: Level, key: &[u8]) -> Term {
    let hash = chain(PRESENT_UNLISTED_WITHOUT_WORDS, key);
    finish(at_level(hash, level))
}

/// Term of an attribute with this key at the level whose value is a text of which some words may have no term, because it has too many or
/// too long ones.
pub fn unlisted_words(level: Level, key: &[u8]) -> Term {
    finish(at_level(chain(UNLISTED_WORDS, key), level))
}

/// Replaces bits 32 to 34 of the hash by the level.
fn at_level(hash: u64, level: Level) -> u64 {
    hash & !(0b111 << 32) | (level as u64) << 32
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]

    use serde_json::Value;

    use super::*;

    fn bytes(part: &Value) -> Vec<u8> {
        match part {
            Value::String(text) => text.clone().into_bytes(),
            part => {
                let hex = part["hex"].as_str().unwrap();
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (0..hex.len()).step_by(2).map(byte).collect()
            }
        }
    }

    fn level(word: &str) -> Level {
        match word {
            "span" => Level::Span,
            "event" => Level::Event,
            "link" => Level::Link,
            "resource" => Level::Resource,
            "scope" => Level::Scope,
            other => panic!("{other} is no level"),
        }
    }

    fn term_of(fact: &str, parts: &[Vec<u8>]) -> Term {
        let number = |part: &[u8]| u64::from(part[0]);
        match (fact.split_once(" attribute "), parts) {
            (Some((word, "present")), [key]) => AttributeKey::new(key).present(level(word)),
            (Some((word, "number")), [key]) => NumberKey::new(key).present(level(word)),
            (Some((word, "magnitude")), [key, step]) => {
                let mut steps = Magnitude::MIN.through(Magnitude::MAX);
                let magnitude = steps.find(|it| it.number() == step[0]);
                NumberKey::new(key).with_magnitude(level(word), magnitude.unwrap())
            }
            (Some((word, "value")), [key, value]) => {
                AttributeKey::new(key).with_value(level(word), value)
            }
            (Some((at, "word")), [key, word]) => WordKey::new(key).with_word(level(at), word),
            (Some((word, "unlisted words")), [key]) => unlisted_words(level(word), key),
            (Some((word, "present with words")), [key]) => present_with_words(level(word), key),
            (Some((word, "listed")), [key]) => present_listed(level(word), key),
            (Some((word, "unlisted")), [key]) => present_unlisted(level(word), key),
            (Some((word, "unlisted without words")), [key]) => {
                present_unlisted_without_words(level(word), key)
            }
            (Some((word, "listed number")), [key]) => NumberKey::new(key).listed(level(word)),
            (None, [first]) => match fact {
                "service" => service(first),
                "span name" => span_name(first),
                "kind" => kind(SpanKind::from_wire(number(first))),
                "status" => status(StatusCode::from_wire(number(first))),
                "scope name" => scope_name(first),
                "scope version" => scope_version(first),
                "event name" => event_name(first),
                "link trace id" => link_trace_id(first),
                "status with listed texts" => {
                    status_with_listed_texts(StatusCode::from_wire(number(first)))
                }
                "unlisted text" => {
                    let fields = [
                        TextField::SpanName,
                        TextField::StatusMessage,
                        TextField::EventName,
                    ];
                    let mut fields = fields.into_iter();
                    unlisted_text(fields.find(|it| *it as u8 == first[0]).unwrap())
                }
                "listed status message" => listed_status_message(first),
                "with dictionary" => {
                    assert!(first.is_empty());
                    with_dictionary()
                }
                other => panic!("{other} is no fact"),
            },
            (None, [first, second]) => match fact {
                "service and span name" => service_and_span_name(first, second),
                "service with error" => {
                    assert_eq!(second, &[2]);
                    service_with_error(first)
                }
                other => panic!("{other} is no fact"),
            },
            _ => panic!("{fact} with {} parts", parts.len()),
        }
    }

    #[test]
    fn terms_are_those_of_the_contract() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../wit/terms.json")).unwrap();
        assert!(vectors.len() > 40);
        for vector in &vectors {
            let parts: Vec<_> = vector["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(bytes)
                .collect();
            let term = term_of(vector["fact"].as_str().unwrap(), &parts);
            assert_eq!(format!("{term:016x}"), vector["term"], "{vector}");
        }
    }

    #[test]
    fn the_hash_that_marks_nothing_counts_as_one() {
        assert_eq!(finish(0), 1);
        assert_eq!(finish(2), 2);
    }
}
