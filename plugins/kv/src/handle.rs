//! What a fragment is known by outside, and its place in the order of a search.

/// A writer's number, and the number of the fragment among all that the writer has ever written: merging changes neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(u64);

/// The place of a fragment in the order in which a search gives sightings: by its latest start, and by its handle where those are
/// equal. It never changes, so a page can begin where another ended, whatever has been done in between and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The fragment's latest span start, nanoseconds.
    pub(crate) end: u64,
    pub(crate) handle: Handle,
}

const FRAGMENT_BITS: u32 = 48;
const FRAGMENT_MASK: u64 = (1 << FRAGMENT_BITS) - 1;

// === impl Handle ===

impl Handle {
    /// Of this fragment of this writer.
    pub(crate) fn new(writer: u16, fragment: u64) -> Self {
        Self(u64::from(writer) << FRAGMENT_BITS | fragment & FRAGMENT_MASK)
    }

    /// The handle that [`Handle::number`] gave; any other number is the handle of nothing.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// As the host sees it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The number of the writer.
    pub(crate) fn writer(self) -> u16 {
        u16::try_from(self.0 >> FRAGMENT_BITS).unwrap_or(0)
    }

    /// The number of the fragment.
    pub(crate) fn fragment(self) -> u64 {
        self.0 & FRAGMENT_MASK
    }
}

// === impl Key ===

impl Key {
    /// Of this fragment.
    pub(crate) fn new(end: u64, writer: u16, fragment: u64) -> Self {
        Self {
            end,
            handle: Handle::new(writer, fragment),
        }
    }

    /// The key right below this one.
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
