//! A question to the distinct values of an attribute: which of them may satisfy some conditions.

use std::ptr;
use std::time::Instant;

use super::readings;
use super::terms_of::forms_in;
use crate::budget::OutOfTime;
use crate::predicate::{Leaf, Levels};
use crate::value::{Operand, Reference, Relation, Value};

/// Conditions on one value of an attribute.
#[derive(Clone, Debug)]
pub(super) struct Question<'p> {
    pub(super) levels: Levels,
    pub(super) key: &'p str,
    /// Each with whether it has to hold, or not to. Never empty.
    tests: Vec<(&'p Leaf, bool)>,
}

/// Tells the questions of a predicate apart: by where its first condition stands, and whether it has others.
pub(super) type Id = (usize, bool);

// === impl Question ===

impl<'p> Question<'p> {
    /// The question of a leaf whose values have no terms of their own in the plan; `None` for any other.
    pub(super) fn of(leaf: &'p Leaf) -> Option<Self> {
        let is_asked = match leaf {
            Leaf::Compare(comparison) => comparison.relation != Relation::Eq,
            Leaf::Regex(..) | Leaf::Words(..) => true,
            // A short list is searched for by its elements.
            Leaf::In(Reference::Attribute { levels, .. }, members) => {
                forms_in(*levels, members).is_none()
            }
            _ => false,
        };
        let (levels, key) = decided_by_value(leaf).filter(|_| is_asked)?;
        Some(Self {
            levels,
            key,
            tests: vec![(leaf, true)],
        })
    }

    /// The question of an attribute that is there, with these conditions not holding.
    pub(super) fn of_others(exists: &'p Leaf, others: &[&'p Leaf]) -> Option<Self> {
        let Leaf::Exists(Reference::Attribute { levels, key }) = exists else {
            return None;
        };
        let mut tests = vec![(exists, true)];
        tests.extend(others.iter().map(|leaf| (*leaf, false)));
        Some(Self {
            levels: *levels,
            key,
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
        let first = self.tests.first();
        let place = first.map_or(0, |(leaf, _)| ptr::from_ref(*leaf).addr());
        (place, self.is_of_several())
    }

    /// Returns `true` if a value with this string form may satisfy the conditions.
    ///
    /// # Errors
    /// If it takes longer than until `deadline`.
    pub(super) fn may_hold(&self, form: &[u8], deadline: Instant) -> Result<bool, OutOfTime> {
        readings::any_of(form, |value| {
            for (leaf, holds) in &self.tests {
                if holds_for(leaf, value, deadline)? != *holds {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}

/// The attribute of a leaf that each value decides alone.
pub(super) fn decided_by_value(leaf: &Leaf) -> Option<(Levels, &str)> {
    let reference = match leaf {
        Leaf::Compare(comparison) => match comparison.right {
            Operand::Constant(_) => &comparison.left,
            Operand::Reference(_) => return None,
        },
        Leaf::In(reference, _) | Leaf::Regex(reference, _) | Leaf::Words(reference, _) => reference,
        _ => return None,
    };
    match reference {
        Reference::Attribute { levels, key } => Some((*levels, key)),
        Reference::Field(_) | Reference::Error => None,
    }
}

/// Returns `true` if a leaf that is decided by its value, or asks for one, holds for this one.
fn holds_for(leaf: &Leaf, value: &Value<'_>, deadline: Instant) -> Result<bool, OutOfTime> {
    Ok(match leaf {
        Leaf::Exists(_) => true,
        Leaf::Compare(comparison) => comparison.holds(value, &[]),
        Leaf::In(_, members) => members.contains(value),
        Leaf::Regex(_, pattern) => value.matches(pattern, deadline)?,
        Leaf::Words(_, query) => value.has_words(query, deadline)?,
        _ => false,
    })
}
