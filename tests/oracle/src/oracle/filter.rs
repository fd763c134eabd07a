//! Structured filters: V2 to V14, V16. This file evaluates calls: V3 to V5.

mod operands;
mod patterns;
pub(super) mod read;
mod times;
mod values;
mod words;

use std::cmp::Ordering;

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{Call, Expression, List};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use crate::otlp::SpanRef;
use operands::{field_of, operand};
use patterns::is_found;
use values::{Operand, Value, compare};

pub(super) use operands::{kind, status};
#[cfg(feature = "strategies")]
pub(crate) use patterns::PATTERNS;

/// The context of a predicate: a span, and the elements that the enclosing `some` have bound.
#[derive(Clone, Copy)]
struct Context<'a> {
    one: SpanRef<'a>,
    event: Option<&'a Event>,
    link: Option<&'a Link>,
}

/// Returns true if a valid filter holds for a span.
pub(super) fn holds(filter: &Call, one: SpanRef<'_>) -> bool {
    let (event, link) = (None, None);
    holds_at(filter, Context { one, event, link })
}

fn predicate(argument: &Expression) -> &Call {
    match &argument.term {
        Some(Term::Call(call)) => call,
        other => panic!("{other:?} is no predicate"),
    }
}

fn holds_at(call: &Call, at: Context<'_>) -> bool {
    let args = &call.args;
    match &*call.op {
        "and" => args.iter().all(|arg| holds_at(predicate(arg), at)),
        "or" => args.iter().any(|arg| holds_at(predicate(arg), at)),
        "not" => !holds_at(predicate(&args[0]), at),
        "exists" => !operand(&args[0], None, at).is_empty(),
        "some" => some(&args[0], predicate(&args[1]), at),
        "in" => is_in(&args[0], &args[1], at) == Some(true),
        "not_in" => is_in(&args[0], &args[1], at) == Some(false),
        "regex" => {
            let pattern = match &args[1].term {
                Some(Term::Scalar(pattern)) => &pattern.value,
                other => panic!("{other:?} is no pattern"),
            };
            operand(&args[0], None, at)
                .iter()
                .any(|value| matches!(value, Operand::Stored(Value::Text(text)) if is_found(pattern, text)))
        }
        "phrase" => has_words(&args[0], &args[1], words::phrase, at),
        "fulltext" => has_words(&args[0], &args[1], words::fulltext, at),
        op => compares(op, &args[0], &args[1], at),
    }
}

/// V16: one value alone has the words.
fn has_words(
    reference: &Expression,
    listed: &Expression,
    test: fn(&str, &[String]) -> bool,
    at: Context<'_>,
) -> bool {
    let Some(Term::List(listed)) = &listed.term else {
        panic!("{listed:?} is no list");
    };
    let values = operand(reference, None, at);
    values.iter().any(|value| match value {
        Operand::Stored(Value::Text(text)) => test(text, &listed.values),
        _ => false,
    })
}

/// V5.
fn some(collection: &Expression, predicate: &Call, at: Context<'_>) -> bool {
    let Some(Term::Nested(nested)) = &collection.term else {
        panic!("{collection:?} is no collection");
    };
    if nested.level == "event" {
        at.one.span.events.iter().any(|event| {
            let event = Some(event);
            holds_at(predicate, Context { event, ..at })
        })
    } else {
        at.one.span.links.iter().any(|link| {
            let link = Some(link);
            holds_at(predicate, Context { link, ..at })
        })
    }
}

/// V4, V8, V9: any pair of values; for `ne`, no equal pair, and at least one value.
fn compares(op: &str, left: &Expression, right: &Expression, at: Context<'_>) -> bool {
    let lefts = operand(left, field_of(right), at);
    let rights = operand(right, field_of(left), at);
    let any = |test: &dyn Fn(Ordering) -> bool, ordered: bool| {
        lefts.iter().any(|left| {
            rights.iter().any(|right| {
                compare(left, right)
                    .is_some_and(|found| test(found.ordering) && (found.has_order || !ordered))
            })
        })
    };
    match op {
        "eq" => any(&Ordering::is_eq, false),
        "ne" => !lefts.is_empty() && !rights.is_empty() && !any(&Ordering::is_eq, false),
        "gt" => any(&Ordering::is_gt, true),
        "lt" => any(&Ordering::is_lt, true),
        "gte" => any(&Ordering::is_ge, true),
        "lte" => any(&Ordering::is_le, true),
        op => panic!("{op} is no operator"),
    }
}

/// V13; `None` if there is no value.
fn is_in(reference: &Expression, list: &Expression, at: Context<'_>) -> Option<bool> {
    let Some(Term::List(list)) = &list.term else {
        panic!("{list:?} is no list");
    };
    let values = operand(reference, None, at);
    if values.is_empty() {
        return None;
    }
    let elements = elements(list, field_of(reference));
    let equal = |value: &Operand| {
        elements
            .iter()
            .any(|element| compare(value, element).is_some_and(|found| found.ordering.is_eq()))
    };
    Some(values.iter().any(equal))
}

fn elements(list: &List, field: Option<(&str, &str)>) -> Vec<Operand> {
    let read = |text: &String| match (&*list.r#type, field) {
        ("", Some(field)) => read::as_field(field, text),
        (kind, _) => read::as_declared(kind, text),
    };
    list.values.iter().map(read).collect()
}
