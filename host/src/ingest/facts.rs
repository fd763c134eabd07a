//! Searchable facts of one request, each known by a number, so that what repeats is read and hashed once.
//!
//! An attribute is known again by its encoded bytes, compared in full: a client could forge two attributes with equal hashes, and
//! the second would then not be found.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use larder_proto::otlp::{KeyValue, depth};
use larder_proto::wire;

use crate::storage::Term;
use crate::string_form;
use crate::terms::{self, AttributeKey, Level};

/// The facts of a request.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    known: Vec<Fact<'a>>,
    fact_numbers: HashTable<u32>,
    keys: Vec<Key<'a>>,
    key_numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The string form that is being made.
    text: Vec<u8>,
}

/// An attribute at its level, the name of an event or the trace id of a link.
#[derive(Debug)]
struct Fact<'a> {
    space: Space,
    /// The encoded attribute, the name or the id.
    bytes: &'a [u8],
    /// Its key, if it is an attribute.
    key: Option<u32>,
    /// Its term; none for the value of an array or a map.
    term: Option<Term>,
    /// Whether all strings in it are valid UTF-8.
    utf8: bool,
    /// The last fragment that has its terms.
    fragment: u32,
}

/// The key of attributes at a level.
#[derive(Debug)]
struct Key<'a> {
    level: Level,
    bytes: &'a [u8],
    hash: AttributeKey,
    /// The last fragment that has its term.
    fragment: u32,
}

/// Facts are equal only inside one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Space {
    Attribute(Level),
    EventName,
    LinkTraceId,
}

/// A fact's number, and whether all strings in it are valid UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) number: u32,
    pub(super) utf8: bool,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// An encoded attribute.
    ///
    /// # Errors
    /// When it is no `KeyValue`.
    #[inline]
    pub(super) fn attribute(&mut self, level: Level, raw: &'a [u8]) -> Result<Known, wire::Error> {
        let space = Space::Attribute(level);
        let hash = self.hash(space, raw);
        if let Some(known) = self.find(space, raw, hash) {
            return Ok(known);
        }
        let attribute = KeyValue::parse_within(raw, attribute_depth(level))?;
        let (key, term) = if attribute.utf8 {
            let (key, hash) = self.key(level, attribute.key);
            self.text.clear();
            let term = match &attribute.value {
                None => Some(hash.with_value(level, b"")),
                Some(value) if string_form::is_scalar(value) => {
                    string_form::write(value, &mut self.text);
                    Some(hash.with_value(level, &self.text))
                }
                Some(_) => None,
            };
            (Some(key), term)
        } else {
            // Its span is refused, so nobody asks for its terms.
            (None, None)
        };
        Ok(self.insert(
            hash,
            Fact {
                space,
                bytes: raw,
                key,
                term,
                utf8: attribute.utf8,
                fragment: 0,
            },
        ))
    }

    /// The name of an event.
    pub(super) fn event_name(&mut self, name: &'a [u8]) -> u32 {
        self.plain(Space::EventName, name, terms::event_name)
    }

    /// The trace id of a link, as sent.
    pub(super) fn link_trace_id(&mut self, id: &'a [u8]) -> u32 {
        self.plain(Space::LinkTraceId, id, terms::link_trace_id)
    }

    /// Appends the terms of facts to those of a fragment, but for terms that were appended under the same `fragment` before.
    /// Fragments are numbered from 1.
    pub(super) fn push_terms(&mut self, numbers: &[u32], fragment: u32, out: &mut Vec<Term>) {
        for number in numbers {
            let Some(fact) = self.known.get_mut(*number as usize) else {
                continue;
            };
            if fact.fragment == fragment {
                continue;
            }
            fact.fragment = fragment;
            out.extend(fact.term);
            let Some(key) = fact.key.and_then(|key| self.keys.get_mut(key as usize)) else {
                continue;
            };
            if key.fragment != fragment {
                key.fragment = fragment;
                out.push(key.hash.present(key.level));
            }
        }
    }

    /// Forgets everything, and gives its buffers to the facts of another request.
    pub(super) fn recycle<'b>(mut self, most: usize) -> Facts<'b> {
        self.fact_numbers.clear();
        self.key_numbers.clear();
        self.fact_numbers.shrink_to(most, |_| 0);
        self.key_numbers.shrink_to(most, |_| 0);
        Facts {
            known: super::recycle(self.known, most),
            fact_numbers: self.fact_numbers,
            keys: super::recycle(self.keys, most),
            key_numbers: self.key_numbers,
            hasher: self.hasher,
            text: self.text,
        }
    }

    #[inline]
    fn hash(&self, space: Space, bytes: &[u8]) -> u64 {
        self.hasher.hash_one((space, bytes))
    }

    #[inline]
    fn find(&self, space: Space, bytes: &[u8], hash: u64) -> Option<Known> {
        let is_it = |fact: &&Fact<'_>| fact.space == space && fact.bytes == bytes;
        let number = *self.fact_numbers.find(hash, |number| {
            self.known.get(*number as usize).as_ref().is_some_and(is_it)
        })?;
        let utf8 = self.known.get(number as usize)?.utf8;
        Some(Known { number, utf8 })
    }

    fn insert(&mut self, hash: u64, fact: Fact<'a>) -> Known {
        let known = Known {
            number: super::number(self.known.len()),
            utf8: fact.utf8,
        };
        self.known.push(fact);
        let (facts, hasher) = (&self.known, &self.hasher);
        self.fact_numbers
            .insert_unique(hash, known.number, |number| {
                let fact = facts.get(*number as usize);
                fact.map_or(0, |fact| hasher.hash_one((fact.space, fact.bytes)))
            });
        known
    }

    fn plain(&mut self, space: Space, bytes: &'a [u8], term: fn(&[u8]) -> Term) -> u32 {
        let hash = self.hash(space, bytes);
        if let Some(known) = self.find(space, bytes, hash) {
            return known.number;
        }
        let fact = Fact {
            space,
            bytes,
            key: None,
            term: Some(term(bytes)),
            utf8: true,
            fragment: 0,
        };
        self.insert(hash, fact).number
    }

    /// The number of a key, and the hash that its terms are made from.
    fn key(&mut self, level: Level, key: &'a [u8]) -> (u32, AttributeKey) {
        let (keys, hasher) = (&mut self.keys, &self.hasher);
        let hash = hasher.hash_one((level, key));
        let is_it = |number: &u32| {
            keys.get(*number as usize)
                .is_some_and(|known| known.level == level && known.bytes == key)
        };
        if let Some(number) = self.key_numbers.find(hash, is_it)
            && let Some(known) = keys.get(*number as usize)
        {
            return (*number, known.hash);
        }
        let number = super::number(keys.len());
        let made = AttributeKey::new(key);
        keys.push(Key {
            level,
            bytes: key,
            hash: made,
            fragment: 0,
        });
        self.key_numbers.insert_unique(hash, number, |number| {
            let key = keys.get(*number as usize);
            key.map_or(0, |key| hasher.hash_one((key.level, key.bytes)))
        });
        (number, made)
    }
}

fn attribute_depth(level: Level) -> u32 {
    match level {
        Level::Span => depth::SPAN_CHILD,
        Level::Event | Level::Link => depth::GRANDCHILD_ATTRIBUTE,
        Level::Resource => depth::RESOURCE_ATTRIBUTE,
        Level::Scope => depth::SCOPE_ATTRIBUTE,
    }
}
