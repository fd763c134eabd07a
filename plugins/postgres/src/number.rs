//! The contract's `u64` in columns of `bigint`.

/// Maps all numbers onto those of `bigint`, in their order: 0 is the least one, and the middle is 0. For times and durations, which are
/// compared.
pub(crate) fn ordered(number: u64) -> i64 {
    (number ^ MIDDLE).cast_signed()
}

/// The number that [`ordered`] has mapped.
pub(crate) fn from_ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ MIDDLE
}

const MIDDLE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_stays_and_each_number_comes_back(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(from_ordered(ordered(a)), a);
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(&b));
        }
    }

    #[test]
    fn the_ends_are_those_of_bigint() {
        assert_eq!((ordered(0), ordered(u64::MAX)), (i64::MIN, i64::MAX));
        assert_eq!(ordered(1 << 63), 0);
    }
}
