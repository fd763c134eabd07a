//! The size of a number in powers of two. A search for a range of numbers asks for the magnitudes in it.

/// A step of the scale that `wit/terms.md` defines. It grows with the number, and equal numbers of different types have the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Magnitude(u8);

/// Exponents outside of this range count as the nearest one inside.
const MIN_EXPONENT: i32 = -40;
const MAX_EXPONENT: i32 = 63;
const ZERO: u8 = 128;

// === impl Magnitude ===

impl Magnitude {
    /// The lowest step, of all negative numbers that are far enough from zero.
    pub const MIN: Self = Self::new(true, MAX_EXPONENT);
    /// The highest step, of all positive numbers that are large enough.
    pub const MAX: Self = Self::new(false, MAX_EXPONENT);

    /// The magnitude of an integer.
    pub fn of_int(number: i128) -> Self {
        match number.unsigned_abs().checked_ilog2() {
            None => Self(ZERO),
            Some(exponent) => Self::new(number < 0, exponent.cast_signed()),
        }
    }

    /// The magnitude of a double; `None` for NaN, which is in no range.
    pub fn of_double(number: f64) -> Option<Self> {
        const FRACTION_BITS: u32 = 52;
        const EXPONENTS: u64 = 0x7ff;
        const BIAS: i32 = 1023;
        if number.is_nan() {
            return None;
        }
        if number == 0.0 {
            return Some(Self(ZERO));
        }
        let exponent = (number.to_bits() >> FRACTION_BITS) & EXPONENTS;
        // Infinity has the greatest exponent, and subnormal numbers the least.
        let exponent = i32::try_from(exponent).unwrap_or(0) - BIAS;
        Some(Self::new(number.is_sign_negative(), exponent))
    }

    /// All magnitudes from this one to `last`, both included.
    pub fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }

    /// The number of the step.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    const fn new(is_negative: bool, exponent: i32) -> Self {
        let exponent = if exponent < MIN_EXPONENT {
            MIN_EXPONENT
        } else if exponent > MAX_EXPONENT {
            MAX_EXPONENT
        } else {
            exponent
        };
        #[expect(clippy::cast_possible_truncation, reason = "from 1 to 104")]
        let distance = (exponent - MIN_EXPONENT + 1).cast_unsigned() as u8;
        Self(if is_negative {
            ZERO - distance
        } else {
            ZERO + distance
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn of(number: f64) -> u8 {
        Magnitude::of_double(number).unwrap().number()
    }

    #[test]
    fn the_scale_is_that_of_the_contract() {
        for (number, step) in [
            (0.0, 128),
            (-0.0, 128),
            (1.0, 169),
            (1.99, 169),
            (2.0, 170),
            (255.0, 176),
            (256.0, 177),
            (0.5, 168),
            (-1.0, 87),
            (-3.0, 86),
            (1e-30, 129),
            (-1e-30, 127),
            (f64::MIN_POSITIVE / 2.0, 129),
            (1e30, 232),
            (f64::INFINITY, 232),
            (f64::NEG_INFINITY, 24),
        ] {
            assert_eq!(of(number), step, "{number}");
        }
        assert_eq!(Magnitude::of_double(f64::NAN), None);
        assert_eq!(Magnitude::MIN.number(), 24);
        assert_eq!(Magnitude::MAX.number(), 232);
    }

    #[test]
    fn a_whole_number_stands_where_the_double_does() {
        for exponent in 0..=63 {
            let power = 1_i128 << exponent;
            #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
            let double = power as f64;
            assert_eq!(Magnitude::of_int(power).number(), of(double));
            assert_eq!(Magnitude::of_int(-power).number(), of(-double));
            let below = Magnitude::of_int(power - 1);
            assert!(below < Magnitude::of_int(power), "{power}");
        }
        assert_eq!(Magnitude::of_int(0).number(), 128);
        assert_eq!(Magnitude::of_int(i128::MAX), Magnitude::MAX);
        assert_eq!(Magnitude::of_int(i128::MIN), Magnitude::MIN);
    }

    proptest! {
        #[test]
        fn a_larger_number_never_stands_below(one: f64, other: f64, int: i64, second: i64) {
            if one < other {
                prop_assert!(of(one) <= of(other));
            }
            if int < second {
                prop_assert!(Magnitude::of_int(int.into()) <= Magnitude::of_int(second.into()));
            }
            // Of so few bits that it is exact as a double.
            let exact = int >> 11;
            #[expect(clippy::cast_precision_loss, reason = "it has 53 bits")]
            let double = exact as f64;
            prop_assert_eq!(Magnitude::of_int(exact.into()).number(), of(double));
        }
    }
}
