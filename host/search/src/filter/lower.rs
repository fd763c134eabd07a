//! From a filter that is well formed to the predicate that it is.
//!
//! What a filter asks of a span's own facts becomes the questions that the legacy fields ask, where they mean the same: those are in
//! digests, and have terms. Everything else is compared by value (`search::value`).

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;

use super::expression::{Call, Constant, Expression};
use super::field::{self, Field, KINDS, STATUSES};
use super::go;
use super::resolve;
use crate::predicate::{Collection, Leaf, Levels, Predicate, Range};
use crate::value::{self, Comparison, Members, Operand, Operator, Reference, Untyped};

/// A longer list of texts is looked up in, and not asked for one by one.
const MAX_FACTS: usize = 64;

/// # Errors
/// None for a call that has been validated and resolved.
pub(super) fn call(call: Call) -> Result<Predicate, String> {
    let malformed = || "filter has a missing argument".to_owned();
    match call.op.as_str() {
        "and" => predicates(call.args).map(Predicate::And),
        "or" => predicates(call.args).map(Predicate::Or),
        "not" => {
            let mut inner = predicates(call.args)?;
            let inner = inner.pop().ok_or_else(malformed)?;
            Ok(Predicate::Not(Box::new(inner)))
        }
        op => {
            let mut args = call.args.into_iter();
            let first = args.next().ok_or_else(malformed)?;
            let second = args.next();
            match (op, second) {
                ("exists", _) => Ok(exists(reference(first)?)),
                ("some", Some(Expression::Call(inner))) => some(&first, self::call(inner)?),
                ("regex", Some(Expression::Pattern(pattern))) => {
                    Ok(Leaf::Regex(reference(first)?, pattern).into())
                }
                ("in" | "not_in", Some(Expression::List { values, declared })) => {
                    membership(&reference(first)?, &values, &declared, op == "in")
                }
                ("ne", Some(second)) => {
                    let equal = comparison(first.clone(), Operator::Eq, second.clone())?;
                    let mut differs = negated(equal);
                    for side in [first, second] {
                        if !matches!(side, Expression::Constant(_)) {
                            differs = present_and(&reference(side)?, differs);
                        }
                    }
                    Ok(differs)
                }
                (op, Some(second)) => {
                    comparison(first, operator(op).ok_or_else(malformed)?, second)
                }
                (_, None) => Err(malformed()),
            }
        }
    }
}

fn operator(op: &str) -> Option<Operator> {
    Some(match op {
        "eq" => Operator::Eq,
        "lt" => Operator::Lt,
        "lte" => Operator::Lte,
        "gt" => Operator::Gt,
        "gte" => Operator::Gte,
        _ => return None,
    })
}

fn predicates(args: Vec<Expression>) -> Result<Vec<Predicate>, String> {
    args.into_iter()
        .map(|arg| match arg {
            Expression::Call(nested) => call(nested),
            other => Err(format!("a predicate is wanted, got {}", other.kind())),
        })
        .collect()
}

fn some(collection: &Expression, inner: Predicate) -> Result<Predicate, String> {
    let collection = match collection {
        Expression::Nested { level } if level == "event" => Collection::Events,
        Expression::Nested { level } if level == "link" => Collection::Links,
        other => return Err(format!("a collection is wanted, got {}", other.kind())),
    };
    Ok(Predicate::Some(collection, Box::new(inner)))
}

/// At the span's level, and without one, the keys of the legacy search keep their meaning (V14).
fn reference(expression: Expression) -> Result<Reference, String> {
    if let Some(field) = expression.field() {
        return Ok(Reference::Field(field));
    }
    let Expression::Attribute { key, level } = expression else {
        return Err(format!("a reference is wanted, got {}", expression.kind()));
    };
    let level = field::level(&level);
    if matches!(level, None | Some(Level::Span)) {
        match key.as_str() {
            "error" => return Ok(Reference::Error),
            "span.kind" => return Ok(Reference::Field(Field::SpanKind)),
            "span.status" => return Ok(Reference::Field(Field::SpanStatus)),
            "scope.name" => return Ok(Reference::Field(Field::ScopeName)),
            "scope.version" => return Ok(Reference::Field(Field::ScopeVersion)),
            _ => {}
        }
    }
    let (levels, key) = match (level, key.strip_prefix("resource.")) {
        (Some(level), _) => (Levels::one(level), key),
        (None, Some(of_resource)) => (Levels::one(Level::Resource), of_resource.to_owned()),
        (None, None) => (
            Levels::one(Level::Span).with(Levels::one(Level::Resource)),
            key,
        ),
    };
    Ok(Reference::Attribute { levels, key })
}

fn exists(reference: Reference) -> Predicate {
    match reference {
        Reference::Error => Predicate::ALWAYS,
        Reference::Field(field) if field.is_of_every_span() => Predicate::ALWAYS,
        Reference::Field(Field::ResourceService) => negated(Leaf::Service(String::new()).into()),
        reference => Leaf::Exists(reference).into(),
    }
}

fn negated(predicate: Predicate) -> Predicate {
    Predicate::Not(Box::new(predicate))
}

/// Of a reference that may be absent: a comparison with nothing is false, whatever it asks (V3).
fn present_and(reference: &Reference, predicate: Predicate) -> Predicate {
    match exists(reference.clone()) {
        Predicate::And(none) if none.is_empty() => predicate,
        exists => Predicate::And(vec![exists, predicate]),
    }
}

fn membership(
    reference: &Reference,
    values: &[String],
    declared: &str,
    is_in: bool,
) -> Result<Predicate, String> {
    // Few enough to be asked one by one, by what digests and terms answer.
    let facts = match (reference, declared) {
        (Reference::Field(field), "" | "string") if values.len() <= MAX_FACTS => values
            .iter()
            .map(|value| fact(*field, value))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let any = match facts {
        Some(facts) => Predicate::Or(facts),
        None => Leaf::In(reference.clone(), members(reference, values, declared)?).into(),
    };
    Ok(if is_in {
        any
    } else {
        present_and(reference, negated(any))
    })
}

fn members(reference: &Reference, values: &[String], declared: &str) -> Result<Members, String> {
    let say = |error: go::NotRead| error.to_string();
    Ok(match (declared, reference) {
        ("int", _) => Members::Int(
            values
                .iter()
                .map(|value| go::parse_int(value).map(i128::from).map_err(say))
                .collect::<Result<_, _>>()?,
        ),
        ("double", _) => {
            let doubles = values.iter().map(|value| go::parse_float(value));
            Members::doubles(doubles.collect::<Result<Vec<_>, _>>().map_err(say)?)
        }
        ("bool", _) => {
            let bools = values.iter().map(|value| go::parse_bool(value));
            Members::bools(&bools.collect::<Result<Vec<_>, _>>().map_err(say)?)
        }
        ("", Reference::Field(field)) => {
            let read = values.iter().map(|value| resolve::read(*field, value));
            let read = read.collect::<Result<Vec<_>, _>>()?;
            Members::of(read.into_iter().map(constant))
        }
        _ => Members::Text(
            values
                .iter()
                .map(|value| value.clone().into_bytes())
                .collect(),
        ),
    })
}

fn comparison(
    left: Expression,
    operator: Operator,
    right: Expression,
) -> Result<Predicate, String> {
    match (left, right) {
        (Expression::Constant(left), Expression::Constant(right)) => {
            let holds = value::constants_hold(&constant(left), operator, &constant(right));
            Ok(if holds {
                Predicate::ALWAYS
            } else {
                Predicate::NEVER
            })
        }
        (left, Expression::Constant(right)) => Ok(with_constant(reference(left)?, operator, right)),
        (left, right) => Ok(Leaf::Compare(Comparison {
            left: reference(left)?,
            operator,
            right: Operand::Reference(reference(right)?),
        })
        .into()),
    }
}

fn with_constant(reference: Reference, operator: Operator, right: Constant) -> Predicate {
    let fact = match (&reference, &right) {
        (Reference::Field(field), Constant::Text(text) | Constant::Untyped(text)) => {
            fact(*field, text)
        }
        (Reference::Error, Constant::Bool(wanted)) => Some(error(*wanted)),
        (Reference::Error, Constant::Untyped(text)) => {
            Some(go::parse_bool(text).map_or(Predicate::NEVER, error))
        }
        _ => None,
    };
    if operator == Operator::Eq
        && let Some(fact) = fact
    {
        return fact;
    }
    if let (
        Reference::Field(field @ (Field::SpanStartTime | Field::SpanDuration)),
        Constant::Duration(nanoseconds) | Constant::Timestamp(nanoseconds),
    ) = (&reference, &right)
    {
        return within(*field, operator, *nanoseconds);
    }
    Leaf::Compare(Comparison {
        left: reference,
        operator,
        right: Operand::Constant(constant(right)),
    })
    .into()
}

fn error(wanted: bool) -> Predicate {
    let error = Leaf::Status(StatusCode::Error).into();
    if wanted { error } else { negated(error) }
}

/// That a field is this text, as a fact that digests and terms know.
fn fact(field: Field, text: &str) -> Option<Predicate> {
    let number = |words: &[&str]| words.iter().position(|word| *word == text);
    Some(match field {
        Field::SpanName => Leaf::SpanName(text.to_owned()).into(),
        // Absent where it is empty.
        Field::ResourceService | Field::ScopeName | Field::ScopeVersion if text.is_empty() => {
            Predicate::NEVER
        }
        Field::ResourceService => Leaf::Service(text.to_owned()).into(),
        Field::ScopeName => Leaf::ScopeName(text.to_owned()).into(),
        Field::ScopeVersion => Leaf::ScopeVersion(text.to_owned()).into(),
        Field::SpanKind => number(&KINDS).map_or(Predicate::NEVER, |kind| {
            Leaf::Kind(SpanKind::from_wire(kind as u64)).into()
        }),
        Field::SpanStatus => number(&STATUSES).map_or(Predicate::NEVER, |status| {
            Leaf::Status(StatusCode::from_wire(status as u64)).into()
        }),
        _ => return None,
    })
}

fn within(field: Field, operator: Operator, nanoseconds: i128) -> Predicate {
    let range = match operator {
        Operator::Eq => Range {
            min: nanoseconds,
            max: nanoseconds,
        },
        Operator::Lt => Range {
            max: nanoseconds - 1,
            ..Range::ALL
        },
        Operator::Lte => Range {
            max: nanoseconds,
            ..Range::ALL
        },
        Operator::Gt => Range {
            min: nanoseconds + 1,
            ..Range::ALL
        },
        Operator::Gte => Range {
            min: nanoseconds,
            ..Range::ALL
        },
    };
    match field {
        Field::SpanStartTime => Leaf::Start(range).into(),
        _ => Leaf::Duration(range).into(),
    }
}

fn constant(constant: Constant) -> value::Constant {
    match constant {
        Constant::Untyped(text) => value::Constant::Untyped(Untyped {
            int: go::parse_int(&text).ok().map(i128::from),
            double: go::parse_float(&text).ok(),
            bool: go::parse_bool(&text).ok(),
            text,
        }),
        Constant::Text(text) => value::Constant::Text(text),
        Constant::Int(int) => value::Constant::Int(int.into()),
        Constant::Double(double) => value::Constant::Double(double),
        Constant::Bool(bool) => value::Constant::Bool(bool),
        Constant::Duration(nanoseconds) | Constant::Timestamp(nanoseconds) => {
            value::Constant::Int(nanoseconds)
        }
    }
}
