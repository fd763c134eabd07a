//! The elements of a list, as sets, so that judging a value takes the same time however long the list is (V13).

use std::collections::HashSet;

use super::{Constant, Untyped, Value};

/// The elements of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Members {
    Text(HashSet<Vec<u8>>),
    Int(HashSet<i128>),
    /// The bits of numbers, none of them negative zero or not a number.
    Double(HashSet<u64>),
    /// Two flags: `false` is a member, `true` is a member.
    Bool([bool; 2]),
    /// Each element is read anew as the type of each value.
    Untyped(AnyType),
}

/// Texts of no declared type: the values of each type that equal one of them (V7).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AnyType {
    pub(crate) texts: HashSet<Vec<u8>>,
    /// What is written as an integer, and what is written otherwise and whole.
    pub(crate) ints: HashSet<i128>,
    /// Bits as in [`Members::Double`]. What is written as an integer is here too, as the nearest double.
    pub(crate) doubles: HashSet<u64>,
    /// Two flags: `false` is a member, `true` is a member.
    pub(crate) bools: [bool; 2],
}

// === impl Members ===

impl Members {
    /// Creates a set of constants of one type: text or integers. Other constants are left out.
    pub(crate) fn of(constants: impl IntoIterator<Item = Constant>) -> Self {
        let mut texts = HashSet::new();
        let mut ints = HashSet::new();
        for constant in constants {
            match constant {
                Constant::Text(text) => {
                    texts.insert(text.into_bytes());
                }
                Constant::Int(int) => {
                    ints.insert(int);
                }
                Constant::Double(_) | Constant::Bool(_) | Constant::Untyped(_) => {}
            }
        }
        if ints.is_empty() {
            Self::Text(texts)
        } else {
            Self::Int(ints)
        }
    }

    /// Creates a set of doubles. NaN equals nothing, and zero equals negative zero.
    pub(crate) fn doubles(doubles: Vec<f64>) -> Self {
        Self::Double(doubles.into_iter().filter_map(bits).collect())
    }

    /// Of bools.
    pub(crate) fn bools(bools: &[bool]) -> Self {
        Self::Bool([bools.contains(&false), bools.contains(&true)])
    }

    /// Of texts that are read as what they are compared with.
    pub(crate) fn untyped(texts: impl IntoIterator<Item = Untyped>) -> Self {
        let mut all = AnyType::default();
        for untyped in texts {
            all.insert(untyped);
        }
        Self::Untyped(all)
    }

    /// Returns `true` if the value is a member.
    pub(crate) fn contains(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Untyped(all), value) => all.contains(value),
            (Self::Text(texts), Value::Text(value)) => texts.contains(&**value),
            (Self::Int(ints), Value::Int(value)) => ints.contains(value),
            (Self::Double(doubles), Value::Double(value)) => has_double(doubles, *value),
            (Self::Bool(bools), Value::Bool(value)) => has_bool(*bools, *value),
            (Self::Text(_) | Self::Int(_) | Self::Double(_) | Self::Bool(_), _) => false,
        }
    }
}

// === impl AnyType ===

impl AnyType {
    fn insert(&mut self, untyped: Untyped) {
        let Untyped {
            text,
            int,
            double,
            bool,
        } = untyped;
        self.texts.insert(text.into_bytes());
        // An integer equals a double only if that is whole, and then it is this one.
        self.ints.extend(int.or_else(|| double.and_then(whole)));
        self.doubles.extend(double.and_then(bits));
        let [is_false, is_true] = &mut self.bools;
        *is_false |= bool == Some(false);
        *is_true |= bool == Some(true);
    }

    fn contains(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(value) => self.texts.contains(&**value),
            Value::Int(value) => self.ints.contains(value),
            Value::Double(value) => has_double(&self.doubles, *value),
            Value::Bool(value) => has_bool(self.bools, *value),
            Value::Opaque => false,
        }
    }
}

fn has_double(doubles: &HashSet<u64>, value: f64) -> bool {
    bits(value).is_some_and(|bits| doubles.contains(&bits))
}

fn has_bool([is_false, is_true]: [bool; 2], value: bool) -> bool {
    if value { is_true } else { is_false }
}

/// Equal for equal numbers: a negative zero has those of zero. `None` for not a number, which equals nothing.
fn bits(double: f64) -> Option<u64> {
    let bits = if double == 0.0 { 0 } else { double.to_bits() };
    (!double.is_nan()).then_some(bits)
}

/// The integer of a span that equals this double, if one does.
pub(crate) fn whole(double: f64) -> Option<i128> {
    /// Beyond every integer of a span.
    const BEYOND: f64 = 1e19;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within")]
    (double.fract() == 0.0 && double.abs() < BEYOND).then_some(double as i128)
}
