//! Searchable facts of one request. Each distinct fact is parsed and hashed once, and known by its number.
//!
//! Attributes are equal if their encoded bytes are. A hash alone is not enough: a client could forge two attributes with equal
//! hashes, and the second would then not be found.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use larder_model::dictionary::{ListedValues, Listing, Snapshot};
use larder_model::storage::Term;
use larder_model::string_form;
use larder_model::terms::{self, AttributeKey, Level, Magnitude, NumberKey, TextField};
use larder_proto::otlp::{AnyValue, KeyValue, Validity};
use larder_proto::wire;

use super::number;
use super::recent::Recent;
use super::table::Table;

/// The facts of a request, and the list of facts that each resource, scope and span has.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    table: Table<Fact<'a>>,
    key_table: Table<KeyFact<'a>>,
    /// The numbers of the facts of resources, scopes and spans, joined.
    lists: Vec<u32>,
    /// The terms of the words of all facts, joined.
    words: Vec<Term>,
    /// True if attributes get terms of their words.
    has_word_terms: bool,
    /// Lists the values of attributes; `None` without a dictionary.
    listing: Option<Listing>,
    recent_words: Recent,
    hasher: DefaultHashBuilder,
    /// Buffer for the string form of a value.
    text: Vec<u8>,
}

/// An attribute at its level, the name of an event, a status message, or the trace id of a link.
#[derive(Debug)]
struct Fact<'a> {
    kind: FactKind,
    /// The encoded attribute, the name, the message or the id.
    bytes: &'a [u8],
    /// Numbers of the key facts of an attribute, or of a text that is not listed.
    key_facts: [Option<u32>; 2],
    /// `None` for an attribute whose value is an array or a map, and for a status message that is not listed.
    term: Option<Term>,
    /// The place of the terms of its words in `words`.
    words: Range<u32>,
    validity: Validity,
    /// The last fragment that its terms were added to.
    fragment: u32,
}

/// A fact that all attributes with a key at a level may share. Its term is added once per fragment.
#[derive(Debug)]
struct KeyFact<'a> {
    level: Level,
    key: &'a [u8],
    property: Property,
    term: Term,
    /// The last fragment that its term was added to.
    fragment: u32,
}

/// A property of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Property {
    /// Present, and not a number; the words of values have no terms. Without a dictionary, as the next one.
    Present,
    /// Present, and not a number; the words of values have terms.
    PresentWithWords,
    /// Present, and not a number; the value is listed.
    Listed,
    /// Present, and not a number; the value is not listed, and its words have terms.
    Unlisted,
    /// Present, and not a number; the value is not listed, and its words have no terms.
    UnlistedWithoutWords,
    /// A number that is listed.
    ListedNumber,
    /// A number that is not listed, or any without a dictionary.
    Number,
    /// A number of this magnitude that is not listed, or any without a dictionary.
    Magnitude(Magnitude),
    /// A text that is not listed. It is of no level and has no key.
    UnlistedText(TextField),
}

/// Facts of different kinds are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FactKind {
    Attribute(Level),
    EventName,
    StatusMessage,
    LinkTraceId,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// Sets whether the attributes pushed from here on get terms of their words. Those of one request must all be alike.
    pub(super) fn set_word_terms(&mut self, on: bool) {
        self.has_word_terms = on;
    }

    /// Lists the values of the attributes pushed from here on in this dictionary, or in none. Those of one request must all be alike.
    pub(super) fn set_dictionary(&mut self, snapshot: Option<Snapshot>) {
        self.listing = snapshot.map(Listing::new);
    }

    /// Returns `true` if values are listed.
    pub(super) fn has_dictionary(&self) -> bool {
        self.listing.is_some()
    }

    /// Ends listing. Returns what has to be recorded before the facts are stored; `None` if no value was listed.
    pub(super) fn finish_listing(&mut self) -> Option<Arc<ListedValues>> {
        self.listing.take()?.finish()
    }

    /// The end of the last list. The facts pushed from here on make the next one.
    pub(super) fn end(&self) -> usize {
        self.lists.len()
    }

    /// Drops the facts pushed to the lists since `end`.
    pub(super) fn truncate(&mut self, end: usize) {
        self.lists.truncate(end);
    }

    /// Adds an encoded attribute to the current list, and its validity to `validity`.
    ///
    /// # Errors
    /// If it is not a `KeyValue`.
    #[inline]
    pub(super) fn push_attribute(
        &mut self,
        level: Level,
        raw: &'a [u8],
        validity: &mut Validity,
    ) -> Result<(), wire::Error> {
        let kind = FactKind::Attribute(level);
        let hash = self.hash(kind, raw);
        let number = match self.find(kind, raw, hash) {
            Some(number) => number,
            None => self.insert_attribute(level, raw, hash)?,
        };
        if let Some(fact) = self.table.get(number) {
            *validity &= fact.validity;
        }
        self.lists.push(number);
        Ok(())
    }

    /// Adds the name of an event to the current list.
    pub(super) fn push_event_name(&mut self, name: &'a [u8]) {
        self.push_plain(FactKind::EventName, name, |facts| {
            let is_listed = facts.list_text(TextField::EventName, name);
            let unlisted = (!is_listed).then(|| facts.unlisted_text(TextField::EventName));
            (Some(terms::event_name(name)), unlisted)
        });
    }

    /// Adds the message of a span's status to the current list. Without a dictionary, and where it is empty, it is no fact.
    pub(super) fn push_status_message(&mut self, message: &'a [u8]) {
        if message.is_empty() || !self.has_dictionary() {
            return;
        }
        self.push_plain(FactKind::StatusMessage, message, |facts| {
            if facts.list_text(TextField::StatusMessage, message) {
                (Some(terms::listed_status_message(message)), None)
            } else {
                (None, Some(facts.unlisted_text(TextField::StatusMessage)))
            }
        });
    }

    /// Adds the trace id of a link, as sent, to the current list.
    pub(super) fn push_link_trace_id(&mut self, id: &'a [u8]) {
        self.push_plain(FactKind::LinkTraceId, id, |_| {
            (Some(terms::link_trace_id(id)), None)
        });
    }

    /// Returns `false` if a text of a span is not listed though there is a dictionary.
    pub(super) fn list_text(&mut self, field: TextField, text: &[u8]) -> bool {
        // The span of a text that is not UTF-8 is refused.
        let is_text = str::from_utf8(text).is_ok();
        match &mut self.listing {
            Some(listing) if is_text => listing.list(field, b"", text),
            Some(_) | None => true,
        }
    }

    /// Appends the terms of a list to those of a fragment, except terms already appended for this `fragment`. Fragments are numbered
    /// from 1.
    pub(super) fn push_terms(&mut self, list: Range<usize>, fragment: u32, out: &mut Vec<Term>) {
        for number in self.lists.get(list).unwrap_or_default() {
            let Some(fact) = self.table.get_mut(*number) else {
                continue;
            };
            if fact.fragment == fragment {
                continue;
            }
            fact.fragment = fragment;
            out.extend(fact.term);
            let words = fact.words.start as usize..fact.words.end as usize;
            // Values of a key often share words. Those that are left out here need not be sorted.
            for word in self.words.get(words).unwrap_or_default() {
                if self.recent_words.is_new(*word, fragment) {
                    out.push(*word);
                }
            }
            for number in fact.key_facts.into_iter().flatten() {
                if let Some(key_fact) = self.key_table.get_mut(number)
                    && key_fact.fragment != fragment
                {
                    key_fact.fragment = fragment;
                    out.push(key_fact.term);
                }
            }
        }
    }

    /// Empty facts for another request, with the buffers of these.
    pub(super) fn recycle<'b>(mut self, max: usize) -> Facts<'b> {
        self.lists.clear();
        self.lists.shrink_to(max);
        self.words.clear();
        self.words.shrink_to(max);
        self.recent_words.clear();
        Facts {
            table: self.table.recycle(max),
            key_table: self.key_table.recycle(max),
            lists: self.lists,
            words: self.words,
            has_word_terms: self.has_word_terms,
            listing: None,
            recent_words: self.recent_words,
            hasher: self.hasher,
            text: self.text,
        }
    }

    #[inline]
    fn hash(&self, kind: FactKind, bytes: &[u8]) -> u64 {
        self.hasher.hash_one((kind, bytes))
    }

    #[inline]
    fn find(&self, kind: FactKind, bytes: &[u8], hash: u64) -> Option<u32> {
        let is_same = |fact: &Fact<'_>| fact.kind == kind && fact.bytes == bytes;
        self.table.find(hash, is_same)
    }

    fn insert(&mut self, hash: u64, fact: Fact<'a>) -> u32 {
        let hasher = &self.hasher;
        let hash_of = |fact: &Fact<'_>| hasher.hash_one((fact.kind, fact.bytes));
        self.table.insert(hash, fact, hash_of)
    }

    fn insert_attribute(
        &mut self,
        level: Level,
        raw: &'a [u8],
        hash: u64,
    ) -> Result<u32, wire::Error> {
        let attribute = KeyValue::parse(raw)?;
        let mut fact = Fact {
            kind: FactKind::Attribute(level),
            bytes: raw,
            key_facts: [None; 2],
            term: None,
            words: 0..0,
            validity: attribute.validity,
            fragment: 0,
        };
        // The span of an attribute that is not UTF-8 or nests too deep is refused, so its terms are not needed.
        if attribute.validity.utf8 && attribute.validity.nesting {
            let (key, value) = (attribute.key, attribute.value.as_ref());
            let is_scalar = value.is_none_or(string_form::is_scalar);
            let magnitude = value.and_then(magnitude);
            let mut is_listed = false;
            if is_scalar {
                self.text.clear();
                if let Some(value) = value {
                    string_form::write(value, &mut self.text);
                }
                fact.term = Some(AttributeKey::new(key).with_value(level, &self.text));
                let listing = self.listing.as_mut();
                is_listed = listing.is_some_and(|it| match magnitude {
                    None => it.list(level, key, &self.text),
                    Some(_) => it.list_number(level, key, &self.text),
                });
            }
            let properties = match magnitude {
                None => [Some(self.presence(is_scalar, is_listed)), None],
                Some(_) if is_listed => [Some(Property::ListedNumber), None],
                Some(magnitude) => [Some(Property::Number), Some(Property::Magnitude(magnitude))],
            };
            fact.key_facts =
                properties.map(|it| it.map(|property| self.key_fact(level, key, property)));
            if self.has_word_terms
                && !is_listed
                && let Some(AnyValue::String(text)) = value
                && let Ok(text) = str::from_utf8(text)
            {
                let start = number(self.words.len());
                terms::push_words(level, key, text, &mut self.words);
                fact.words = start..number(self.words.len());
            }
        }
        Ok(self.insert(hash, fact))
    }

    /// The property of an attribute that is present and not a number.
    fn presence(&self, is_scalar: bool, is_listed: bool) -> Property {
        match (&self.listing, self.has_word_terms) {
            (None, true) => Property::PresentWithWords,
            (None, false) => Property::Present,
            (Some(_), _) if is_listed => Property::Listed,
            // Searches for a value that may be an array or a map ask for one key less.
            (Some(_), true) if is_scalar => Property::Unlisted,
            (Some(_), _) => Property::UnlistedWithoutWords,
        }
    }

    /// Adds a fact that is no attribute to the current list. `terms` makes the term of a new one, and the number of its key fact.
    fn push_plain(
        &mut self,
        kind: FactKind,
        bytes: &'a [u8],
        terms: impl FnOnce(&mut Self) -> (Option<Term>, Option<u32>),
    ) {
        let hash = self.hash(kind, bytes);
        let number = self.find(kind, bytes, hash).unwrap_or_else(|| {
            let (term, key_fact) = terms(self);
            let fact = Fact {
                kind,
                bytes,
                key_facts: [key_fact, None],
                term,
                words: 0..0,
                validity: Validity::VALID,
                fragment: 0,
            };
            self.insert(hash, fact)
        });
        self.lists.push(number);
    }

    /// The number of the key fact that a text of a span is not listed.
    fn unlisted_text(&mut self, field: TextField) -> u32 {
        self.key_fact(Level::Span, b"", Property::UnlistedText(field))
    }

    /// The number of a key fact.
    fn key_fact(&mut self, level: Level, key: &'a [u8], property: Property) -> u32 {
        let hasher = &self.hasher;
        let hash_of = |it: &KeyFact<'_>| hasher.hash_one((it.level, it.property, it.key));
        let new = KeyFact {
            level,
            key,
            property,
            term: 0,
            fragment: 0,
        };
        let hash = hash_of(&new);
        let is_same = |known: &KeyFact<'_>| {
            known.level == level && known.property == property && known.key == key
        };
        if let Some(number) = self.key_table.find(hash, is_same) {
            return number;
        }
        let term = property.term(level, key);
        self.key_table
            .insert(hash, KeyFact { term, ..new }, hash_of)
    }
}

// === impl Property ===

impl Property {
    fn term(self, level: Level, key: &[u8]) -> Term {
        match self {
            Self::Present => AttributeKey::new(key).present(level),
            Self::PresentWithWords => terms::present_with_words(level, key),
            Self::Listed => terms::present_listed(level, key),
            Self::Unlisted => terms::present_unlisted(level, key),
            Self::UnlistedWithoutWords => terms::present_unlisted_without_words(level, key),
            Self::ListedNumber => NumberKey::new(key).listed(level),
            Self::Number => NumberKey::new(key).present(level),
            Self::Magnitude(magnitude) => NumberKey::new(key).with_magnitude(level, magnitude),
            Self::UnlistedText(field) => terms::unlisted_text(field),
        }
    }
}

/// The magnitude of a value that is a number.
fn magnitude(value: &AnyValue<'_>) -> Option<Magnitude> {
    match value {
        AnyValue::Int(int) => Some(Magnitude::of_int((*int).into())),
        AnyValue::Double(double) => Magnitude::of_double(*double),
        _ => None,
    }
}
