//! How much a dictionary takes.

use std::ops::{Add, Sub};

/// How much a dictionary takes. A value beyond that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Values of an attribute.
    pub values: usize,
    /// Values of an attribute from which on it lists no more numbers. Those that are not listed are found by their magnitudes, while a
    /// search for a range could not name all that are.
    pub numbers: usize,
    /// Bytes of the values of an attribute.
    pub bytes: usize,
    /// Bytes of a value, and of a key.
    pub value_bytes: usize,
    /// Values of all attributes of a tenant. An attribute takes no more than half of what the others leave, so that there is always room
    /// for one that has few.
    pub all_values: usize,
    /// Bytes of the values and keys of all attributes of a tenant, shared alike.
    pub all_bytes: usize,
    /// Attributes of a tenant.
    pub attributes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            values: 10_000,
            numbers: 1024,
            bytes: 1 << 20,
            value_bytes: 4096,
            all_values: 1 << 16,
            all_bytes: 8 << 20,
            attributes: 4096,
        }
    }
}

/// A number of values, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

// === impl Size ===

impl Size {
    pub(super) fn of_value(bytes: usize) -> Self {
        Self { values: 1, bytes }
    }

    pub(super) fn of_key(bytes: usize) -> Self {
        Self { values: 0, bytes }
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Sub for Size {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            values: self.values.saturating_sub(other.values),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

// === impl Bounds ===

impl Bounds {
    /// Returns `true` if an attribute of the size `own` may take a value of so many bytes where all attributes have the size `all`.
    pub(super) fn fit(&self, own: Size, all: Size, value: usize) -> bool {
        let free = Size {
            values: self.all_values,
            bytes: self.all_bytes,
        } - all;
        own.values < self.values
            && own.bytes + value <= self.bytes
            && free.values > 0
            && value <= free.bytes
            && own.values <= free.values / 2
            && own.bytes <= free.bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(values: usize, bytes: usize) -> Size {
        Size { values, bytes }
    }

    #[test]
    fn one_attribute_reaches_its_own_bounds() {
        let bounds = Bounds::default();
        let alone = |size| bounds.fit(size, size, 10);
        assert!(alone(sized(9_999, 100_000)));
        assert!(!alone(sized(10_000, 100_000)));
        assert!(alone(sized(100, (1 << 20) - 10)));
        assert!(!alone(sized(100, (1 << 20) - 9)));
    }

    #[test]
    fn many_attributes_leave_room_for_another() {
        let bounds = Bounds::default();
        let mut own = [Size::default(); 40];
        let mut all = Size::default();
        loop {
            let before = all;
            for size in &mut own {
                if bounds.fit(*size, all, 50) {
                    *size = *size + Size::of_value(50);
                    all = all + Size::of_value(50);
                }
            }
            if all == before {
                break;
            }
        }
        assert!(all.values > 60_000, "{all:?}");
        assert!(bounds.fit(Size::default(), all, 4096));
        assert!(bounds.fit(sized(500, 5000), all, 10));
    }

    #[test]
    fn what_is_full_takes_nothing() {
        let bounds = Bounds::default();
        let none = Size::default();
        assert!(!bounds.fit(none, sized(1 << 16, 0), 0));
        assert!(!bounds.fit(none, sized(0, 8 << 20), 1));
        assert!(!bounds.fit(none, sized(1 << 20, 80 << 20), 0));
    }
}
