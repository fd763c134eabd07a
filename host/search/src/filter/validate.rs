//! Checks that a filter is well formed: operators, arguments, references, and which operands compare (RFC 0005 5.3 to 5.5).
//!
//! `resolve` checks the texts of constants that are compared with a field. Patterns are compiled here, once.

use super::expression::{Call, Domain, Expression, Literal, ValueType};
use super::field::{self, Field, Type};
use super::go::quote;
use super::operator::Operator;
use super::pattern::Pattern;

mod words;

/// Checks a filter and compiles its patterns.
///
/// # Errors
/// The first fault, in Jaeger's words.
pub(super) fn call(filter: &mut Call) -> Result<(), String> {
    predicate(filter, &mut Walk::default())
}

/// Limit of the bytes of a filter's compiled patterns together.
const MAX_COMPILED_BYTES: usize = 8 << 20;

/// State of a walk through a filter.
#[derive(Default)]
struct Walk {
    /// The levels of the enclosing `some` calls.
    bound: Vec<String>,
    /// The bytes of the compiled patterns so far.
    compiled_bytes: usize,
}

fn predicate(call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let operator = call.operator()?;
    match operator {
        Operator::And | Operator::Or => {
            if call.args.len() < 2 {
                return Err(format!(
                    "{} takes at least two arguments, got {}",
                    described(operator),
                    call.args.len()
                ));
            }
            predicates(operator, call, walk)
        }
        Operator::Not => {
            arity(operator, call, 1)?;
            predicates(operator, call, walk)
        }
        Operator::Exists => {
            let [subject] = args(operator, call)?;
            reference(operator, subject)
        }
        Operator::Some => some(operator, call, walk),
        Operator::In | Operator::NotIn => membership(operator, call),
        Operator::Phrase | Operator::Fulltext => words::check(operator, call),
        Operator::Regex => regex(operator, call, walk),
        Operator::Eq | Operator::Ne => comparison(operator, call),
        Operator::Gt | Operator::Lt | Operator::Gte | Operator::Lte => {
            comparison(operator, call)?;
            match call.args.iter().find(|arg| !has_order(arg)) {
                Some(arg) => Err(format!(
                    "{} has no ordering for {}",
                    described(operator),
                    arg.describe()
                )),
                None => Ok(()),
            }
        }
    }
}

/// The operator in an error.
fn described(operator: Operator) -> String {
    format!("operator {}", quote(operator.word()))
}

fn arity(operator: Operator, call: &Call, wanted: usize) -> Result<(), String> {
    if call.args.len() == wanted {
        return Ok(());
    }
    Err(format!(
        "{} takes {wanted} argument(s), got {}",
        described(operator),
        call.args.len()
    ))
}

fn missing() -> String {
    "filter has a missing argument".to_owned()
}

/// The arguments of an operator that takes exactly `N`.
fn args<const N: usize>(operator: Operator, call: &Call) -> Result<&[Expression; N], String> {
    arity(operator, call, N)?;
    call.args.first_chunk().ok_or_else(missing)
}

fn predicates(operator: Operator, call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let operator = described(operator);
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

fn some(operator: Operator, call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    arity(operator, call, 2)?;
    let operator = described(operator);
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

fn membership(operator: Operator, call: &Call) -> Result<(), String> {
    let [subject, members] = args(operator, call)?;
    reference(operator, subject)?;
    list(operator, members).map(drop)
}

/// The elements and the declared type of an argument that has to be a list with elements.
fn list(
    operator: Operator,
    argument: &Expression,
) -> Result<(&[String], Option<ValueType>), String> {
    let operator = described(operator);
    let Expression::List { values, declared } = argument else {
        return Err(format!(
            "{operator} takes a list as its second argument, got {}",
            argument.kind()
        ));
    };
    if values.is_empty() {
        return Err(format!("{operator} takes a list with at least one element"));
    }
    match declared {
        Ok(declared) => Ok((values.as_slice(), *declared)),
        Err(unknown) => Err(format!("unknown filter value type {}", quote(unknown))),
    }
}

fn regex(operator: Operator, call: &mut Call, walk: &mut Walk) -> Result<(), String> {
    let [subject, pattern] = args(operator, call)?;
    reference(operator, subject)?;
    let operator = described(operator);
    let holds = subject.field().map(Field::ty);
    if let Some(ty @ (Type::Duration | Type::Timestamp)) = holds {
        return Err(format!(
            "{operator} matches text, and {} holds a {}",
            subject.describe(),
            ty.name()
        ));
    }
    let Expression::Constant(Literal::Untyped(text) | Literal::Text(text)) = pattern else {
        return Err(format!(
            "{operator} takes a constant string as its pattern, got {}",
            pattern.kind()
        ));
    };
    let compiled = Pattern::new(text)?;
    walk.compiled_bytes += compiled.compiled_bytes();
    if walk.compiled_bytes > MAX_COMPILED_BYTES {
        return Err(format!(
            "{operator} takes more than {MAX_COMPILED_BYTES} bytes for all patterns of the filter when compiled; use fewer or simpler ones"
        ));
    }
    if let Some(pattern) = call.args.last_mut() {
        *pattern = Expression::Pattern(compiled);
    }
    Ok(())
}

fn comparison(operator: Operator, call: &Call) -> Result<(), String> {
    let [left, right] = args(operator, call)?;
    for operand in [left, right] {
        match operand {
            Expression::Constant(_) => {}
            Expression::Call(_) | Expression::List { .. } | Expression::Pattern(_) => {
                return Err(format!(
                    "{} compares a reference or a constant, got {}",
                    described(operator),
                    operand.kind()
                ));
            }
            Expression::Attribute { .. } | Expression::Field { .. } | Expression::Nested { .. } => {
                reference(operator, operand)?;
            }
        }
    }
    match (left.domain(), right.domain()) {
        (Some(one), Some(other)) if one != other => Err(format!(
            "{} compares {} against {}, which hold different kinds of value",
            described(operator),
            left.describe(),
            right.describe()
        )),
        _ => Ok(()),
    }
}

/// Bools have no order, nor do the fields that hold a kind or a status.
fn has_order(operand: &Expression) -> bool {
    let type_has_order = operand.field().is_none_or(|field| match field.ty() {
        Type::Text | Type::Duration | Type::Timestamp => true,
        Type::SpanKind | Type::SpanStatus => false,
    });
    type_has_order && operand.domain() != Some(Domain::Bool)
}

/// Checks an argument that has to be a reference to a value of the span.
fn reference(operator: Operator, argument: &Expression) -> Result<(), String> {
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
            described(operator),
            other.kind()
        )),
    }
}
