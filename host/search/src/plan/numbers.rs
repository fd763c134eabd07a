//! Terms for a range of numbers: the magnitudes of an attribute that the range spans, and the listed values in it.

use larder_model::storage::Term;
use larder_model::terms::{Level, Magnitude, NumberKey};

use super::listed::Listed;
use super::question::{Question, Target};
use super::terms_of::{listed_number_term, listed_term, unlisted_terms};
use crate::predicate::{Leaf, Levels, Predicate};
use crate::value::{Comparison, Constant, Operand, Relation};

/// The range of an attribute's numbers that comparisons allow.
#[derive(Clone, Debug)]
pub(super) struct Numbers<'p> {
    levels: Levels,
    key: &'p str,
    /// The comparisons, for values that are listed.
    question: Question<'p>,
    /// The first and the last magnitude; an empty range if they do not ascend.
    within: (Magnitude, Magnitude),
}

/// Takes the comparisons out of the parts of a conjunction that leave a range of numbers. Of an attribute that a span has one value of,
/// all of them hold for that value, so together they leave what each of them does.
pub(super) fn split(parts: &[Predicate]) -> (Vec<Numbers<'_>>, Vec<&Predicate>) {
    let mut ranges: Vec<Numbers<'_>> = Vec::new();
    let mut rest = Vec::new();
    for part in parts {
        let range = match part {
            Predicate::Leaf(leaf) => Numbers::of(leaf).map(|range| (leaf, range)),
            _ => None,
        };
        let Some((leaf, new)) = range else {
            rest.push(part);
            continue;
        };
        let mut known = ranges.iter_mut();
        match known.find(|it| it.has_one_value() && it.is_of_attribute_of(&new)) {
            Some(known) => known.narrow(leaf, &new),
            None => ranges.push(new),
        }
    }
    (ranges, rest)
}

// === impl Numbers ===

impl<'p> Numbers<'p> {
    /// The range of an attribute that is less or greater than a constant; `None` for any other leaf.
    pub(super) fn of(leaf: &'p Leaf) -> Option<Self> {
        let Leaf::Compare(Comparison {
            relation,
            right: Operand::Constant(constant),
            ..
        }) = leaf
        else {
            return None;
        };
        let steps = steps(constant);
        let (min, max) = (steps.iter().min().copied(), steps.iter().max().copied());
        let within = match (relation, min.zip(max)) {
            (Relation::Eq, _) => return None,
            // No number compares with it.
            (_, None) => (Magnitude::MAX, Magnitude::MIN),
            (Relation::Lt | Relation::Lte, Some((_, max))) => (Magnitude::MIN, max),
            (Relation::Gt | Relation::Gte, Some((min, _))) => (min, Magnitude::MAX),
        };
        let question = Question::of(leaf)?;
        let Target::Attribute(levels, key) = question.target else {
            return None;
        };
        Some(Self {
            levels,
            key,
            question,
            within,
        })
    }

    /// The comparisons, as a question to the values that are listed.
    pub(super) fn question(&self) -> &Question<'p> {
        &self.question
    }

    /// Terms of which every fragment with a value in the range has at least one.
    pub(super) fn terms(&self, listed: &Listed<'_>) -> Vec<Term> {
        let (levels, key) = (self.levels, self.key);
        let number = NumberKey::new(key.as_bytes());
        let (first, last) = self.within;
        let mut terms = listed.terms(&self.question, |level| {
            [listed_term(level, key), listed_number_term(level, key)]
        });
        // Text may compare with an untyped constant, and the oldest fragments have only these terms for their numbers.
        terms.extend(unlisted_terms(levels, key));
        terms.extend(levels.iter().flat_map(|level| {
            let magnitudes = first.through(last);
            magnitudes.map(move |it| number.with_magnitude(level, it))
        }));
        terms
    }

    /// Returns `true` if a span has only one value of the attribute: the first in its own attributes, its resource's or its scope's.
    fn has_one_value(&self) -> bool {
        [Level::Span, Level::Resource, Level::Scope]
            .into_iter()
            .any(|level| self.levels == Levels::one(level))
    }

    fn is_of_attribute_of(&self, other: &Self) -> bool {
        (self.levels, self.key) == (other.levels, other.key)
    }

    fn narrow(&mut self, leaf: &'p Leaf, other: &Self) {
        let ((first, last), (min, max)) = (self.within, other.within);
        self.within = (first.max(min), last.min(max));
        self.question.and(leaf);
    }
}

/// The magnitudes of the numbers that the constant may be read as.
fn steps(constant: &Constant) -> Vec<Magnitude> {
    match constant {
        Constant::Int(int) => vec![Magnitude::of_int(*int)],
        Constant::Double(double) => Magnitude::of_double(*double).into_iter().collect(),
        // As an integer exactly, as a double the nearest.
        Constant::Untyped(untyped) => {
            let int = untyped.int.map(Magnitude::of_int);
            let double = untyped.double.and_then(Magnitude::of_double);
            int.into_iter().chain(double).collect()
        }
        Constant::Text(_) | Constant::Bool(_) => Vec::new(),
    }
}
