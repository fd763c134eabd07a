//! Lowers a well-formed filter to a predicate.
//!
//! A comparison with a fact that the legacy fields also search for becomes the same leaf as theirs: digests hold those facts, and they
//! have terms. Everything else is compared by value (`value`).

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;

use super::expression::{Call, Expression, Literal};
use super::field::{self, Field, KINDS, STATUSES};
use super::go;
use super::operator::Operator;
use crate::predicate::{Collection, Leaf, Levels, Predicate, Range};
use crate::value::{self, Comparison, Operand, Reference, Relation, Untyped};
use crate::words::WordQuery;

mod list;

/// Lowers a filter that has been validated and resolved.
///
/// # Errors
/// A filter that has not been.
pub(super) fn call(call: Call) -> Result<Predicate, String> {
    match call.operator()? {
        Operator::And => predicates(call.args).map(Predicate::And),
        Operator::Or => predicates(call.args).map(Predicate::Or),
        Operator::Not => {
            let mut inner = predicates(call.args)?;
            let inner = inner.pop().ok_or_else(malformed)?;
            Ok(Predicate::Not(Box::new(inner)))
        }
        Operator::Exists => {
            let [subject] = args(call)?;
            Ok(exists(reference(subject)?))
        }
        Operator::Some => some(args(call)?),
        Operator::Regex => regex(args(call)?),
        Operator::In => list::membership(args(call)?, true),
        Operator::NotIn => list::membership(args(call)?, false),
        Operator::Phrase => list::words(args(call)?, WordQuery::phrase),
        Operator::Fulltext => list::words(args(call)?, WordQuery::fulltext),
        Operator::Ne => different(args(call)?),
        Operator::Eq => comparison(args(call)?, Relation::Eq),
        Operator::Lt => comparison(args(call)?, Relation::Lt),
        Operator::Lte => comparison(args(call)?, Relation::Lte),
        Operator::Gt => comparison(args(call)?, Relation::Gt),
        Operator::Gte => comparison(args(call)?, Relation::Gte),
    }
}

fn malformed() -> String {
    "filter has a missing argument".to_owned()
}

/// The arguments of an operator that takes exactly `N`.
fn args<const N: usize>(call: Call) -> Result<[Expression; N], String> {
    call.args.try_into().map_err(|_| malformed())
}

fn predicates(args: Vec<Expression>) -> Result<Vec<Predicate>, String> {
    args.into_iter()
        .map(|arg| match arg {
            Expression::Call(nested) => call(nested),
            other => Err(format!("a predicate is wanted, got {}", other.kind())),
        })
        .collect()
}

fn some([collection, inner]: [Expression; 2]) -> Result<Predicate, String> {
    let collection = match collection {
        Expression::Nested { level } if level == "event" => Collection::Events,
        Expression::Nested { level } if level == "link" => Collection::Links,
        other => return Err(format!("a collection is wanted, got {}", other.kind())),
    };
    let Expression::Call(inner) = inner else {
        return Err(malformed());
    };
    Ok(Predicate::Some(collection, Box::new(call(inner)?)))
}

fn regex([subject, pattern]: [Expression; 2]) -> Result<Predicate, String> {
    let Expression::Pattern(pattern) = pattern else {
        return Err(malformed());
    };
    Ok(Leaf::Regex(reference(subject)?, pattern).into())
}

/// At the span's level, and without a level, the special keys of the legacy search keep their meaning (V14).
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

/// Adds that the reference is present, if it may be absent: a comparison with an absent value is false (V3).
fn present_and(reference: &Reference, predicate: Predicate) -> Predicate {
    match exists(reference.clone()) {
        Predicate::And(none) if none.is_empty() => predicate,
        exists => Predicate::And(vec![exists, predicate]),
    }
}

/// `ne`: every reference is present, and the operands are not equal.
fn different(operands: [Expression; 2]) -> Result<Predicate, String> {
    let equal = comparison(operands.clone(), Relation::Eq)?;
    operands
        .into_iter()
        .filter(|operand| !matches!(operand, Expression::Constant(_)))
        .try_fold(negated(equal), |differs, operand| {
            Ok(present_and(&reference(operand)?, differs))
        })
}

fn comparison([left, right]: [Expression; 2], relation: Relation) -> Result<Predicate, String> {
    match (left, right) {
        (Expression::Constant(left), Expression::Constant(right)) => {
            let holds = value::constants_hold(&constant(left), relation, &constant(right));
            Ok(if holds {
                Predicate::ALWAYS
            } else {
                Predicate::NEVER
            })
        }
        (left, Expression::Constant(right)) => Ok(with_constant(reference(left)?, relation, right)),
        (left, right) => Ok(Leaf::Compare(Comparison {
            left: reference(left)?,
            relation,
            right: Operand::Reference(reference(right)?),
        })
        .into()),
    }
}

fn with_constant(reference: Reference, relation: Relation, right: Literal) -> Predicate {
    let fact = match (&reference, &right) {
        (Reference::Field(field), Literal::Text(text) | Literal::Untyped(text)) => {
            fact(*field, text)
        }
        (Reference::Error, Literal::Bool(wanted)) => Some(error(*wanted)),
        (Reference::Error, Literal::Untyped(text)) => {
            Some(go::parse_bool(text).map_or(Predicate::NEVER, error))
        }
        _ => None,
    };
    if relation == Relation::Eq
        && let Some(fact) = fact
    {
        return fact;
    }
    match (&reference, &right) {
        (Reference::Field(Field::SpanStartTime), Literal::Timestamp(nanoseconds)) => {
            return Leaf::Start(range(relation, *nanoseconds)).into();
        }
        (Reference::Field(Field::SpanDuration), Literal::Duration(nanoseconds)) => {
            return Leaf::Duration(range(relation, *nanoseconds)).into();
        }
        _ => {}
    }
    Leaf::Compare(Comparison {
        left: reference,
        relation,
        right: Operand::Constant(constant(right)),
    })
    .into()
}

fn error(wanted: bool) -> Predicate {
    let error = Leaf::Status(StatusCode::Error).into();
    if wanted { error } else { negated(error) }
}

/// Equality of a field and a text, as a fact in digests or terms; `None` for a field without one.
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
        Field::SpanTraceId
        | Field::SpanId
        | Field::SpanParentId
        | Field::SpanTraceState
        | Field::SpanStartTime
        | Field::SpanEndTime
        | Field::SpanDuration
        | Field::SpanStatusMessage
        | Field::ResourceSchemaUrl
        | Field::ScopeSchemaUrl
        | Field::EventName
        | Field::EventTime
        | Field::EventTimeSinceStart
        | Field::LinkTraceId
        | Field::LinkSpanId
        | Field::LinkTraceState => return None,
    })
}

/// The numbers that stand in this relation to a number of nanoseconds.
fn range(relation: Relation, nanoseconds: i128) -> Range {
    match relation {
        Relation::Eq => Range {
            min: nanoseconds,
            max: nanoseconds,
        },
        Relation::Lt => Range {
            max: nanoseconds - 1,
            ..Range::ALL
        },
        Relation::Lte => Range {
            max: nanoseconds,
            ..Range::ALL
        },
        Relation::Gt => Range {
            min: nanoseconds + 1,
            ..Range::ALL
        },
        Relation::Gte => Range {
            min: nanoseconds,
            ..Range::ALL
        },
    }
}

fn constant(constant: Literal) -> value::Constant {
    match constant {
        Literal::Untyped(text) => value::Constant::Untyped(untyped(text)),
        Literal::Text(text) => value::Constant::Text(text),
        Literal::Int(int) => value::Constant::Int(int.into()),
        Literal::Double(double) => value::Constant::Double(double),
        Literal::Bool(bool) => value::Constant::Bool(bool),
        Literal::Duration(nanoseconds) | Literal::Timestamp(nanoseconds) => {
            value::Constant::Int(nanoseconds)
        }
    }
}

fn untyped(text: String) -> Untyped {
    Untyped {
        int: go::parse_int(&text).ok().map(i128::from),
        double: go::parse_float(&text).ok(),
        bool: go::parse_bool(&text).ok(),
        text,
    }
}
