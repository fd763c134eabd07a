//! Reads the constants that stand beside a field as what the field holds, and puts references first (R1 to R5).

use super::expression::{Call, Constant, Expression};
use super::field::{Field, KINDS, STATUSES, Type};
use super::go::{self, quote};

/// # Errors
/// A constant that is not what the field beside it holds, in Jaeger's words.
pub(super) fn call(call: &mut Call) -> Result<(), String> {
    for arg in &mut call.args {
        if let Expression::Call(nested) = arg {
            self::call(nested)?;
        }
    }
    match (call.op.as_str(), call.args.as_mut_slice()) {
        ("eq" | "ne" | "gt" | "lt" | "gte" | "lte", [left, right]) => {
            beside(left, right)?;
            beside(right, left)?;
            let is_turned = matches!(left, Expression::Constant(_))
                && !matches!(right, Expression::Constant(_));
            if is_turned {
                std::mem::swap(left, right);
                call.op = turned(&call.op).to_owned();
            }
            Ok(())
        }
        ("in" | "not_in", [subject, Expression::List { values, declared }]) => {
            membership(subject, values, declared)
        }
        _ => Ok(()),
    }
}

/// The operator that asks the same of the operands the other way round.
fn turned(op: &str) -> &str {
    match op {
        "gt" => "lt",
        "lt" => "gt",
        "gte" => "lte",
        "lte" => "gte",
        same => same,
    }
}

/// Reads `constant` as the type of the field that stands beside it, if one does.
fn beside(subject: &Expression, constant: &mut Expression) -> Result<(), String> {
    let (Some(field), Expression::Constant(constant)) = (subject.field(), constant) else {
        return Ok(());
    };
    let ((Constant::Untyped(text), _) | (Constant::Text(text), Type::SpanKind | Type::SpanStatus)) =
        (&*constant, field.ty())
    else {
        return Ok(());
    };
    *constant = read(field, text)?;
    Ok(())
}

fn membership(subject: &Expression, values: &[String], declared: &str) -> Result<(), String> {
    for value in values {
        let read = match declared {
            "int" => go::parse_int(value).map(drop),
            "double" => go::parse_float(value).map(drop),
            "bool" => go::parse_bool(value).map(drop),
            _ => Ok(()),
        };
        read.map_err(|error| format!("element {} of a list of {declared}: {error}", quote(value)))?;
    }
    let Some(field) = subject.field() else {
        return Ok(());
    };
    let holds_text = matches!(field.ty(), Type::Text | Type::SpanKind | Type::SpanStatus);
    if !(declared.is_empty() || declared == "string" && holds_text) {
        return Err(format!(
            "cannot compare {field} against a list of {declared}: the field holds {}",
            field.ty().name()
        ));
    }
    values
        .iter()
        .try_for_each(|value| read(field, value).map(drop))
}

/// A text as what the field holds.
pub(super) fn read(field: Field, text: &str) -> Result<Constant, String> {
    let word = |words: &[&str]| {
        if words.contains(&text) {
            Ok(Constant::Text(text.to_owned()))
        } else {
            Err(format!("not one of {}", words.join(", ")))
        }
    };
    match field.ty() {
        Type::Text => Ok(Constant::Text(text.to_owned())),
        Type::Duration => go::parse_duration(text).map(|length| Constant::Duration(length.into())),
        Type::Timestamp => go::parse_time(text).map(Constant::Timestamp),
        Type::SpanKind => word(&KINDS),
        Type::SpanStatus => word(&STATUSES),
    }
    .map_err(|error| format!("cannot compare {field} against {}: {error}", quote(text)))
}
