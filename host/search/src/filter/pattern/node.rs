//! The tree of a pattern, shaped as Go's parser shapes it.

use super::runes::Runes;

/// A part of a pattern.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) flags: Flags,
    /// Its size and height, once computed (see `limits`).
    pub(super) size: Option<u64>,
    pub(super) height: Option<u32>,
}

/// The operator of a part.
#[derive(Debug)]
pub(super) enum Op {
    Empty,
    /// These code points, one after the other; at least one.
    Literal(Vec<u32>),
    /// One of these code points.
    Class(Runes),
    /// Any code point but a line feed.
    AnyNotNewline,
    Any,
    /// `^`, `$`, `\A` and `\z`.
    Anchor,
    /// `\b` and `\B`.
    Boundary,
    Capture(Box<Node>),
    /// `*`, `+` and `?`.
    Star(Box<Node>),
    Plus(Box<Node>),
    Quest(Box<Node>),
    /// `{min,max}`; without `max`, without limit.
    Repeat {
        min: u32,
        max: Option<u32>,
        sub: Box<Node>,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

/// The flags in force at a part of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

// === impl Flags ===

impl Flags {
    /// `i`: letters match in either case.
    pub(super) const FOLD_CASE: Self = Self(1);
    /// The opposite of `m`.
    pub(super) const ONE_LINE: Self = Self(2);
    /// `s`: `.` matches a line feed too.
    pub(super) const DOT_NEWLINE: Self = Self(4);
    /// `U`: quantifiers are lazy.
    pub(super) const NON_GREEDY: Self = Self(8);

    pub(super) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) fn set(self, flag: Self, on: bool) -> Self {
        if on {
            Self(self.0 | flag.0)
        } else {
            Self(self.0 & !flag.0)
        }
    }

    pub(super) fn toggle(self, flag: Self) -> Self {
        Self(self.0 ^ flag.0)
    }
}

// === impl Node ===

impl Node {
    pub(super) fn folds(&self) -> bool {
        self.flags.has(Flags::FOLD_CASE)
    }

    pub(super) fn subs(&self) -> &[Self] {
        match &self.op {
            Op::Capture(sub)
            | Op::Star(sub)
            | Op::Plus(sub)
            | Op::Quest(sub)
            | Op::Repeat { sub, .. } => std::slice::from_ref(&**sub),
            Op::Concat(subs) | Op::Alternate(subs) => subs,
            Op::Empty
            | Op::Literal(_)
            | Op::Class(_)
            | Op::AnyNotNewline
            | Op::Any
            | Op::Anchor
            | Op::Boundary => &[],
        }
    }

    pub(super) fn subs_mut(&mut self) -> &mut [Self] {
        match &mut self.op {
            Op::Capture(sub)
            | Op::Star(sub)
            | Op::Plus(sub)
            | Op::Quest(sub)
            | Op::Repeat { sub, .. } => std::slice::from_mut(&mut **sub),
            Op::Concat(subs) | Op::Alternate(subs) => subs,
            Op::Empty
            | Op::Literal(_)
            | Op::Class(_)
            | Op::AnyNotNewline
            | Op::Any
            | Op::Anchor
            | Op::Boundary => &mut [],
        }
    }

    /// For a part that matches exactly one code point, its complexity: the order of Go's operators.
    pub(super) fn complexity(&self) -> Option<u8> {
        match &self.op {
            Op::Literal(text) if text.len() == 1 => Some(0),
            Op::Class(_) => Some(1),
            Op::AnyNotNewline => Some(2),
            Op::Any => Some(3),
            _ => None,
        }
    }

    /// The count of numbers that hold its code points.
    pub(super) fn rune_count(&self) -> usize {
        match &self.op {
            Op::Literal(text) => text.len(),
            Op::Class(runes) => 2 * runes.ranges().len(),
            _ => 0,
        }
    }

    /// Adds what `other`, which is no more complex, matches; both match one code point.
    pub(super) fn merge(&mut self, other: &Self) {
        match &mut self.op {
            Op::AnyNotNewline if other.matches_newline() => self.op = Op::Any,
            Op::Class(runes) => other.add_to(runes),
            Op::Literal(text) => {
                if self.flags == other.flags
                    && matches!(&other.op, Op::Literal(same) if same == text)
                {
                    return;
                }
                let mut runes = Runes::default();
                self.add_to(&mut runes);
                other.add_to(&mut runes);
                self.op = Op::Class(runes);
            }
            _ => {}
        }
    }

    /// Writes a class of all, or of all but the line feed, as `.` is written.
    pub(super) fn name_class(&mut self) {
        const NOT_NEWLINE: [(u32, u32); 2] =
            [(0, '\n' as u32 - 1), ('\n' as u32 + 1, char::MAX as u32)];
        if let Op::Class(runes) = &self.op {
            if runes.ranges() == [(0, char::MAX as u32)] {
                self.op = Op::Any;
            } else if runes.ranges() == NOT_NEWLINE {
                self.op = Op::AnyNotNewline;
            }
        }
    }

    /// Returns `true` if alternatives that begin with this can share it: one code point, or a fixed number of such.
    pub(super) fn can_be_shared(&self) -> bool {
        match &self.op {
            Op::Repeat { min, max, sub } => *max == Some(*min) && sub.complexity().is_some(),
            _ => self.complexity().is_some(),
        }
    }

    /// Compares two parts that [can be shared](Self::can_be_shared).
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (&self.op, &other.op) {
            (Op::Literal(text), Op::Literal(same)) => text == same && self.folds() == other.folds(),
            (Op::Class(runes), Op::Class(same)) => runes == same && self.folds() == other.folds(),
            (Op::AnyNotNewline, Op::AnyNotNewline) | (Op::Any, Op::Any) => true,
            (
                Op::Repeat { min, max, sub },
                Op::Repeat {
                    min: same_min,
                    max: same_max,
                    sub: same,
                },
            ) => {
                let lazy = |node: &Self| node.flags.has(Flags::NON_GREEDY);
                (min, max) == (same_min, same_max) && lazy(self) == lazy(other) && sub.equals(same)
            }
            _ => false,
        }
    }

    fn matches_newline(&self) -> bool {
        let newline = u32::from('\n');
        match &self.op {
            Op::Literal(text) => text.first() == Some(&newline),
            Op::Class(runes) => runes.contains(newline),
            Op::Any => true,
            _ => false,
        }
    }

    fn add_to(&self, runes: &mut Runes) {
        match &self.op {
            Op::Literal(text) => {
                for &rune in text {
                    let one = Runes::of(&[(rune, rune)]);
                    runes.add_all(&if self.folds() { one.folded() } else { one });
                }
            }
            Op::Class(more) => runes.add_all(more),
            _ => {}
        }
    }
}
