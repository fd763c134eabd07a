//! Derives from a predicate the facts that every fragment with a match has in common.

use std::collections::BTreeSet;

use larder_model::storage::{Term, TraceId};
use larder_model::terms;
use larder_proto::otlp::{
    EMPTY_SERVICE_NAME, EMPTY_SPAN_NAME, MISSING_SERVICE_NAME, SERVICE_NAME_WRONG_TYPE,
};

use super::MAX_TERMS;
use super::groups::Groups;
use super::listed::Listed;
use super::numbers::Numbers;
use super::question::{Question, Target};
use super::terms_of::{
    attribute_terms, form_terms, forms, forms_in, listed_number_term, listed_term, number_term,
    presence, unlisted_terms,
};
use super::{groups, texts, words};
use crate::filter::Field;
use crate::predicate::{Leaf, Levels, Predicate, Range};
use crate::value::{Comparison, Constant, Members, Operand, Reference, Relation};

/// Facts that hold for every fragment with a match.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hint {
    pub(crate) starts: Range,
    pub(crate) durations: Range,
    /// It has a term of each of these.
    pub(crate) clauses: Vec<Vec<Term>>,
    /// It is of one of these traces; `None` for any.
    pub(crate) traces: Option<BTreeSet<TraceId>>,
}

impl Hint {
    /// No restriction.
    pub(crate) const NONE: Self = Self {
        starts: Range::ALL,
        durations: Range::ALL,
        clauses: Vec::new(),
        traces: None,
    };

    /// The hint of a predicate; `None` if nothing can satisfy it.
    pub(crate) fn of(predicate: &Predicate, listed: &Listed<'_>) -> Option<Self> {
        Self::of_either(predicate, true, listed)
    }

    /// The hint of a predicate (`holds`), or of its negation.
    fn of_either(predicate: &Predicate, holds: bool, listed: &Listed<'_>) -> Option<Self> {
        match (predicate, holds) {
            (Predicate::Not(part), holds) => Self::of_either(part, !holds, listed),
            (Predicate::And(parts), true) => {
                let groups = Groups::of(parts);
                let ranges = groups.ranges.iter().map(|range| range.terms(listed));
                let others = groups.others.iter();
                let others = others.map(|question| of_any_type(question, listed));
                ranges
                    .map(Self::clause)
                    .chain(others)
                    .try_fold(Self::of_all(groups.rest, true, listed)?, Self::and)
            }
            (Predicate::Or(parts), false) => {
                let (names, rest) = groups::of_none(parts);
                let all = Self::of_all(rest, false, listed)?;
                match names {
                    Some(names) => all.and(of_any_type(&names, listed)),
                    None => Some(all),
                }
            }
            (Predicate::Or(parts), true) | (Predicate::And(parts), false) => parts
                .iter()
                .filter_map(|part| Self::of_either(part, holds, listed))
                .reduce(Self::or),
            // Each fact of one of its events is a fact of the span.
            (Predicate::Some(_, part), true) => Self::of(part, listed),
            (Predicate::Leaf(leaf), true) => of_leaf(leaf, listed),
            (Predicate::Leaf(leaf), false) => Some(match groups::of_negated(leaf) {
                Some(names) => of_any_type(&names, listed),
                // That a fact does not hold says nothing of a fragment's other spans.
                None => Self::NONE,
            }),
            (Predicate::Some(..), false) => Some(Self::NONE),
        }
    }

    /// The hint of all predicates (`holds`), or of none of them.
    fn of_all<'a>(
        parts: impl IntoIterator<Item = &'a Predicate>,
        holds: bool,
        listed: &Listed<'_>,
    ) -> Option<Self> {
        parts.into_iter().try_fold(Self::NONE, |all, part| {
            all.and(Self::of_either(part, holds, listed)?)
        })
    }

    fn and(mut self, other: Self) -> Option<Self> {
        self.starts = self.starts.intersection(other.starts);
        self.durations = self.durations.intersection(other.durations);
        self.clauses.extend(other.clauses);
        self.traces = match (self.traces, other.traces) {
            (Some(one), Some(other)) => Some(&one & &other),
            (one, other) => one.or(other),
        };
        self.is_possible().then_some(self)
    }

    /// The hint of two alternatives. A fragment passes all clauses of the branch by which it matches, so one clause of each branch
    /// together is a clause of the alternatives. The clause with the fewest terms is likely the rarest.
    fn or(self, other: Self) -> Self {
        let narrowest = |clauses: Vec<Vec<Term>>| clauses.into_iter().min_by_key(Vec::len);
        let clauses = match (narrowest(self.clauses), narrowest(other.clauses)) {
            (Some(mut terms), Some(more)) => {
                terms.extend(more);
                vec![terms]
            }
            _ => Vec::new(),
        };
        let traces = self.traces.zip(other.traces);
        Self {
            starts: self.starts.hull(other.starts),
            durations: self.durations.hull(other.durations),
            clauses,
            traces: traces.map(|(one, other)| &one | &other),
        }
    }

    fn is_possible(&self) -> bool {
        !self.starts.is_empty()
            && !self.durations.is_empty()
            && self.clauses.iter().all(|clause| !clause.is_empty())
            && self.traces.as_ref().is_none_or(|traces| !traces.is_empty())
    }

    fn clause(terms: Vec<Term>) -> Self {
        Self {
            clauses: vec![terms],
            ..Self::NONE
        }
    }
}

/// The names by which fragments may know a service. An older release wrote "" for one that is absent, empty or not a string.
pub(super) fn stored_services(service: &str) -> Vec<&[u8]> {
    let or_empty = [
        MISSING_SERVICE_NAME,
        EMPTY_SERVICE_NAME,
        SERVICE_NAME_WRONG_TYPE,
    ];
    if or_empty.contains(&service) {
        vec![service.as_bytes(), b""]
    } else {
        vec![service.as_bytes()]
    }
}

/// The names by which fragments may know a span name. An older release wrote an empty one as it is.
pub(super) fn stored_span_names(name: &str) -> Vec<&[u8]> {
    match name {
        EMPTY_SPAN_NAME => vec![name.as_bytes(), b""],
        _ => vec![name.as_bytes()],
    }
}

pub(crate) fn service_terms(service: &str) -> Vec<Term> {
    let services = stored_services(service).into_iter();
    services.map(terms::service).collect()
}

pub(super) fn span_name_terms(name: &str) -> Vec<Term> {
    let names = stored_span_names(name).into_iter();
    names.map(terms::span_name).collect()
}

fn of_leaf(leaf: &Leaf, listed: &Listed<'_>) -> Option<Hint> {
    let hint = match leaf {
        Leaf::Service(service) => Hint::clause(service_terms(service)),
        Leaf::SpanName(name) => Hint::clause(span_name_terms(name)),
        Leaf::Kind(kind) => Hint::clause(vec![terms::kind(*kind)]),
        Leaf::Status(status) => Hint::clause(texts::status_terms(*status)),
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
        Leaf::Words(_, query) => match Question::of(leaf) {
            Some(question) => of_question(&question, listed, |levels, key| {
                words::clauses(&question, (levels, key), query, listed)
            }),
            None => Hint::NONE,
        },
        Leaf::Regex(..) => match Question::of(leaf) {
            Some(question) => of_question(&question, listed, |levels, key| {
                vec![of_text(&question, (levels, key), listed)]
            }),
            None => Hint::NONE,
        },
        Leaf::Exists(reference) => match Question::of(leaf) {
            Some(question) => of_any_type(&question, listed),
            None => present(reference),
        },
        Leaf::Compare(comparison) => match (Numbers::of(leaf), Question::of(leaf)) {
            (Some(numbers), _) => Hint::clause(numbers.terms(listed)),
            (None, Some(question)) => of_any_type(&question, listed),
            (None, None) => of_comparison(comparison),
        },
        Leaf::In(reference, members) => match Question::of(leaf) {
            Some(question) => of_any_type(&question, listed),
            None => of_members(reference, members),
        },
    };
    hint.is_possible().then_some(hint)
}

/// The hint of a reference that has a value: the fragment has its key.
fn present(reference: &Reference) -> Hint {
    match reference {
        Reference::Attribute { levels, key } => Hint::clause(presence(*levels, key)),
        Reference::Field(_) | Reference::Error => Hint::NONE,
    }
}

/// The hint of a question. `clauses` makes those of an attribute.
fn of_question(
    question: &Question<'_>,
    listed: &Listed<'_>,
    clauses: impl FnOnce(Levels, &str) -> Vec<Vec<Term>>,
) -> Hint {
    let clauses = match question.target {
        Target::Attribute(levels, key) => clauses(levels, key),
        Target::Text(field) => {
            let terms = texts::of_question(question, field, listed);
            terms.into_iter().collect()
        }
    };
    Hint {
        clauses,
        ..Hint::NONE
    }
}

/// Terms of which every fragment has one in which a text of the attribute satisfies the question: as a value that is listed, or that is not.
pub(super) fn of_text(
    question: &Question<'_>,
    (levels, key): (Levels, &str),
    listed: &Listed<'_>,
) -> Vec<Term> {
    let mut terms = listed.terms(question, |level| [listed_term(level, key)]);
    terms.extend(unlisted_terms(levels, key));
    terms
}

/// The hint of a question that a value of any type may satisfy.
fn of_any_type(question: &Question<'_>, listed: &Listed<'_>) -> Hint {
    of_question(question, listed, |levels, key| {
        let mut terms = listed.terms(question, |level| {
            [listed_term(level, key), listed_number_term(level, key)]
        });
        terms.extend(unlisted_terms(levels, key));
        terms.extend(levels.iter().map(|level| number_term(level, key)));
        vec![terms]
    })
}

fn of_comparison(comparison: &Comparison) -> Hint {
    match (&comparison.left, comparison.relation, &comparison.right) {
        (Reference::Attribute { levels, key }, Relation::Eq, Operand::Constant(constant)) => {
            Hint::clause(form_terms(*levels, key, &forms(constant)))
        }
        (Reference::Field(field), Relation::Eq, Operand::Constant(Constant::Text(text))) => {
            of_texts(*field, &[text.as_bytes()])
        }
        (left, _, right) => {
            let mut hint = present(left);
            if let Some(right) = right.reference() {
                hint.clauses.extend(present(right).clauses);
            }
            hint
        }
    }
}

fn of_members(reference: &Reference, members: &Members) -> Hint {
    match (reference, members) {
        (Reference::Attribute { levels, key }, members) => match forms_in(*levels, members) {
            Some(forms) => Hint::clause(form_terms(*levels, key, &forms)),
            None => present(reference),
        },
        (Reference::Field(field), Members::Text(texts)) if texts.len() <= MAX_TERMS => {
            let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            of_texts(*field, &texts)
        }
        _ => Hint::NONE,
    }
}

/// The hint of a field that is one of these texts.
fn of_texts(field: Field, texts: &[&[u8]]) -> Hint {
    if let Some(field) = texts::text_field(field) {
        return Hint::clause(texts::of_texts(field, texts));
    }
    match field {
        Field::LinkTraceId => {
            // The text of a link without an id has no bytes to ask for.
            let ids = texts
                .iter()
                .map(|text| id(text).filter(|id| !id.is_empty()));
            match ids.collect::<Option<Vec<_>>>() {
                Some(ids) => Hint::clause(ids.iter().map(|id| terms::link_trace_id(id)).collect()),
                None => Hint::NONE,
            }
        }
        // A text that is no id is of no trace.
        Field::SpanTraceId => {
            let ids = texts
                .iter()
                .filter_map(|text| TraceId::from_span(&id(text)?));
            Hint {
                traces: Some(ids.collect()),
                ..Hint::NONE
            }
        }
        Field::SpanId
        | Field::SpanParentId
        | Field::SpanTraceState
        | Field::SpanName
        | Field::SpanKind
        | Field::SpanStartTime
        | Field::SpanEndTime
        | Field::SpanDuration
        | Field::SpanStatus
        | Field::SpanStatusMessage
        | Field::EventName
        | Field::ResourceService
        | Field::ResourceSchemaUrl
        | Field::ScopeName
        | Field::ScopeVersion
        | Field::ScopeSchemaUrl
        | Field::EventTime
        | Field::EventTimeSinceStart
        | Field::LinkSpanId
        | Field::LinkTraceState => Hint::NONE,
    }
}

/// The bytes of an id that has this text, which is in lower case.
fn id(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
