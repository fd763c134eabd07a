//! Lowers the operators that take a list: `in`, `not_in`, `phrase` and `fulltext`.

use super::{constant, fact, malformed, negated, present_and, reference, untyped};
use crate::filter::expression::{Expression, ValueType};
use crate::filter::field::Field;
use crate::filter::{go, resolve};
use crate::predicate::{Leaf, Predicate};
use crate::value::{Members, Reference};
use crate::words::WordQuery;

/// Longest list of texts that becomes one leaf per text; a longer one becomes a set.
const MAX_FACTS: usize = 64;

/// `in`, or `not_in`.
pub(super) fn membership(
    [subject, list]: [Expression; 2],
    is_in: bool,
) -> Result<Predicate, String> {
    let (values, declared) = elements(list)?;
    let built_in = subject.field();
    let reference = reference(subject)?;
    // A short list becomes one leaf for each value, which digests and terms answer.
    let facts = match (&reference, declared) {
        (Reference::Field(field), None | Some(ValueType::String)) if values.len() <= MAX_FACTS => {
            values
                .iter()
                .map(|value| fact(*field, value))
                .collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let any = match facts {
        Some(facts) => Predicate::Or(facts),
        None => Leaf::In(reference.clone(), members(built_in, values, declared)?).into(),
    };
    Ok(if is_in {
        any
    } else {
        present_and(&reference, negated(any))
    })
}

/// `phrase`, or `fulltext`.
pub(super) fn words(
    [subject, list]: [Expression; 2],
    query: fn(&[String]) -> WordQuery,
) -> Result<Predicate, String> {
    let (words, _) = elements(list)?;
    Ok(Leaf::Words(reference(subject)?, query(&words)).into())
}

fn elements(list: Expression) -> Result<(Vec<String>, Option<ValueType>), String> {
    match list {
        Expression::List {
            values,
            declared: Ok(declared),
        } => Ok((values, declared)),
        _ => Err(malformed()),
    }
}

/// The elements of a list that is compared with this field or, without one, with an attribute.
fn members(
    built_in: Option<Field>,
    values: Vec<String>,
    declared: Option<ValueType>,
) -> Result<Members, String> {
    let say = |error: go::NotRead| error.to_string();
    Ok(match (declared, built_in) {
        (Some(ValueType::Int), _) => Members::Int(
            values
                .iter()
                .map(|value| go::parse_int(value).map(i128::from).map_err(say))
                .collect::<Result<_, _>>()?,
        ),
        (Some(ValueType::Double), _) => {
            let doubles = values.iter().map(|value| go::parse_float(value));
            Members::doubles(doubles.collect::<Result<Vec<_>, _>>().map_err(say)?)
        }
        (Some(ValueType::Bool), _) => {
            let bools = values.iter().map(|value| go::parse_bool(value));
            Members::bools(&bools.collect::<Result<Vec<_>, _>>().map_err(say)?)
        }
        (Some(ValueType::String), _) => {
            Members::Text(values.into_iter().map(String::into_bytes).collect())
        }
        (None, Some(field)) => {
            let read = values.iter().map(|value| resolve::read(field, value));
            let read = read.collect::<Result<Vec<_>, _>>()?;
            Members::of(read.into_iter().map(constant))
        }
        (None, None) => Members::untyped(values.into_iter().map(untyped)),
    })
}
