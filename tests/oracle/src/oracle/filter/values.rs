//! Comparison of values: V6 to V10.

use std::cmp::Ordering;

use super::read;

/// A stored value, or a constant with a declared type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Truth(bool),
    Int(i64),
    Double(f64),
    /// A duration, or an instant since 1970, in nanoseconds.
    Nanos(i128),
    /// Bytes, an array, a map, or an empty value.
    Opaque,
}

/// One value of one side of a comparison.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Stored(Value),
    Typed(Value),
    Untyped(String),
}

/// The result of comparing two values.
pub(super) struct Comparison {
    pub(super) ordering: Ordering,
    /// False for booleans.
    pub(super) has_order: bool,
}

/// Returns `None` if they cannot be compared.
pub(super) fn compare(left: &Operand, right: &Operand) -> Option<Comparison> {
    match (left, right) {
        (Operand::Untyped(left), Operand::Untyped(right)) => {
            Some(ordered(left.as_bytes().cmp(right.as_bytes())))
        }
        (Operand::Untyped(text), other) => same(&read_beside(text, other)?, value(other)),
        (other, Operand::Untyped(text)) => same(value(other), &read_beside(text, other)?),
        (Operand::Stored(left), Operand::Stored(right)) => {
            if let (Some(left), Some(right)) = (number(left), number(right)) {
                return numbers(left, right).map(ordered);
            }
            same(left, right)
        }
        // V6: a value of a declared type is comparable with that type alone.
        (left, right) => {
            let (left, right) = (value(left), value(right));
            let alike = std::mem::discriminant(left) == std::mem::discriminant(right);
            if alike { same(left, right) } else { None }
        }
    }
}

fn value(operand: &Operand) -> &Value {
    match operand {
        Operand::Stored(value) | Operand::Typed(value) => value,
        Operand::Untyped(text) => panic!("{text:?} has not been read"),
    }
}

fn ordered(ordering: Ordering) -> Comparison {
    Comparison {
        ordering,
        has_order: true,
    }
}

/// V7, V9: parses the text as the type of the other operand.
fn read_beside(text: &str, other: &Operand) -> Option<Value> {
    match (other, value(other)) {
        (_, Value::Text(_)) => Some(Value::Text(text.to_owned())),
        (_, Value::Truth(_)) => read::truth(text).map(Value::Truth),
        (_, Value::Double(_)) => read::double(text).map(Value::Double),
        (Operand::Typed(_), Value::Int(_)) => read::int(text).map(Value::Int),
        (_, Value::Int(_)) => {
            let int = read::int(text).map(Value::Int);
            int.or_else(|| read::double(text).map(Value::Double))
        }
        (_, Value::Opaque) => None,
        (_, Value::Nanos(_)) => panic!("{text:?} stands beside a field and has not been read"),
    }
}

fn same(left: &Value, right: &Value) -> Option<Comparison> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            Some(ordered(left.as_bytes().cmp(right.as_bytes())))
        }
        (Value::Truth(left), Value::Truth(right)) => Some(Comparison {
            ordering: left.cmp(right),
            has_order: false,
        }),
        _ => numbers(number(left)?, number(right)?).map(ordered),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Double(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(number) => Some(Number::Whole(i128::from(*number))),
        Value::Nanos(number) => Some(Number::Whole(*number)),
        Value::Double(number) => Some(Number::Double(*number)),
        _ => None,
    }
}

/// V8. `None` if one is NaN.
fn numbers(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
        (Number::Double(left), Number::Double(right)) => left.partial_cmp(&right),
        (Number::Whole(left), Number::Double(right)) => exactly(left, right),
        (Number::Double(left), Number::Whole(right)) => exactly(right, left).map(Ordering::reverse),
    }
}

/// Compares whole parts, which an `i128` holds, and then the fraction. A double beyond 10^30 is beyond every stored integer.
fn exactly(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1e30 {
        return Some(if double > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 10^30"
    )]
    let truncated = double.trunc() as i128;
    let fraction = double.fract();
    let by_fraction = 0.0_f64.partial_cmp(&fraction).expect("a number");
    Some(whole.cmp(&truncated).then(by_fraction))
}
