//! What the values of a dictionary are of.

use crate::terms::{Level, TextField};

/// What listed values are of: an attribute of a level, which its key names, or a text of spans, whose key is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An attribute of this level.
    Attribute(Level),
    /// A text that is no attribute.
    Text(TextField),
}

// === impl Source ===

impl Source {
    /// Every source, ordered by number.
    pub const ALL: [Self; 8] = [
        Self::Attribute(Level::Span),
        Self::Attribute(Level::Event),
        Self::Attribute(Level::Link),
        Self::Attribute(Level::Resource),
        Self::Attribute(Level::Scope),
        Self::Text(TextField::SpanName),
        Self::Text(TextField::StatusMessage),
        Self::Text(TextField::EventName),
    ];

    /// The source's number, which is stored: its place in [`Source::ALL`].
    pub fn number(self) -> u8 {
        match self {
            Self::Attribute(level) => level as u8,
            Self::Text(TextField::SpanName) => 5,
            Self::Text(TextField::StatusMessage) => 6,
            Self::Text(TextField::EventName) => 7,
        }
    }
}

impl From<Level> for Source {
    fn from(level: Level) -> Self {
        Self::Attribute(level)
    }
}

impl From<TextField> for Source {
    fn from(field: TextField) -> Self {
        Self::Text(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_source_is_its_place() {
        for (source, place) in Source::ALL.into_iter().zip(0..) {
            assert_eq!(source.number(), place, "{source:?}");
        }
    }
}
