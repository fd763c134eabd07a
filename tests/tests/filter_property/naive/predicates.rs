//! Calls: V3 to V5.

use std::cmp::Ordering;

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{Call, Expression, List};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::Seen;
use super::operands::{field_of, operand};
use super::patterns::is_found;
use super::read;
use super::values::{Operand, Value, compare};

/// What `some` has bound around a predicate.
#[derive(Clone, Copy, Default)]
pub(super) struct Bound<'a> {
    pub(super) event: Option<&'a Event>,
    pub(super) link: Option<&'a Link>,
}

fn predicate(argument: &Expression) -> &Call {
    match &argument.term {
        Some(Term::Call(call)) => call,
        other => panic!("{other:?} is no predicate"),
    }
}

pub(super) fn holds(call: &Call, seen: Seen<'_>, bound: Bound<'_>) -> bool {
    let args = &call.args;
    match &*call.op {
        "and" => args.iter().all(|arg| holds(predicate(arg), seen, bound)),
        "or" => args.iter().any(|arg| holds(predicate(arg), seen, bound)),
        "not" => !holds(predicate(&args[0]), seen, bound),
        "exists" => !operand(&args[0], None, seen, bound).is_empty(),
        "some" => some(&args[0], predicate(&args[1]), seen, bound),
        "in" => is_in(&args[0], &args[1], seen, bound) == Some(true),
        "not_in" => is_in(&args[0], &args[1], seen, bound) == Some(false),
        "regex" => {
            let pattern = match &args[1].term {
                Some(Term::Scalar(pattern)) => &pattern.value,
                other => panic!("{other:?} is no pattern"),
            };
            operand(&args[0], None, seen, bound)
                .iter()
                .any(|value| matches!(value, Operand::Stored(Value::Text(text)) if is_found(pattern, text)))
        }
        op => compares(op, &args[0], &args[1], seen, bound),
    }
}

/// V5.
fn some(collection: &Expression, predicate: &Call, seen: Seen<'_>, bound: Bound<'_>) -> bool {
    let Some(Term::Nested(nested)) = &collection.term else {
        panic!("{collection:?} is no collection");
    };
    if nested.level == "event" {
        seen.span.events.iter().any(|event| {
            let event = Some(event);
            holds(predicate, seen, Bound { event, ..bound })
        })
    } else {
        seen.span.links.iter().any(|link| {
            let link = Some(link);
            holds(predicate, seen, Bound { link, ..bound })
        })
    }
}

/// V4, V8, V9: any pair of values, or, for ne, none of them where there are some.
fn compares(
    op: &str,
    left: &Expression,
    right: &Expression,
    seen: Seen<'_>,
    bound: Bound<'_>,
) -> bool {
    let lefts = operand(left, field_of(right), seen, bound);
    let rights = operand(right, field_of(left), seen, bound);
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

/// V13; nothing where there is no value.
fn is_in(
    reference: &Expression,
    list: &Expression,
    seen: Seen<'_>,
    bound: Bound<'_>,
) -> Option<bool> {
    let Some(Term::List(list)) = &list.term else {
        panic!("{list:?} is no list");
    };
    let values = operand(reference, None, seen, bound);
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
