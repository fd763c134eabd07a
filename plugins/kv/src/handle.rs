//! Handles, which identify fragments to the host, and the order of search results.

/// A writer's number, and the number of the fragment among all fragments of that writer. Merging does not change handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(u64);

/// The position of a fragment in the order of search results: by its latest start, then by its handle. It never changes, so a page
/// can resume where another ended, on any instance and after any write or merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Latest start of the fragment's spans, nanoseconds.
    pub(crate) end: u64,
    pub(crate) handle: Handle,
}

const FRAGMENT_BITS: u32 = 48;
const FRAGMENT_MASK: u64 = (1 << FRAGMENT_BITS) - 1;

// === impl Handle ===

impl Handle {
    /// Makes the handle of a writer's fragment.
    pub(crate) fn new(writer: u16, fragment: u64) -> Self {
        Self(u64::from(writer) << FRAGMENT_BITS | fragment & FRAGMENT_MASK)
    }

    /// Parses a number that [`Handle::number`] gave. Other numbers make handles without a fragment.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number by which the host knows it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// Returns the number of the writer.
    pub(crate) fn writer(self) -> u16 {
        u16::try_from(self.0 >> FRAGMENT_BITS).unwrap_or(0)
    }

    /// Returns the number of the fragment.
    pub(crate) fn fragment(self) -> u64 {
        self.0 & FRAGMENT_MASK
    }
}

// === impl Key ===

impl Key {
    /// Makes the key of a writer's fragment.
    pub(crate) fn new(end: u64, writer: u16, fragment: u64) -> Self {
        Self {
            end,
            handle: Handle::new(writer, fragment),
        }
    }

    /// Returns the key right below this one.
    pub(crate) fn before(self) -> Option<Self> {
        let Handle(number) = self.handle;
        Some(match number.checked_sub(1) {
            Some(number) => Self {
                handle: Handle(number),
                ..self
            },
            None => Self {
                end: self.end.checked_sub(1)?,
                handle: Handle(u64::MAX),
            },
        })
    }
}
