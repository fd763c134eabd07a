//! The tree of a filter as it was sent: a call of an operator, whose arguments are references, constants and calls.

use super::field::{self, Field, Type};
use super::go::quote;
use super::operator::Operator;
use super::pattern::Pattern;

/// An operator with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The operator, or the word that names none. `validate` refuses the latter, after the checks that Jaeger makes before.
    pub(super) op: Result<Operator, String>,
    pub(super) args: Vec<Expression>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// An attribute; the level is empty for the span and its resource.
    Attribute {
        key: String,
        level: String,
    },
    /// A built-in field.
    Field {
        name: String,
        level: String,
    },
    /// The collection of `some`.
    Nested {
        level: String,
    },
    Constant(Literal),
    /// Texts of the declared type or, without one, of the type of the field they are compared with. `validate` refuses a word that
    /// names no type.
    List {
        values: Vec<String>,
        declared: Result<Option<ValueType>, String>,
    },
    Call(Call),
    /// The constant of `regex`, once `validate` has compiled it.
    Pattern(Pattern),
}

/// A constant, parsed as its declared type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// Read as the type that it is compared with.
    Untyped(String),
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Nanoseconds. Not a type of the wire; made by `resolve` for a field of this type.
    Duration(i128),
    /// Nanoseconds since the Unix epoch. Not a type of the wire either.
    Timestamp(i128),
}

/// A type that a constant or a list may declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    String,
    Int,
    Double,
    Bool,
}

/// The kinds of value. Only values of the same kind compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    Number,
    Duration,
    Timestamp,
    Text,
    Bool,
}

// === impl Call ===

impl Call {
    /// The operator.
    ///
    /// # Errors
    /// A word that names no operator.
    pub(super) fn operator(&self) -> Result<Operator, String> {
        self.op
            .as_ref()
            .copied()
            .map_err(|unknown| format!("unknown filter operator {}", quote(unknown)))
    }
}

// === impl Expression ===

impl Expression {
    /// The built-in field that this names, if there is one of that name.
    pub(super) fn field(&self) -> Option<Field> {
        match self {
            Self::Field { name, level } => field::lookup(level, name),
            Self::Attribute { .. }
            | Self::Nested { .. }
            | Self::Constant(_)
            | Self::List { .. }
            | Self::Call(_)
            | Self::Pattern(_) => None,
        }
    }

    /// The kind of value, if it is known without a span.
    pub(super) fn domain(&self) -> Option<Domain> {
        match self {
            Self::Field { .. } => self.field().map(|field| field.ty().domain()),
            Self::Constant(constant) => constant.domain(),
            Self::Attribute { .. }
            | Self::Nested { .. }
            | Self::List { .. }
            | Self::Call(_)
            | Self::Pattern(_) => None,
        }
    }

    /// The argument in an error.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Field { name, level } => format!("{level}.{name}"),
            other => other.kind().to_owned(),
        }
    }

    /// The kind of argument in an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Attribute { .. } => "an attribute reference",
            Self::Field { .. } => "a field reference",
            Self::Nested { .. } => "a collection reference",
            Self::Constant(Literal::Untyped(_)) => "an untyped constant",
            Self::Constant(Literal::Text(_)) => "a string constant",
            Self::Constant(Literal::Int(_)) => "an integer constant",
            Self::Constant(Literal::Double(_)) => "a floating-point constant",
            Self::Constant(Literal::Bool(_)) => "a boolean constant",
            Self::Constant(Literal::Duration(_)) => "a duration constant",
            Self::Constant(Literal::Timestamp(_)) => "a timestamp constant",
            Self::List { .. } => "a list",
            Self::Call(_) => "a predicate",
            Self::Pattern(_) => "a pattern",
        }
    }
}

// === impl ValueType ===

impl ValueType {
    /// The type that a word names; `None` for the empty word.
    ///
    /// # Errors
    /// The word, if it names no type.
    pub(super) fn parse(word: String) -> Result<Option<Self>, String> {
        match word.as_str() {
            "" => Ok(None),
            "string" => Ok(Some(Self::String)),
            "int" => Ok(Some(Self::Int)),
            "double" => Ok(Some(Self::Double)),
            "bool" => Ok(Some(Self::Bool)),
            _ => Err(word),
        }
    }

    /// The word for it in a filter.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
        }
    }
}

// === impl Literal ===

impl Literal {
    fn domain(&self) -> Option<Domain> {
        match self {
            Self::Untyped(_) => None,
            Self::Text(_) => Some(Domain::Text),
            Self::Int(_) | Self::Double(_) => Some(Domain::Number),
            Self::Bool(_) => Some(Domain::Bool),
            Self::Duration(_) => Some(Domain::Duration),
            Self::Timestamp(_) => Some(Domain::Timestamp),
        }
    }
}

// === impl Type ===

impl Type {
    /// The kind of value that a field of this type holds.
    pub(super) fn domain(self) -> Domain {
        match self {
            Self::Duration => Domain::Duration,
            Self::Timestamp => Domain::Timestamp,
            Self::Text | Self::SpanKind | Self::SpanStatus => Domain::Text,
        }
    }
}
