//! Parts of a conjunction that are conditions on one value of an attribute, and the questions of a predicate.

use std::collections::HashMap;

use super::numbers::{self, Numbers};
use super::question::{Question, decided_by_value};
use crate::predicate::{Leaf, Levels, Predicate};
use crate::value::Reference;

/// The parts of a conjunction.
pub(super) struct Groups<'p> {
    /// Ranges of numbers.
    pub(super) ranges: Vec<Numbers<'p>>,
    /// Attributes that are there, with conditions that do not hold for them, as `ne` and `not_in` ask for.
    pub(super) others: Vec<Question<'p>>,
    pub(super) rest: Vec<&'p Predicate>,
}

impl<'p> Groups<'p> {
    /// Groups the parts of a conjunction.
    pub(super) fn of(parts: &'p [Predicate]) -> Self {
        let (ranges, rest) = numbers::split(parts);
        let mut negated: HashMap<(Levels, &str), Vec<&Leaf>> = HashMap::new();
        for part in &rest {
            if let Predicate::Not(part) = part
                && let Predicate::Leaf(leaf) = &**part
                && let Some(attribute) = decided_by_value(leaf)
            {
                negated.entry(attribute).or_default().push(leaf);
            }
        }
        let mut others = Vec::new();
        let rest = rest.into_iter().filter(|part| {
            let Predicate::Leaf(leaf @ Leaf::Exists(Reference::Attribute { levels, key })) = part
            else {
                return true;
            };
            // What the first of equal parts asks for is what the next would.
            let Some(leaves) = negated.remove(&(*levels, key.as_str())) else {
                return true;
            };
            let question = Question::of_others(leaf, &leaves);
            let is_one = question.is_some();
            others.extend(question);
            !is_one
        });
        let rest = rest.collect();
        Self {
            ranges,
            others,
            rest,
        }
    }
}

/// Appends the questions that the plan of a predicate (`holds`), or of its negation, has to the values that are listed.
pub(super) fn collect<'p>(predicate: &'p Predicate, holds: bool, out: &mut Vec<Question<'p>>) {
    match (predicate, holds) {
        (Predicate::Not(part), holds) => collect(part, !holds, out),
        (Predicate::And(parts), true) => {
            let groups = Groups::of(parts);
            out.extend(groups.ranges.iter().map(Numbers::question).cloned());
            out.extend(groups.others);
            for part in groups.rest {
                collect(part, true, out);
            }
        }
        (Predicate::Or(parts), holds) | (Predicate::And(parts), holds @ false) => {
            for part in parts {
                collect(part, holds, out);
            }
        }
        (Predicate::Some(_, part), true) => collect(part, true, out),
        (Predicate::Leaf(leaf), true) => out.extend(Question::of(leaf)),
        // As the plan: that a fact does not hold says nothing of a fragment's other spans.
        (Predicate::Some(..) | Predicate::Leaf(_), false) => {}
    }
}

/// The questions of a predicate by itself, without those of its parts.
pub(super) fn own(predicate: &Predicate) -> Vec<Question<'_>> {
    match predicate {
        Predicate::And(parts) => {
            let groups = Groups::of(parts);
            let ranges = groups.ranges.iter().map(Numbers::question).cloned();
            let together = ranges.filter(Question::is_of_several);
            together.chain(groups.others).collect()
        }
        Predicate::Leaf(leaf) => Question::of(leaf).into_iter().collect(),
        Predicate::Or(_) | Predicate::Not(_) | Predicate::Some(..) => Vec::new(),
    }
}
