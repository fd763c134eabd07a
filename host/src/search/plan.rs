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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::storage::SpanKind;
    use crate::terms::{AttributeKey, Level};

    fn service() -> Predicate {
        Leaf::Service("s".to_owned()).into()
    }

    fn kind() -> Predicate {
        Leaf::Kind(SpanKind::Server).into()
    }

    fn attribute(form: &str) -> Predicate {
        Leaf::Attribute {
            levels: Levels::ALL,
            key: "k".to_owned(),
            form: form.to_owned(),
        }
        .into()
    }

    fn check_clauses(predicate: &Predicate, expected: &[&[Term]]) {
        let mut expected: Vec<Vec<Term>> = expected.iter().map(|clause| clause.to_vec()).collect();
        for clause in &mut expected {
            clause.sort_unstable();
        }
        expected.sort_unstable();
        assert_eq!(plan(predicate).unwrap().clauses, expected, "{predicate:?}");
    }

    #[test]
    fn a_conjunction_has_the_clauses_of_all_its_parts() {
        let term = terms::kind(SpanKind::Server);
        check_clauses(
            &Predicate::And(vec![service(), kind()]),
            &[&[terms::service(b"s")], &[term]],
        );
    }

    #[test]
    fn a_disjunction_has_a_clause_if_every_branch_has_one() {
        let term = terms::kind(SpanKind::Server);
        check_clauses(
            &Predicate::Or(vec![service(), kind()]),
            &[&[terms::service(b"s"), term]],
        );
        let not = Predicate::Not(Box::new(kind()));
        check_clauses(&Predicate::Or(vec![service(), not]), &[]);
        check_clauses(
            &Predicate::Or(vec![Predicate::NEVER, service()]),
            &[&[terms::service(b"s")]],
        );
    }

    #[test]
    fn a_negation_has_no_clause() {
        check_clauses(&Predicate::Not(Box::new(service())), &[]);
        check_clauses(&Predicate::Not(Box::new(Predicate::NEVER)), &[]);
    }

    #[test]
    fn a_service_and_another_fact_of_its_span_are_asked_for_as_one() {
        let name = Predicate::from(Leaf::SpanName("n".to_owned()));
        let error = Predicate::from(Leaf::Status(StatusCode::Error));
        check_clauses(
            &Predicate::And(vec![service(), name, error, kind()]),
            &[
                &[terms::service_and_span_name(b"s", b"n")],
                &[terms::service_with_error(b"s")],
                &[terms::kind(SpanKind::Server)],
            ],
        );
    }

    #[test]
    fn an_attribute_is_asked_for_by_its_value_at_every_level() {
        let expected: Vec<Term> = Level::ALL
            .map(|level| AttributeKey::new(level, b"k").with_value(b"v"))
            .to_vec();
        check_clauses(&attribute("v"), &[&expected]);
    }

    #[test]
    fn a_form_that_an_array_or_a_map_may_have_is_asked_for_by_the_key_as_well() {
        for form in ["", "[1]", "{}"] {
            let expected: Vec<Term> = Level::ALL
                .map(|level| AttributeKey::new(level, b"k"))
                .iter()
                .flat_map(|key| [key.present(), key.with_value(form.as_bytes())])
                .collect();
            check_clauses(&attribute(form), &[&expected]);
        }
    }

    #[test]
    fn an_empty_scope_name_or_version_has_no_term() {
        check_clauses(&Leaf::ScopeName(String::new()).into(), &[]);
        check_clauses(&Leaf::ScopeVersion(String::new()).into(), &[]);
        check_clauses(
            &Leaf::ScopeName("n".to_owned()).into(),
            &[&[terms::scope_name(b"n")]],
        );
    }

    #[test]
    fn what_cannot_match_is_not_asked_for() {
        let start = |min, max| Predicate::from(Leaf::Start(Range { min, max }));
        let duration = |min, max| Predicate::from(Leaf::Duration(Range { min, max }));
        for impossible in [
            Predicate::NEVER,
            Predicate::And(vec![service(), Predicate::NEVER]),
            start(5, 4),
            start(i128::MIN, -1),
            start(i128::from(u64::MAX) + 1, i128::MAX),
            duration(5, 4),
            duration(i128::from(u64::MAX) + 1, i128::MAX),
            Predicate::And(vec![start(0, 4), start(5, 9)]),
            Predicate::Or(vec![start(5, 4), duration(1, 0)]),
        ] {
            assert_eq!(plan(&impossible), None, "{impossible:?}");
        }
    }

    #[test]
    fn ranges_are_cut_to_what_a_plugin_knows() {
        let ranges = |predicate: &Predicate| {
            let search = plan(predicate).unwrap();
            let (starts, durations) = (search.starts, search.durations);
            (
                starts.start,
                starts.end,
                durations.shortest,
                durations.longest,
            )
        };
        let both = |start: Range, duration: Range| {
            Predicate::And(vec![
                Leaf::Start(start).into(),
                Leaf::Duration(duration).into(),
            ])
        };
        let range = |min, max| Range { min, max };
        assert_eq!(
            ranges(&both(Range::ALL, Range::ALL)),
            (0, u64::MAX, 0, u64::MAX)
        );
        assert_eq!(ranges(&both(range(-5, 7), range(2, 3))), (0, 7, 2, 3));
        // A span that ends before it starts counts as 0.
        assert_eq!(ranges(&both(range(1, 7), range(-9, -2))), (1, 7, 0, 0));
        assert_eq!(ranges(&both(range(1, 7), range(-9, 2))), (1, 7, 0, 2));
    }

    #[test]
    fn alternatives_span_all_their_ranges() {
        let start = |min, max| Predicate::from(Leaf::Start(Range { min, max }));
        let search = plan(&Predicate::Or(vec![start(1, 2), start(8, 9)])).unwrap();
        assert_eq!(search.starts, TimeRange { start: 1, end: 9 });
        let search = plan(&Predicate::Or(vec![start(1, 2), service()])).unwrap();
        assert_eq!(search.starts, TimeRange::ALL);
    }
}
