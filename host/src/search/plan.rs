//! From a predicate to what a plugin is asked: ranges and clauses of terms.
//!
//! A plan may only widen: every fragment with a matching span passes it. What passes it and does not match costs time, and the
//! judge drops it; what matches and does not pass would be a wrong answer.

use super::predicate::{Leaf, Levels, Predicate, Range};
use crate::storage::{DurationRange, Search, StatusCode, Term, TimeRange};
use crate::terms;

/// What to ask a plugin for; `None` where nothing can match, so that it need not be asked.
pub(crate) fn plan(predicate: &Predicate) -> Option<Search> {
    let mut hint = hint(predicate)?;
    pair_with_service(predicate, &mut hint.clauses);
    for clause in &mut hint.clauses {
        clause.sort_unstable();
        clause.dedup();
    }
    hint.clauses.sort_unstable();
    hint.clauses.dedup();
    let (start, end) = clamp(hint.starts)?;
    // A span that ends before it starts counts as 0 in the ranges that a plugin has.
    let (shortest, longest) = clamp(Range {
        min: hint.durations.min.max(0),
        max: hint.durations.max.max(0),
    })?;
    Some(Search {
        starts: TimeRange { start, end },
        durations: DurationRange { shortest, longest },
        clauses: hint.clauses,
    })
}

/// What holds for every fragment with a match.
struct Hint {
    starts: Range,
    durations: Range,
    clauses: Vec<Vec<Term>>,
}

impl Hint {
    const NONE: Self = Self {
        starts: Range::ALL,
        durations: Range::ALL,
        clauses: Vec::new(),
    };

    fn clause(terms: Vec<Term>) -> Self {
        Self {
            clauses: vec![terms],
            ..Self::NONE
        }
    }
}

/// `None` where the predicate never holds.
fn hint(predicate: &Predicate) -> Option<Hint> {
    match predicate {
        Predicate::And(parts) => parts.iter().try_fold(Hint::NONE, |mut all, part| {
            let part = hint(part)?;
            all.starts = all.starts.intersection(part.starts);
            all.durations = all.durations.intersection(part.durations);
            all.clauses.extend(part.clauses);
            (!all.starts.is_empty() && !all.durations.is_empty()).then_some(all)
        }),
        Predicate::Or(parts) => parts.iter().filter_map(hint).reduce(either),
        // What does not hold says nothing of a fragment's other spans.
        Predicate::Not(_) => Some(Hint::NONE),
        Predicate::Leaf(leaf) => leaf_hint(leaf),
    }
}

/// Of two alternatives: a clause for one of each branch's clauses, as a fragment passes all of a branch's if it matches by it.
/// The clause with the fewest terms is likely the rarest.
fn either(one: Hint, other: Hint) -> Hint {
    let narrowest = |clauses: Vec<Vec<Term>>| clauses.into_iter().min_by_key(Vec::len);
    let clauses = match (narrowest(one.clauses), narrowest(other.clauses)) {
        (Some(mut terms), Some(more)) => {
            terms.extend(more);
            vec![terms]
        }
        _ => Vec::new(),
    };
    Hint {
        starts: one.starts.hull(other.starts),
        durations: one.durations.hull(other.durations),
        clauses,
    }
}

fn leaf_hint(leaf: &Leaf) -> Option<Hint> {
    Some(match leaf {
        Leaf::Service(service) => Hint::clause(vec![terms::service(service.as_bytes())]),
        Leaf::SpanName(name) => Hint::clause(vec![terms::span_name(name.as_bytes())]),
        Leaf::Kind(kind) => Hint::clause(vec![terms::kind(*kind)]),
        Leaf::Status(status) => Hint::clause(vec![terms::status(*status)]),
        Leaf::Start(range) => Hint {
            starts: *range,
            ..Hint::NONE
        },
        Leaf::Duration(range) => Hint {
            durations: *range,
            ..Hint::NONE
        },
        // A scope that is absent, or has no name, has no such term.
        Leaf::ScopeName(name) if name.is_empty() => Hint::NONE,
        Leaf::ScopeVersion(version) if version.is_empty() => Hint::NONE,
        Leaf::ScopeName(name) => Hint::clause(vec![terms::scope_name(name.as_bytes())]),
        Leaf::ScopeVersion(version) => Hint::clause(vec![terms::scope_version(version.as_bytes())]),
        Leaf::Attribute { levels, key, form } => Hint::clause(attribute_terms(*levels, key, form)),
    })
    .filter(|hint| !hint.starts.is_empty() && !hint.durations.is_empty())
}

fn attribute_terms(levels: Levels, key: &str, form: &str) -> Vec<Term> {
    // Arrays and maps have no value term. Their forms are JSON, or "" where JSON cannot write them.
    let presence = form.is_empty() || form.starts_with(['[', '{']);
    levels
        .iter()
        .flat_map(|level| {
            let key = terms::AttributeKey::new(level, key.as_bytes());
            [
                Some(key.with_value(form.as_bytes())),
                presence.then(|| key.present()),
            ]
        })
        .flatten()
        .collect()
}

/// Puts the terms that one span's service and another of its facts share in place of either's own: rarer than both, and true of
/// any match, as all parts of a conjunction hold for one span.
fn pair_with_service(predicate: &Predicate, clauses: &mut Vec<Vec<Term>>) {
    let Predicate::And(parts) = predicate else {
        return;
    };
    let leaves = || {
        parts.iter().filter_map(|part| match part {
            Predicate::Leaf(leaf) => Some(leaf),
            _ => None,
        })
    };
    let Some(service) = leaves().find_map(|leaf| match leaf {
        Leaf::Service(service) => Some(service.as_bytes()),
        _ => None,
    }) else {
        return;
    };
    for leaf in leaves() {
        let (own, shared) = match leaf {
            Leaf::SpanName(name) => (
                terms::span_name(name.as_bytes()),
                terms::service_and_span_name(service, name.as_bytes()),
            ),
            Leaf::Status(StatusCode::Error) => (
                terms::status(StatusCode::Error),
                terms::service_with_error(service),
            ),
            _ => continue,
        };
        clauses.retain(|clause| *clause != [own] && *clause != [terms::service(service)]);
        clauses.push(vec![shared]);
    }
}

/// The part of a range that a `u64` can be in.
fn clamp(range: Range) -> Option<(u64, u64)> {
    let within = range.intersection(Range {
        min: 0,
        max: i128::from(u64::MAX),
    });
    let start = u64::try_from(within.min).ok()?;
    let end = u64::try_from(within.max).ok()?;
    (start <= end).then_some((start, end))
}
