//! Searchable facts of one request, each known by a number, so that what repeats is read and hashed once.
//!
//! An attribute is known again by its encoded bytes, compared in full: a client could forge two attributes with equal hashes, and
//! the second would then not be found.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use larder_model::storage::Term;
use larder_model::string_form;
use larder_model::terms::{self, AttributeKey, Level, Magnitude, NumberKey};
use larder_proto::otlp::{AnyValue, KeyValue, depth};
use larder_proto::wire;

/// The facts of a request.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    known: Vec<Fact<'a>>,
    fact_numbers: HashTable<u32>,
    marks: Vec<Mark<'a>>,
    mark_numbers: HashTable<u32>,
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
    /// Its marks, if it is an attribute.
    marks: [Option<u32>; 2],
    /// Its term; none for the value of an array or a map.
    term: Option<Term>,
    /// Whether all strings in it are valid UTF-8.
    utf8: bool,
    /// Whether Jaeger can decode it.
    decodable: bool,
    /// The last fragment that has its terms.
    fragment: u32,
}

/// What attributes with a key at a level have in common: of one fragment it is told once.
#[derive(Debug)]
struct Mark<'a> {
    level: Level,
    key: &'a [u8],
    of: Common,
    term: Term,
    /// The last fragment that has its term.
    fragment: u32,
}

/// What of an attribute is told beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Common {
    /// It is there, and no number.
    Present,
    /// It is a number.
    Number,
    /// It is of this magnitude.
    Magnitude(Magnitude),
}

/// Facts are equal only inside one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Space {
    Attribute(Level),
    EventName,
    LinkTraceId,
}

/// A fact's number, whether all strings in it are valid UTF-8, and whether Jaeger can decode it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) number: u32,
    pub(super) utf8: bool,
    pub(super) decodable: bool,
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
        let (marks, term) = if attribute.utf8 {
            let key = attribute.key;
            let magnitude = attribute.value.as_ref().and_then(magnitude);
            let marks = match magnitude {
                None => [Some(self.mark(level, key, Common::Present)), None],
                Some(magnitude) => [Common::Number, Common::Magnitude(magnitude)]
                    .map(|of| Some(self.mark(level, key, of))),
            };
            let hash = AttributeKey::new(key);
            self.text.clear();
            let term = match &attribute.value {
                None => Some(hash.with_value(level, b"")),
                Some(value) if string_form::is_scalar(value) => {
                    string_form::write(value, &mut self.text);
                    Some(hash.with_value(level, &self.text))
                }
                Some(_) => None,
            };
            (marks, term)
        } else {
            // Its span is refused, so nobody asks for its terms.
            ([None; 2], None)
        };
        Ok(self.insert(
            hash,
            Fact {
                space,
                bytes: raw,
                marks,
                term,
                utf8: attribute.utf8,
                decodable: attribute.decodable,
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
            for mark in fact.marks.into_iter().flatten() {
                if let Some(mark) = self.marks.get_mut(mark as usize)
                    && mark.fragment != fragment
                {
                    mark.fragment = fragment;
                    out.push(mark.term);
                }
            }
        }
    }

    /// Forgets everything, and gives its buffers to the facts of another request.
    pub(super) fn recycle<'b>(mut self, most: usize) -> Facts<'b> {
        self.fact_numbers.clear();
        self.mark_numbers.clear();
        self.fact_numbers.shrink_to(most, |_| 0);
        self.mark_numbers.shrink_to(most, |_| 0);
        Facts {
            known: super::recycle(self.known, most),
            fact_numbers: self.fact_numbers,
            marks: super::recycle(self.marks, most),
            mark_numbers: self.mark_numbers,
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
        let fact = self.known.get(number as usize)?;
        Some(Known {
            number,
            utf8: fact.utf8,
            decodable: fact.decodable,
        })
    }

    fn insert(&mut self, hash: u64, fact: Fact<'a>) -> Known {
        let known = Known {
            number: super::number(self.known.len()),
            utf8: fact.utf8,
            decodable: fact.decodable,
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
            marks: [None; 2],
            term: Some(term(bytes)),
            utf8: true,
            decodable: true,
            fragment: 0,
        };
        self.insert(hash, fact).number
    }

    /// The number of what attributes with this key have in common.
    fn mark(&mut self, level: Level, key: &'a [u8], of: Common) -> u32 {
        let (marks, hasher) = (&mut self.marks, &self.hasher);
        let hash = hasher.hash_one((level, of, key));
        let is_it = |number: &u32| {
            marks
                .get(*number as usize)
                .is_some_and(|known| known.level == level && known.of == of && known.key == key)
        };
        if let Some(number) = self.mark_numbers.find(hash, is_it) {
            return *number;
        }
        let number = super::number(marks.len());
        marks.push(Mark {
            level,
            key,
            of,
            term: of.term(level, key),
            fragment: 0,
        });
        self.mark_numbers.insert_unique(hash, number, |number| {
            let mark = marks.get(*number as usize);
            mark.map_or(0, |it| hasher.hash_one((it.level, it.of, it.key)))
        });
        number
    }
}

// === impl Common ===

impl Common {
    fn term(self, level: Level, key: &[u8]) -> Term {
        match self {
            Self::Present => AttributeKey::new(key).present(level),
            Self::Number => NumberKey::new(key).present(level),
            Self::Magnitude(magnitude) => NumberKey::new(key).with_magnitude(level, magnitude),
        }
    }
}

/// Of a value that is a number.
fn magnitude(value: &AnyValue<'_>) -> Option<Magnitude> {
    match value {
        AnyValue::Int(int) => Some(Magnitude::of_int((*int).into())),
        AnyValue::Double(double) => Magnitude::of_double(*double),
        _ => None,
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
