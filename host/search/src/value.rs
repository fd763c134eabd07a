//! Comparing a span's values with each other and with constants, as structured filters do (V3 to V13).
//!
//! A reference has no value, one, or several; a leaf holds if it holds for one of them (V4). There is no "not equal" here: `ne` is
//! lowered to "present, and not equal".

use std::borrow::Cow;
use std::cmp::Ordering;
use std::time::Instant;

use super::budget::OutOfTime;
use super::filter::Field;
use super::filter::pattern::Pattern;
use super::predicate::Levels;
use super::words::WordQuery;

mod members;
#[cfg(test)]
mod tests;

pub(crate) use members::{Members, whole};

/// The part of a span that a leaf tests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reference {
    /// A built-in field.
    Field(Field),
    /// The first attribute of this key at each of the levels.
    Attribute { levels: Levels, key: String },
    /// A bool: the span's status is an error. Replaces any attribute `error` (V14).
    Error,
}

/// A comparison of two values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) left: Reference,
    pub(crate) relation: Relation,
    pub(crate) right: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Eq,
    Lt,
    Lte,
    Gt,
    Gte,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Constant(Constant),
    Reference(Reference),
}

/// A constant of a query. All but [`Constant::Untyped`] compare only with values of their own type (V6).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Text(String),
    /// A number, or nanoseconds.
    Int(i128),
    Double(f64),
    Bool(bool),
    Untyped(Untyped),
}

/// A text that is read as the type it is compared with (V7); `None` for a type it cannot be read as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Untyped {
    pub(crate) text: String,
    pub(crate) int: Option<i128>,
    pub(crate) double: Option<f64>,
    pub(crate) bool: Option<bool>,
}

/// A value that a span has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    /// A number, or nanoseconds.
    Int(i128),
    Double(f64),
    Bool(bool),
    /// Bytes, a list, a map, or an attribute without a value: present, and equal to nothing (V10).
    Opaque,
}

// === impl Comparison ===

impl Comparison {
    /// Returns `true` if the relation holds between the left value and the constant, or one of the right values.
    pub(crate) fn holds(&self, left: &Value<'_>, right: &[Value<'_>]) -> bool {
        match &self.right {
            Operand::Constant(constant) => self.relation.holds_with(left, constant),
            Operand::Reference(_) => right
                .iter()
                .any(|right| self.relation.holds_between(left, right)),
        }
    }
}

impl Operand {
    /// The reference; `None` for a constant.
    pub(crate) fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Constant(_) => None,
        }
    }
}

// === impl Relation ===

impl Relation {
    /// Returns `true` if the relation holds between values of this order; `None` is for values that do not compare.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Lt => order == Some(Ordering::Less),
            Self::Lte => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Gt => order == Some(Ordering::Greater),
            Self::Gte => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    /// The word for it in a filter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
        }
    }

    /// Returns `true` if the relation holds between two values of a span.
    pub(crate) fn holds_between(self, left: &Value<'_>, right: &Value<'_>) -> bool {
        let order = match (left, right) {
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
            (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
            (Value::Int(left), Value::Double(right)) => int_and_double(*left, *right),
            (Value::Double(left), Value::Int(right)) => {
                int_and_double(*right, *left).map(Ordering::reverse)
            }
            // Bools are equal or not, and have no order (V8).
            (Value::Bool(left), Value::Bool(right)) if self == Self::Eq => Some(left.cmp(right)),
            // Values of two types have no order (V8), and an opaque one equals nothing (V10).
            (
                Value::Text(_) | Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Opaque,
                _,
            ) => None,
        };
        self.holds(order)
    }

    /// Returns `true` if the relation holds between a value of a span and a constant.
    pub(crate) fn holds_with(self, value: &Value<'_>, constant: &Constant) -> bool {
        let order = match (value, constant) {
            (Value::Text(value), Constant::Text(text)) => Some((**value).cmp(text.as_bytes())),
            (Value::Int(value), Constant::Int(int)) => Some(value.cmp(int)),
            (Value::Double(value), Constant::Double(double)) => value.partial_cmp(double),
            (Value::Bool(value), Constant::Bool(bool)) if self == Self::Eq => Some(value.cmp(bool)),
            (value, Constant::Untyped(untyped)) => {
                return untyped
                    .as_type_of(value)
                    .is_some_and(|read| self.holds_between(value, &read));
            }
            (_, Constant::Text(_) | Constant::Int(_) | Constant::Double(_) | Constant::Bool(_)) => {
                None
            }
        };
        self.holds(order)
    }
}

/// Returns `true` if the relation holds between two constants. Two untyped ones compare as text; a single one is read as exactly the
/// other's type (V9).
pub(crate) fn constants_hold(left: &Constant, relation: Relation, right: &Constant) -> bool {
    match (left, right) {
        (Constant::Untyped(left), Constant::Untyped(right)) => {
            relation.holds(Some(left.text.cmp(&right.text)))
        }
        (Constant::Untyped(left), right) => {
            let right = right.as_value();
            left.as_type_of(&right)
                .filter(|left| is_one_type(left, &right))
                .is_some_and(|left| relation.holds_between(&left, &right))
        }
        (left, Constant::Untyped(right)) => {
            let left = left.as_value();
            right
                .as_type_of(&left)
                .filter(|right| is_one_type(&left, right))
                .is_some_and(|right| relation.holds_between(&left, &right))
        }
        (left, right) => relation.holds_with(&left.as_value(), right),
    }
}

fn is_one_type(one: &Value<'_>, other: &Value<'_>) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// The order of a whole number and a double, exactly (V8); `None` for not a number.
fn int_and_double(int: i128, double: f64) -> Option<Ordering> {
    /// Beyond every value of a span.
    const BEYOND: f64 = 1e30;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double <= -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within")]
    let order = int.cmp(&(whole as i128));
    let fraction = || 0.0.partial_cmp(&(double - whole));
    Some(order).filter(|order| order.is_ne()).or_else(fraction)
}

// === impl Value ===

impl Value<'_> {
    /// An id as text: lower-case hexadecimal; "" for one that is zero, as Jaeger shows it.
    pub(crate) fn id(id: &[u8]) -> Self {
        if id.iter().all(|byte| *byte == 0) {
            return Self::Text(Cow::Borrowed(b""));
        }
        let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let hex = digits.map(|digit| match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        });
        Self::Text(Cow::Owned(hex.collect()))
    }

    /// Returns `true` if the value is text with a match of the pattern (V12).
    pub(crate) fn matches(&self, pattern: &Pattern, deadline: Instant) -> Result<bool, OutOfTime> {
        match self {
            Self::Text(text) => pattern.is_match(text, deadline),
            Self::Int(_) | Self::Double(_) | Self::Bool(_) | Self::Opaque => Ok(false),
        }
    }

    /// Returns `true` if the value is text that has the words (V16).
    pub(crate) fn has_words(
        &self,
        query: &WordQuery,
        deadline: Instant,
    ) -> Result<bool, OutOfTime> {
        match self {
            Self::Text(text) => query.is_in(text, deadline),
            Self::Int(_) | Self::Double(_) | Self::Bool(_) | Self::Opaque => Ok(false),
        }
    }
}

// === impl Constant ===

impl Constant {
    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(Cow::Borrowed(text.as_bytes())),
            Self::Int(int) => Value::Int(*int),
            Self::Double(double) => Value::Double(*double),
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Untyped(untyped) => Value::Text(Cow::Borrowed(untyped.text.as_bytes())),
        }
    }
}

// === impl Untyped ===

impl Untyped {
    /// The text, read as the type of the other value; `None` if it cannot be.
    fn as_type_of(&self, value: &Value<'_>) -> Option<Value<'_>> {
        match value {
            Value::Text(_) => Some(Value::Text(Cow::Borrowed(self.text.as_bytes()))),
            Value::Int(_) => self
                .int
                .map(Value::Int)
                .or_else(|| self.double.map(Value::Double)),
            Value::Double(_) => self.double.map(Value::Double),
            Value::Bool(_) => self.bool.map(Value::Bool),
            Value::Opaque => None,
        }
    }
}
