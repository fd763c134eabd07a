//! A predicate on one span, with its resource and scope: the tree that every kind of query becomes.
//!
//! Legacy fields are one front end (`legacy`), structured filters (RFC 0005) another (`filter`). `plan` and `judge` know only
//! predicates. This module knows neither the wire nor a plugin.

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;

use super::filter::pattern::Pattern;
use super::value::{Comparison, Members, Reference};
use super::words::WordQuery;

/// A predicate on one span. A trace matches if one of its spans satisfies the whole tree (Q3).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    /// All hold; without any, always true.
    And(Vec<Predicate>),
    /// One holds; without any, never true.
    Or(Vec<Predicate>),
    /// The other does not hold.
    Not(Box<Predicate>),
    /// One of the span's events, or links, satisfies it (V5).
    Some(Collection, Box<Predicate>),
    /// One fact holds.
    Leaf(Leaf),
}

/// A collection of a span of which one element may satisfy a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Events,
    Links,
}

/// A span that a predicate is judged on, in short or full form.
pub(crate) trait Subject {
    /// The event and the link that the leaves within a `Some` refer to.
    type Bound: Default;
    /// The error of a span that cannot be judged.
    type Error;

    /// Judges one fact.
    fn leaf(&self, leaf: &Leaf, bound: &Self::Bound) -> Result<Verdict, Self::Error>;

    /// Judges whether one element of the collection satisfies the predicate.
    fn some(
        &self,
        collection: Collection,
        predicate: &Predicate,
        bound: &Self::Bound,
    ) -> Result<Verdict, Self::Error>;
}

/// One fact of a span, its resource or its scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Leaf {
    /// The resource's service is this (Q4).
    Service(String),
    /// The span's name is this (Q5).
    SpanName(String),
    /// The span's kind is this (Q12).
    Kind(SpanKind),
    /// The span's status is this (Q10, Q11).
    Status(StatusCode),
    /// The span starts within this range (Q6).
    Start(Range),
    /// The span's end less its start, which may be negative, is within this range (Q7).
    Duration(Range),
    /// The scope's name is this; an absent scope counts as "" (Q13).
    ScopeName(String),
    /// The scope's version is this; an absent scope counts as "" (Q13).
    ScopeVersion(String),
    /// At one of the levels there is an attribute of this key with this string form (Q8, Q9, Q14). Of attributes that
    /// repeat a key in one place the first counts, as for Jaeger.
    Attribute {
        levels: Levels,
        key: String,
        form: String,
    },
    /// The reference has a value (V11).
    Exists(Reference),
    /// Two values compare so (V4 to V9).
    Compare(Comparison),
    /// A value of the reference is one of these (V13).
    In(Reference, Members),
    /// A text of the reference has a match of the pattern (V12).
    Regex(Reference, Pattern),
    /// One text of the reference has these words (V16).
    Words(Reference, WordQuery),
}

/// Nanoseconds, both ends included; wide enough for any timestamp or duration of the wire, and for their differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: i128,
    pub(crate) max: i128,
}

/// A set of levels at which to look for an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Levels(u8);

/// The result of judging a predicate. By their order, "and" is the minimum of its parts and "or" the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It does not hold.
    No,
    /// The subject has too little data to tell.
    Unknown,
    /// It holds.
    Yes,
}

// === impl Predicate ===

impl Predicate {
    /// The predicate that nothing satisfies.
    pub(crate) const NEVER: Self = Self::Or(Vec::new());

    /// The predicate that everything satisfies.
    pub(crate) const ALWAYS: Self = Self::And(Vec::new());

    /// Judges the predicate on a subject. Evaluates facts in the order of the tree, and no more than needed.
    pub(crate) fn judge<S: Subject>(
        &self,
        subject: &S,
        bound: &S::Bound,
    ) -> Result<Verdict, S::Error> {
        match self {
            Self::And(parts) => {
                let mut verdict = Verdict::Yes;
                for part in parts {
                    verdict = verdict.min(part.judge(subject, bound)?);
                    if verdict == Verdict::No {
                        break;
                    }
                }
                Ok(verdict)
            }
            Self::Or(parts) => {
                let mut verdict = Verdict::No;
                for part in parts {
                    verdict = verdict.max(part.judge(subject, bound)?);
                    if verdict == Verdict::Yes {
                        break;
                    }
                }
                Ok(verdict)
            }
            Self::Not(part) => Ok(part.judge(subject, bound)?.not()),
            Self::Some(collection, inner) => subject.some(*collection, inner, bound),
            Self::Leaf(fact) => subject.leaf(fact, bound),
        }
    }

    /// Returns `true` if `test` does for every leaf and no leaf is within a `Some`.
    pub(crate) fn all_leaves(&self, test: &impl Fn(&Leaf) -> bool) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().all(|part| part.all_leaves(test)),
            Self::Not(part) => part.all_leaves(test),
            Self::Some(..) => false,
            Self::Leaf(leaf) => test(leaf),
        }
    }
}

impl From<Leaf> for Predicate {
    fn from(leaf: Leaf) -> Self {
        Self::Leaf(leaf)
    }
}

// === impl Range ===

impl Range {
    /// Every number.
    pub(crate) const ALL: Self = Self {
        min: i128::MIN,
        max: i128::MAX,
    };

    /// Returns `true` if `value` is in the range.
    pub(crate) fn contains(self, value: i128) -> bool {
        self.min <= value && value <= self.max
    }

    /// Returns `true` if the range contains no number.
    pub(crate) fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// The numbers in both.
    pub(crate) fn intersection(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    /// The smallest range that holds both.
    pub(crate) fn hull(self, other: Self) -> Self {
        if self.is_empty() {
            other
        } else if other.is_empty() {
            self
        } else {
            Self {
                min: self.min.min(other.min),
                max: self.max.max(other.max),
            }
        }
    }
}

// === impl Levels ===

impl Levels {
    /// Every level.
    pub(crate) const ALL: Self = Self((1 << Level::ALL.len()) - 1);

    /// This level alone.
    pub(crate) fn one(level: Level) -> Self {
        Self(1 << level as u8)
    }

    /// The levels of both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns `true` if the level is in the set.
    pub(crate) fn contains(self, level: Level) -> bool {
        self.0 & (1 << level as u8) != 0
    }

    /// The levels of the set, in the order of their numbers.
    pub(crate) fn iter(self) -> impl Iterator<Item = Level> {
        Level::ALL
            .into_iter()
            .filter(move |level| self.contains(*level))
    }
}

// === impl Verdict ===

impl Verdict {
    /// The opposite; what is unknown stays so.
    pub(crate) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// Decides span names by their text, and records the names that were asked for.
    #[derive(Default)]
    struct Named(RefCell<Vec<String>>);

    impl Subject for Named {
        type Bound = ();
        type Error = Infallible;

        fn leaf(&self, leaf: &Leaf, (): &()) -> Result<Verdict, Infallible> {
            let Leaf::SpanName(name) = leaf else {
                return Ok(Verdict::Unknown);
            };
            self.0.borrow_mut().push(name.clone());
            Ok(match name.as_str() {
                "yes" => Verdict::Yes,
                "no" => Verdict::No,
                _ => Verdict::Unknown,
            })
        }

        fn some(
            &self,
            _: Collection,
            predicate: &Predicate,
            bound: &(),
        ) -> Result<Verdict, Infallible> {
            predicate.judge(self, bound)
        }
    }

    fn leaf(name: &str) -> Predicate {
        Leaf::SpanName(name.to_owned()).into()
    }

    fn check(predicate: &Predicate, expected: Verdict, asked: &[&str]) {
        let named = Named::default();
        let verdict = predicate.judge(&named, &());
        assert_eq!(verdict, Ok(expected), "{predicate:?}");
        assert_eq!(named.0.into_inner(), asked, "{predicate:?}");
    }

    #[test]
    fn a_conjunction_stops_at_the_first_part_that_fails() {
        let parts = vec![leaf("yes"), leaf("maybe"), leaf("no"), leaf("yes")];
        check(&Predicate::And(parts), Verdict::No, &["yes", "maybe", "no"]);
        check(
            &Predicate::And(vec![leaf("maybe"), leaf("yes")]),
            Verdict::Unknown,
            &["maybe", "yes"],
        );
        check(&Predicate::And(Vec::new()), Verdict::Yes, &[]);
    }

    #[test]
    fn a_disjunction_stops_at_the_first_part_that_holds() {
        let parts = vec![leaf("no"), leaf("maybe"), leaf("yes"), leaf("no")];
        check(&Predicate::Or(parts), Verdict::Yes, &["no", "maybe", "yes"]);
        check(
            &Predicate::Or(vec![leaf("maybe"), leaf("no")]),
            Verdict::Unknown,
            &["maybe", "no"],
        );
        check(&Predicate::NEVER, Verdict::No, &[]);
    }

    #[test]
    fn a_negation_of_the_unknown_is_unknown() {
        for (name, expected) in [
            ("yes", Verdict::No),
            ("no", Verdict::Yes),
            ("maybe", Verdict::Unknown),
        ] {
            check(&Predicate::Not(Box::new(leaf(name))), expected, &[name]);
        }
    }

    #[test]
    fn a_hull_ignores_an_empty_range() {
        let empty = Range { min: 5, max: 1 };
        let some = Range { min: 2, max: 3 };
        assert_eq!(empty.hull(some), some);
        assert_eq!(some.hull(empty), some);
        assert_eq!(
            some.hull(Range { min: 7, max: 9 }),
            Range { min: 2, max: 9 }
        );
    }

    #[test]
    fn a_set_of_levels_lists_what_it_contains() {
        assert_eq!(Levels::ALL.iter().collect::<Vec<_>>(), Level::ALL);
        let resource = Levels::one(Level::Resource);
        assert_eq!(resource.iter().collect::<Vec<_>>(), [Level::Resource]);
        assert!(!resource.contains(Level::Span));
    }
}
