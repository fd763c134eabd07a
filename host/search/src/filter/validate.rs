//! Whether a filter is well formed: operators, arguments, references, and what may stand beside what (RFC 0005 5.3 to 5.5).
//!
//! What a constant's text has to be beside a field is `resolve`'s question. A pattern is compiled here, once.

use super::expression::{Call, Constant, Domain, Expression};
use super::field::{self, Field, Type};
use super::go::quote;
use super::pattern::Pattern;

/// # Errors
/// The first thing that is wrong, in Jaeger's words.
pub(super) fn call(filter: &mut Call) -> Result<(), String> {
    predicate(filter, &mut Walk::default())
}

/// The most bytes of a filter's compiled patterns together.
const MAX_COMPILED_BYTES: usize = 8 << 20;

/// What is known on the way through a filter.
#[derive(Default)]
struct Walk {
    /// The levels that the enclosing `some` go through.
    bound: Vec<String>,
    /// The bytes of the compiled patterns so far.
    compiled_bytes: usize,
}

fn predicate(call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    match call.op.as_str() {
        "and" | "or" => {
            if call.args.len() < 2 {
                return Err(format!(
                    "{} takes at least two arguments, got {}",
                    operator(call),
                    call.args.len()
                ));
            }
            predicates(call, walk)
        }
        "not" => {
            arity(call, 1)?;
            predicates(call, walk)
        }
        "exists" => {
            let [subject] = args(call)?;
            reference(call, subject)
        }
        "some" => some(call, walk),
        "in" | "not_in" => membership(call),
        "regex" => regex(call, walk),
        "eq" | "ne" => comparison(call),
        "gt" | "lt" | "gte" | "lte" => {
            comparison(call)?;
            match call.args.iter().find(|arg| !has_order(arg)) {
                Some(arg) => Err(format!(
                    "{} has no ordering for {}",
                    operator(call),
                    arg.describe()
                )),
                None => Ok(()),
            }
        }
        unknown => Err(format!("unknown filter operator {}", quote(unknown))),
    }
}

fn operator(call: &Call) -> String {
    format!("operator {}", quote(&call.op))
}

fn arity(call: &Call, wanted: usize) -> Result<(), String> {
    if call.args.len() == wanted {
        return Ok(());
    }
    Err(format!(
        "{} takes {wanted} argument(s), got {}",
        operator(call),
        call.args.len()
    ))
}

fn missing() -> String {
    "filter has a missing argument".to_owned()
}

/// The arguments of an operator that takes so many.
fn args<const N: usize>(call: &Call) -> Result<&[Expression; N], String> {
    arity(call, N)?;
    call.args.first_chunk().ok_or_else(missing)
}

fn predicates(call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let operator = operator(call);
    for arg in &mut call.args {
        let Expression::Call(nested) = arg else {
            return Err(format!(
                "{operator} takes predicates as arguments, got {}",
                arg.kind()
            ));
        };
        predicate(nested, walk)?;
    }
    Ok(())
}

fn some(call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let operator = operator(call);
    arity(call, 2)?;
    let [collection, inner] = call.args.as_mut_slice() else {
        return Err(missing());
    };
    let Expression::Nested { level } = collection else {
        return Err(format!(
            "{operator} takes a collection reference as its first argument, got {}",
            collection.kind()
        ));
    };
    if !matches!(level.as_str(), "event" | "link") {
        return Err(format!(
            "{operator} quantifies over \"event\" or \"link\", got level {}",
            quote(level)
        ));
    }
    if walk.bound.contains(level) {
        return Err(format!(
            "{operator} is already quantifying over {}, and this version does not define what a nested one would bind",
            quote(level)
        ));
    }
    let Expression::Call(inner) = inner else {
        return Err(format!(
            "{operator} takes a predicate as its second argument, got {}",
            inner.kind()
        ));
    };
    walk.bound.push(level.clone());
    predicate(inner, walk)?;
    walk.bound.pop();
    Ok(())
}

fn membership(call: &Call) -> Result<(), String> {
    let [subject, list] = args(call)?;
    reference(call, subject)?;
    let operator = operator(call);
    let Expression::List { values, declared } = list else {
        return Err(format!(
            "{operator} takes a list as its second argument, got {}",
            list.kind()
        ));
    };
    if values.is_empty() {
        return Err(format!("{operator} takes a list with at least one element"));
    }
    match declared.as_str() {
        "string" | "int" | "double" | "bool" => Ok(()),
        "" if matches!(subject, Expression::Field { .. }) => Ok(()),
        "" => Err(format!(
            "{operator} takes a list that declares its element type when it is compared against an attribute"
        )),
        unknown => Err(format!("unknown filter value type {}", quote(unknown))),
    }
}

fn regex(call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let [subject, pattern] = args(call)?;
    reference(call, subject)?;
    let holds = subject.field().map(Field::ty);
    if let Some(ty @ (Type::Duration | Type::Timestamp)) = holds {
        return Err(format!(
            "{} matches text, and {} holds a {}",
            operator(call),
            subject.describe(),
            ty.name()
        ));
    }
    let Expression::Constant(Constant::Untyped(text) | Constant::Text(text)) = pattern else {
        return Err(format!(
            "{} takes a constant string as its pattern, got {}",
            operator(call),
            pattern.kind()
        ));
    };
    let compiled = Pattern::new(text)?;
    walk.compiled_bytes += compiled.compiled_bytes();
    if walk.compiled_bytes > MAX_COMPILED_BYTES {
        return Err(format!(
            "{} takes more than {MAX_COMPILED_BYTES} bytes for all patterns of the filter when compiled; use fewer or simpler ones",
            operator(call)
        ));
    }
    if let Some(pattern) = call.args.last_mut() {
        *pattern = Expression::Pattern(compiled);
    }
    Ok(())
}

fn comparison(call: &Call) -> Result<(), String> {
    let [left, right] = args(call)?;
    for operand in [left, right] {
        match operand {
            Expression::Constant(_) => {}
            Expression::Call(_) | Expression::List { .. } | Expression::Pattern(_) => {
                return Err(format!(
                    "{} compares a reference or a constant, got {}",
                    operator(call),
                    operand.kind()
                ));
            }
            _ => reference(call, operand)?,
        }
    }
    match (left.domain(), right.domain()) {
        (Some(one), Some(other)) if one != other => Err(format!(
            "{} compares {} against {}, which hold different kinds of value",
            operator(call),
            left.describe(),
            right.describe()
        )),
        _ => Ok(()),
    }
}

/// Neither bools nor fields of a closed set of words have an order.
fn has_order(operand: &Expression) -> bool {
    !matches!(
        operand.field().map(Field::ty),
        Some(Type::SpanKind | Type::SpanStatus)
    ) && operand.domain() != Some(Domain::Bool)
}

/// An argument that has to name a value of the span.
fn reference(call: &Call, argument: &Expression) -> Result<(), String> {
    let check_level = |level: &str| match field::level(level) {
        Some(_) => Ok(()),
        None => Err(format!("unknown filter level {}", quote(level))),
    };
    match argument {
        Expression::Attribute { key, level } => {
            if !level.is_empty() {
                check_level(level)?;
            }
            if key.is_empty() {
                return Err("attribute reference has no key".to_owned());
            }
            Ok(())
        }
        Expression::Field { name, level } => {
            if level.is_empty() {
                return Err(
                    "field reference has no level, and a built-in field belongs to one".to_owned(),
                );
            }
            check_level(level)?;
            if name.is_empty() {
                return Err("field reference has no name".to_owned());
            }
            match argument.field() {
                Some(_) => Ok(()),
                None => Err(format!(
                    "unknown built-in field {} at the {} level; name an attribute to match a tag of that name instead",
                    quote(name),
                    quote(level)
                )),
            }
        }
        Expression::Nested { .. } => {
            Err("a collection reference is only the first argument of \"some\"".to_owned())
        }
        other => Err(format!(
            "{} takes a reference, got {}",
            operator(call),
            other.kind()
        )),
    }
}
