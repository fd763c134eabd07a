//! Turns a predicate into a search for a plugin: ranges and clauses of terms.
//!
//! A plan may only widen the predicate: every fragment with a matching span passes it. A fragment that passes without a match costs
//! time, and the judge drops it; a match that does not pass would be a wrong answer.
//!
//! Conditions on texts and ranges of numbers are put to the distinct values that the host has listed (`listed`), before the plan is made:
//! those of attributes, and the names and status messages of spans.

use larder_model::storage::{DurationRange, Error, Search, StatusCode, Term, TimeRange, TraceId};
use larder_model::terms;

use super::predicate::{Leaf, Predicate, Range};
use super::session::Session;

mod groups;
mod hint;
mod listed;
mod numbers;
mod question;
mod readings;
mod terms_of;
mod texts;
mod words;

pub(crate) use hint::{Hint, service_terms};
pub use listed::Told;
pub(crate) use listed::{Listed, Scope};
pub(crate) use readings::may_be_number;
pub(crate) use terms_of::presence;

/// Most terms of a clause that are made from a list, or from values that are listed; more are searched for by what they have in common.
const MAX_TERMS: usize = 1024;

/// A plan: the search for a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) search: Search,
    /// The only traces that can match, if the query names them: they are read, without a search.
    pub(crate) traces: Option<Vec<TraceId>>,
}

/// Puts the conditions of a predicate to the values that are listed, and plans it. `None` if nothing can match.
///
/// # Errors
/// Over the budget of the session.
pub(crate) async fn plan_in(
    session: &mut Session,
    predicate: &Predicate,
) -> Result<Option<Plan>, Error> {
    let listed = Listed::ask(session, predicate, Scope::Plan).await?;
    Ok(plan(predicate, &listed))
}

/// Plans a predicate; `None` if nothing can match, so that the plugin need not be called.
pub(crate) fn plan(predicate: &Predicate, listed: &Listed<'_>) -> Option<Plan> {
    let mut hint = Hint::of(predicate, listed)?;
    pair_with_service(predicate, &mut hint.clauses);
    for clause in &mut hint.clauses {
        clause.sort_unstable();
        clause.dedup();
    }
    // Clauses that fail most often, and are cheapest to test, come first.
    hint.clauses
        .sort_unstable_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    hint.clauses.dedup();
    let (start, end) = clamp(hint.starts)?;
    // A span that ends before it starts counts as 0 in the ranges that a plugin has.
    let (shortest, longest) = clamp(Range {
        min: hint.durations.min.max(0),
        max: hint.durations.max.max(0),
    })?;
    Some(Plan {
        search: Search {
            starts: TimeRange { start, end },
            durations: DurationRange { shortest, longest },
            clauses: hint.clauses,
        },
        traces: hint.traces.map(Vec::from_iter),
    })
}

/// Replaces the terms of a service and of another fact by the term of both together. It is rarer than either, and every match has it,
/// as all parts of a conjunction hold for one span.
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
        Leaf::Service(service) => Some(service.as_str()),
        _ => None,
    }) else {
        return;
    };
    let services = hint::stored_services(service);
    let with_service = |term: &dyn Fn(&[u8]) -> Term| -> Vec<Term> {
        services.iter().map(|service| term(service)).collect()
    };
    for leaf in leaves() {
        let (own, shared) = match leaf {
            Leaf::SpanName(name) => {
                let names = hint::stored_span_names(name).into_iter();
                let shared = names.flat_map(|name| {
                    with_service(&|service| terms::service_and_span_name(service, name))
                });
                (hint::span_name_terms(name), shared.collect())
            }
            Leaf::Status(StatusCode::Error) => (
                texts::status_terms(StatusCode::Error),
                with_service(&terms::service_with_error),
            ),
            _ => continue,
        };
        let of_service = service_terms(service);
        clauses.retain(|clause| *clause != own && *clause != of_service);
        clauses.push(shared);
    }
}

/// The part of a range that fits `u64`; `None` if there is none.
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
mod tests;
