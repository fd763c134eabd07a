//! A question to the distinct values of an attribute, or to the texts of spans: which of them may satisfy some conditions.

use std::borrow::Cow;
use std::ptr;
use std::time::Instant;

use larder_model::dictionary::Source;
use larder_model::terms::TextField;

use super::MAX_TERMS;
use super::readings;
use super::terms_of::forms_in;
use super::texts::text_field;
use crate::budget::OutOfTime;
use crate::predicate::{Leaf, Levels};
use crate::value::{Members, Operand, Reference, Relation, Value};

/// Conditions on one value of an attribute, or on one text.
#[derive(Clone, Debug)]
pub(super) struct Question<'p> {
    pub(super) target: Target<'p>,
    /// Each with whether it has to hold, or not to. Never empty.
    tests: Vec<(&'p Leaf, bool)>,
}

/// What the values of a question are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target<'p> {
    /// An attribute with this key at one of these levels.
    Attribute(Levels, &'p str),
    /// A text that is no attribute.
    Text(TextField),
}

/// Tells the questions of a predicate apart: by where its first condition stands, whether that has to hold, and whether it has others.
pub(super) type Id = (usize, bool, bool);

// === impl Question ===

impl<'p> Question<'p> {
    /// The question of a leaf whose values have no terms of their own in the plan; `None` for any other.
    pub(super) fn of(leaf: &'p Leaf) -> Option<Self> {
        let target = match leaf {
            Leaf::Compare(comparison) if comparison.relation != Relation::Eq => {
                decided_by_value(leaf)
            }
            Leaf::Regex(..) | Leaf::Words(..) => decided_by_value(leaf),
            // A short list is searched for by its elements.
            Leaf::In(reference, members) => {
                let is_long = match reference {
                    Reference::Attribute { levels, .. } => forms_in(*levels, members).is_none(),
                    Reference::Field(_) | Reference::Error => is_long(members),
                };
                decided_by_value(leaf).filter(|_| is_long)
            }
            // An attribute has terms of its presence.
            Leaf::Exists(reference @ Reference::Field(_)) => Target::of(reference),
            _ => None,
        };
        Some(Self {
            target: target?,
            tests: vec![(leaf, true)],
        })
    }

    /// The question of something that is there, with these conditions not holding.
    pub(super) fn of_others(exists: &'p Leaf, others: &[&'p Leaf]) -> Option<Self> {
        let Leaf::Exists(reference) = exists else {
            return None;
        };
        let mut tests = vec![(exists, true)];
        tests.extend(others.iter().map(|leaf| (*leaf, false)));
        Some(Self {
            target: Target::of(reference)?,
            tests,
        })
    }

    /// The question of a span's name, which every span has, with these conditions on it not holding; `None` without any.
    pub(super) fn of_other_names(leaves: &[&'p Leaf]) -> Option<Self> {
        let tests: Vec<_> = leaves.iter().map(|leaf| (*leaf, false)).collect();
        (!tests.is_empty()).then_some(Self {
            target: Target::NAME,
            tests,
        })
    }

    /// Adds a condition that holds for the same value.
    pub(super) fn and(&mut self, leaf: &'p Leaf) {
        self.tests.push((leaf, true));
    }

    /// Returns `true` if it has several conditions, which hold for one value together.
    pub(super) fn is_of_several(&self) -> bool {
        self.tests.len() > 1
    }

    pub(super) fn id(&self) -> Id {
        let (place, holds) = match self.tests.first() {
            Some((leaf, holds)) => (ptr::from_ref(*leaf).addr(), *holds),
            None => (0, false),
        };
        (place, holds, self.is_of_several())
    }

    /// Returns `true` if a value with this string form may satisfy the conditions.
    ///
    /// # Errors
    /// If it takes longer than until `deadline`.
    pub(super) fn may_hold(&self, form: &[u8], deadline: Instant) -> Result<bool, OutOfTime> {
        let all_hold = |value: &Value<'_>| -> Result<bool, OutOfTime> {
            for (leaf, holds) in &self.tests {
                if holds_for(leaf, value, deadline)? != *holds {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match self.target {
            Target::Attribute(..) => readings::any_of(form, all_hold),
            Target::Text(_) => all_hold(&Value::Text(Cow::Borrowed(form))),
        }
    }
}

// === impl Target ===

impl<'p> Target<'p> {
    /// The name of a span.
    pub(super) const NAME: Self = Self::Text(TextField::SpanName);

    /// The target of a reference whose values may be listed; `None` for any other.
    pub(super) fn of(reference: &'p Reference) -> Option<Self> {
        match reference {
            Reference::Attribute { levels, key } => Some(Self::Attribute(*levels, key)),
            Reference::Field(field) => text_field(*field).map(Self::Text),
            Reference::Error => None,
        }
    }

    /// What is listed of it.
    pub(super) fn sources(self) -> Vec<Source> {
        match self {
            Self::Attribute(levels, _) => levels.iter().map(Source::Attribute).collect(),
            Self::Text(field) => vec![Source::Text(field)],
        }
    }

    /// The key under which it is listed.
    pub(super) fn key(self) -> &'p [u8] {
        match self {
            Self::Attribute(_, key) => key.as_bytes(),
            Self::Text(_) => b"",
        }
    }
}

/// The target of a leaf that each value decides alone.
pub(super) fn decided_by_value(leaf: &Leaf) -> Option<Target<'_>> {
    let reference = match leaf {
        Leaf::SpanName(_) => return Some(Target::NAME),
        Leaf::Compare(comparison) => match comparison.right {
            Operand::Constant(_) => &comparison.left,
            Operand::Reference(_) => return None,
        },
        Leaf::In(reference, _) | Leaf::Regex(reference, _) | Leaf::Words(reference, _) => reference,
        _ => return None,
    };
    Target::of(reference)
}

/// Returns `true` if the texts of a list are too many for a clause.
fn is_long(members: &Members) -> bool {
    !matches!(members, Members::Text(texts) if texts.len() <= MAX_TERMS)
}

/// Returns `true` if a leaf that is decided by its value, or asks for one, holds for this one.
fn holds_for(leaf: &Leaf, value: &Value<'_>, deadline: Instant) -> Result<bool, OutOfTime> {
    Ok(match leaf {
        Leaf::Exists(_) => true,
        Leaf::SpanName(name) => matches!(value, Value::Text(text) if **text == *name.as_bytes()),
        Leaf::Compare(comparison) => comparison.holds(value, &[]),
        Leaf::In(_, members) => members.contains(value),
        Leaf::Regex(_, pattern) => value.matches(pattern, deadline)?,
        Leaf::Words(_, query) => value.has_words(query, deadline)?,
        _ => false,
    })
}
