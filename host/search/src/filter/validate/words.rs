//! Checks the operators that ask for words of a text: `phrase` and `fulltext`. Jaeger has no texts for their refusals yet; these are ours.

use larder_model::words::{MAX_UTF16, is_word};

use super::{args, described, list, reference};
use crate::filter::expression::{Call, Expression, ValueType};
use crate::filter::go::quote;
use crate::filter::operator::Operator;

/// Checks that the arguments are an attribute and a list of words.
pub(super) fn check(operator: Operator, call: &Call) -> Result<(), String> {
    let [subject, words] = args(operator, call)?;
    attribute(operator, subject)?;
    let (words, declared) = list(operator, words)?;
    let operator = described(operator);
    match declared {
        None | Some(ValueType::String) => {}
        Some(other @ (ValueType::Int | ValueType::Double | ValueType::Bool)) => {
            return Err(format!(
                "{operator} takes a list of words, got a list of {}",
                other.word()
            ));
        }
    }
    if let Some(other) = words.iter().find(|word| !is_word(word)) {
        return Err(format!(
            "{operator} takes words of letters, digits and combining marks, got {}",
            quote(other)
        ));
    }
    let mut lengths = words.iter().map(|word| word.encode_utf16().count());
    match lengths.find(|length| *length > MAX_UTF16) {
        Some(length) => Err(format!(
            "{operator} takes words of at most {MAX_UTF16} UTF-16 code units, got one of {length}"
        )),
        None => Ok(()),
    }
}

fn attribute(operator: Operator, subject: &Expression) -> Result<(), String> {
    match subject {
        Expression::Attribute { .. } | Expression::Nested { .. } => reference(operator, subject),
        Expression::Field { .. }
        | Expression::Constant(_)
        | Expression::List { .. }
        | Expression::Call(_)
        | Expression::Pattern(_) => Err(format!(
            "{} takes an attribute reference as its first argument, got {}",
            described(operator),
            subject.kind()
        )),
    }
}
