//! Searches in sorted slices.

/// Drops the leading items for which `is_before` holds, by galloping search: the cost grows with the logarithm of their number.
pub(crate) fn pass_over<T>(slice: &[T], is_before: impl Fn(&T) -> bool) -> &[T] {
    let mut step = 1;
    while slice.get(step).is_some_and(&is_before) {
        step *= 2;
    }
    let start = step / 2;
    let within = slice.get(start..slice.len().min(step)).unwrap_or_default();
    let end = start + within.partition_point(is_before);
    slice.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_earlier_items_are_skipped() {
        for len in 0..40 {
            let numbers: Vec<u32> = (0..len).collect();
            for first in 0..=len {
                let left = pass_over(&numbers, |it| *it < first);
                assert_eq!(left, numbers.split_at(first as usize).1, "{first} of {len}");
            }
        }
    }
}
