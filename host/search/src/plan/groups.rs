//! Parts of a conjunction that are conditions on one value of an attribute or on one text, and the questions of a predicate.

use std::collections::HashMap;

use super::numbers::{self, Numbers};
use super::question::{Question, Target, decided_by_value};
use crate::predicate::{Leaf, Predicate};

/// The parts of a conjunction.
pub(super) struct Groups<'p> {
    /// Ranges of numbers.
    pub(super) ranges: Vec<Numbers<'p>>,
    /// Attributes and texts that are there, with conditions that do not hold for them, as `ne` and `not_in` ask for.
    pub(super) others: Vec<Question<'p>>,
    pub(super) rest: Vec<&'p Predicate>,
}

impl<'p> Groups<'p> {
    /// Groups the parts of a conjunction.
    pub(super) fn of(parts: &'p [Predicate]) -> Self {
        let (ranges, rest) = numbers::split(parts);
        let mut negated: HashMap<Target<'_>, Vec<&Leaf>> = HashMap::new();
        for part in &rest {
            if let Predicate::Not(part) = part
                && let Predicate::Leaf(leaf) = &**part
                && let Some(target) = decided_by_value(leaf)
            {
                negated.entry(target).or_default().push(leaf);
            }
        }
        let mut others = Vec::new();
        let rest = rest.into_iter().filter(|part| {
            let Predicate::Leaf(leaf @ Leaf::Exists(reference)) = part else {
                // These have a question together, below.
                return !matches!(part, Predicate::Not(part) if is_of_name(part));
            };
            // What the first of equal parts asks for is what the next would.
            let Some(leaves) = Target::of(reference).and_then(|it| negated.remove(&it)) else {
                return true;
            };
            let question = Question::of_others(leaf, &leaves);
            let is_one = question.is_some();
            others.extend(question);
            !is_one
        });
        let rest = rest.collect();
        // Every span has a name.
        let names = negated.remove(&Target::NAME).unwrap_or_default();
        others.extend(Question::of_other_names(&names));
        Self {
            ranges,
            others,
            rest,
        }
    }
}

/// Parts of which none may hold: the question of those that are conditions on the span's name, and the others.
pub(super) fn of_none(parts: &[Predicate]) -> (Option<Question<'_>>, Vec<&Predicate>) {
    let (names, rest): (Vec<_>, Vec<_>) = parts.iter().partition(|part| is_of_name(part));
    let names = names.into_iter().filter_map(|part| match part {
        Predicate::Leaf(leaf) => Some(leaf),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    (Question::of_other_names(&names), rest)
}

/// The question of a leaf that does not hold, if it is a condition on the span's name. That others do not hold says nothing, as a span may
/// have no value of theirs.
pub(super) fn of_negated(leaf: &Leaf) -> Option<Question<'_>> {
    let is_name = decided_by_value(leaf) == Some(Target::NAME);
    is_name.then(|| Question::of_other_names(&[leaf])).flatten()
}

fn is_of_name(part: &Predicate) -> bool {
    matches!(part, Predicate::Leaf(leaf) if decided_by_value(leaf) == Some(Target::NAME))
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
        (Predicate::Or(parts), false) => {
            let (names, rest) = of_none(parts);
            out.extend(names);
            for part in rest {
                collect(part, false, out);
            }
        }
        (Predicate::Or(parts), true) | (Predicate::And(parts), false) => {
            for part in parts {
                collect(part, holds, out);
            }
        }
        (Predicate::Some(_, part), true) => collect(part, true, out),
        (Predicate::Leaf(leaf), true) => out.extend(Question::of(leaf)),
        (Predicate::Leaf(leaf), false) => out.extend(of_negated(leaf)),
        // As the plan: that no element satisfies it says nothing of a fragment's other spans.
        (Predicate::Some(..), false) => {}
    }
}

/// The questions of a predicate by itself, without those of its parts.
pub(super) fn own(predicate: &Predicate) -> Vec<Question<'_>> {
    match predicate {
        Predicate::And(parts) => {
            let groups = Groups::of(parts);
            let ranges = groups.ranges.iter().map(Numbers::question).cloned();
            let together = ranges.filter(Question::is_of_several);
            // A single condition on the name is told where it stands.
            let others = groups.others.into_iter();
            let others = others.filter(Question::is_of_several);
            together.chain(others).collect()
        }
        Predicate::Not(part) => match &**part {
            Predicate::Leaf(leaf) => of_negated(leaf).into_iter().collect(),
            Predicate::Or(parts) => of_none(parts).0.into_iter().collect(),
            _ => Vec::new(),
        },
        Predicate::Leaf(leaf) => Question::of(leaf).into_iter().collect(),
        Predicate::Or(_) | Predicate::Some(..) => Vec::new(),
    }
}
