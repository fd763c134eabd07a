//! Terms for the texts of spans that are no attributes: their names, the messages of their statuses and the names of their events.

use larder_model::storage::{StatusCode, Term};
use larder_model::terms::{self, TextField};

use super::hint::span_name_terms;
use super::listed::Listed;
use super::question::Question;
use crate::filter::Field;

/// Terms of which every fragment has one in which a text of the field satisfies the question; `None` if any fragment may have such a text.
pub(super) fn of_question(
    question: &Question<'_>,
    field: TextField,
    listed: &Listed<'_>,
) -> Option<Vec<Term>> {
    let mut terms = listed.text_terms(question)?.to_vec();
    terms.extend(unlisted_terms(field));
    Some(terms)
}

/// Terms of which every fragment has one in which the field is one of these texts.
pub(super) fn of_texts(field: TextField, texts: &[&[u8]]) -> Vec<Term> {
    let listed = texts.iter().map(|text| listed_term(field, text));
    match field {
        TextField::SpanName => {
            let names = texts.iter().filter_map(|text| str::from_utf8(text).ok());
            names.flat_map(span_name_terms).collect()
        }
        TextField::EventName => listed.collect(),
        // Only a message that is listed has a term.
        TextField::StatusMessage => listed.chain(unlisted_terms(field)).collect(),
    }
}

/// The term of a text that is listed.
pub(super) fn listed_term(field: TextField, text: &[u8]) -> Term {
    match field {
        TextField::SpanName => terms::span_name(text),
        TextField::StatusMessage => terms::listed_status_message(text),
        TextField::EventName => terms::event_name(text),
    }
}

/// The terms of a status, in fragments whose texts are listed and in others.
pub(super) fn status_terms(status: StatusCode) -> Vec<Term> {
    vec![
        terms::status(status),
        terms::status_with_listed_texts(status),
    ]
}

/// The field that may be listed; `None` for any other one.
pub(super) fn text_field(field: Field) -> Option<TextField> {
    match field {
        Field::SpanName => Some(TextField::SpanName),
        Field::SpanStatusMessage => Some(TextField::StatusMessage),
        Field::EventName => Some(TextField::EventName),
        _ => None,
    }
}

/// The field in the words of filters.
pub(super) fn field_of(field: TextField) -> Field {
    match field {
        TextField::SpanName => Field::SpanName,
        TextField::StatusMessage => Field::SpanStatusMessage,
        TextField::EventName => Field::EventName,
    }
}

/// Terms of fragments that may have a text of the field that is not listed. Those whose texts are not listed at all, as older releases wrote
/// them, are the ones that have the older terms of statuses.
fn unlisted_terms(field: TextField) -> impl Iterator<Item = Term> {
    let statuses = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    let without_texts = statuses.into_iter().map(terms::status);
    without_texts.chain([terms::unlisted_text(field)])
}
