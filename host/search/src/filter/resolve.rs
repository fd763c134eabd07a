//! Reads the constants that are compared with a field as the type of that field, and puts references first (R1 to R5).

use super::expression::{Call, Expression, Literal, ValueType};
use super::field::{Field, KINDS, STATUSES, Type};
use super::go::{self, quote};
use super::operator::Operator;

/// Resolves the constants of a validated filter.
///
/// # Errors
/// A constant that the field it is compared with cannot hold, in Jaeger's words.
pub(super) fn call(call: &mut Call) -> Result<(), String> {
    for arg in &mut call.args {
        if let Expression::Call(nested) = arg {
            self::call(nested)?;
        }
    }
    let operator = call.operator()?;
    match operator {
        Operator::Eq
        | Operator::Ne
        | Operator::Gt
        | Operator::Lt
        | Operator::Gte
        | Operator::Lte => {
            if let [left, right] = call.args.as_mut_slice()
                && comparison(left, right)?
            {
                call.op = Ok(operator.swapped());
            }
            Ok(())
        }
        Operator::In | Operator::NotIn => match call.args.as_slice() {
            [
                subject,
                Expression::List {
                    values,
                    declared: Ok(declared),
                },
            ] => membership(subject, values, *declared),
            _ => Ok(()),
        },
        Operator::And
        | Operator::Or
        | Operator::Not
        | Operator::Regex
        | Operator::Exists
        | Operator::Some
        | Operator::Phrase
        | Operator::Fulltext => Ok(()),
    }
}

/// Reads the constants of a comparison, and moves a constant behind the reference it is compared with. Returns `true` if the operands
/// were swapped.
fn comparison(left: &mut Expression, right: &mut Expression) -> Result<bool, String> {
    read_for(left, right)?;
    read_for(right, left)?;
    let swap = matches!(left, Expression::Constant(_)) && !matches!(right, Expression::Constant(_));
    if swap {
        std::mem::swap(left, right);
    }
    Ok(swap)
}

/// Reads `constant` as the type of `subject`, if that is a field.
fn read_for(subject: &Expression, constant: &mut Expression) -> Result<(), String> {
    let (Some(field), Expression::Constant(constant)) = (subject.field(), constant) else {
        return Ok(());
    };
    let ((Literal::Untyped(text), _) | (Literal::Text(text), Type::SpanKind | Type::SpanStatus)) =
        (&*constant, field.ty())
    else {
        return Ok(());
    };
    *constant = read(field, text)?;
    Ok(())
}

fn membership(
    subject: &Expression,
    values: &[String],
    declared: Option<ValueType>,
) -> Result<(), String> {
    if let Some(declared) = declared {
        elements(values, declared)?;
    }
    let Some(field) = subject.field() else {
        return Ok(());
    };
    let holds_text = match field.ty() {
        Type::Text | Type::SpanKind | Type::SpanStatus => true,
        Type::Duration | Type::Timestamp => false,
    };
    if let Some(declared) = declared
        && !(declared == ValueType::String && holds_text)
    {
        return Err(format!(
            "cannot compare {field} against a list of {}: the field holds {}",
            declared.word(),
            field.ty().name()
        ));
    }
    values
        .iter()
        .try_for_each(|value| read(field, value).map(drop))
}

/// Checks that each element is of the type that the list declares.
fn elements(values: &[String], declared: ValueType) -> Result<(), String> {
    for value in values {
        let read = match declared {
            ValueType::Int => go::parse_int(value).map(drop),
            ValueType::Double => go::parse_float(value).map(drop),
            ValueType::Bool => go::parse_bool(value).map(drop),
            ValueType::String => Ok(()),
        };
        read.map_err(|error| {
            format!(
                "element {} of a list of {}: {error}",
                quote(value),
                declared.word()
            )
        })?;
    }
    Ok(())
}

/// Reads a text as the type of the field.
pub(super) fn read(field: Field, text: &str) -> Result<Literal, String> {
    let word = |words: &[&str]| {
        if words.contains(&text) {
            Ok(Literal::Text(text.to_owned()))
        } else {
            Err(format!("not one of {}", words.join(", ")))
        }
    };
    match field.ty() {
        Type::Text => Ok(Literal::Text(text.to_owned())),
        Type::Duration => go::parse_duration(text).map(|length| Literal::Duration(length.into())),
        Type::Timestamp => go::parse_time(text).map(Literal::Timestamp),
        Type::SpanKind => word(&KINDS),
        Type::SpanStatus => word(&STATUSES),
    }
    .map_err(|error| format!("cannot compare {field} against {}: {error}", quote(text)))
}
