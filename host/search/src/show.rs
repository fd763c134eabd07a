//! Predicates as text, in the words of filters.

use std::fmt;

use larder_model::storage::StatusCode;

use super::filter::{kind_word, level_word, status_word};
use super::predicate::{Collection, Leaf, Levels, Predicate, Range};
use super::value::{Constant, Members, Operand, Reference};

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) if parts.is_empty() => f.write_str("anything"),
            Self::Or(parts) if parts.is_empty() => f.write_str("nothing"),
            Self::And(_) => f.write_str("and"),
            Self::Or(_) => f.write_str("or"),
            Self::Not(_) => f.write_str("not"),
            Self::Some(Collection::Events, _) => f.write_str("some event"),
            Self::Some(Collection::Links, _) => f.write_str("some link"),
            Self::Leaf(leaf) => leaf.fmt(f),
        }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "resource.service eq {name:?}"),
            Self::SpanName(name) => write!(f, "span.name eq {name:?}"),
            Self::Kind(kind) => write!(f, "span.kind eq {:?}", kind_word(*kind)),
            Self::Status(status) => write!(f, "span.status eq {:?}", status_word(*status)),
            Self::Start(range) => write!(f, "span.startTime in {range}"),
            Self::Duration(range) => write!(f, "span.duration in {range}"),
            Self::ScopeName(name) => write!(f, "scope.name eq {name:?}"),
            Self::ScopeVersion(version) => write!(f, "scope.version eq {version:?}"),
            Self::Attribute { levels, key, form } => {
                write!(f, "attribute {key:?} of {levels} as text eq {form:?}")
            }
            Self::Exists(reference) => write!(f, "exists {reference}"),
            Self::Compare(comparison) => {
                let relation = comparison.relation.name();
                write!(f, "{} {relation} {}", comparison.left, comparison.right)
            }
            Self::In(reference, members) => write!(f, "{reference} in {members}"),
            Self::Regex(reference, pattern) => {
                write!(f, "{reference} regex {:?}", pattern.as_str())
            }
            Self::Words(reference, query) => write!(f, "{reference} {query}"),
        }
    }
}

/// Nanoseconds.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        if self.min > Self::ALL.min {
            write!(f, "{}", self.min)?;
        }
        f.write_str(", ")?;
        if self.max < Self::ALL.max {
            write!(f, "{}", self.max)?;
        }
        f.write_str("] ns")
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("any level");
        }
        for (place, level) in self.iter().enumerate() {
            let word = level_word(level);
            write!(f, "{}{word}", if place == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Attribute { levels, key } => write!(f, "attribute {key:?} of {levels}"),
            Self::Error => write!(
                f,
                "whether span.status is {:?}",
                status_word(StatusCode::Error)
            ),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Constant(Constant::Text(text)) => write!(f, "{text:?}"),
            Self::Constant(Constant::Int(int)) => write!(f, "int {int}"),
            Self::Constant(Constant::Double(double)) => write!(f, "double {double}"),
            Self::Constant(Constant::Bool(bool)) => write!(f, "{bool}"),
            Self::Constant(Constant::Untyped(untyped)) => {
                write!(f, "{:?} of any type", untyped.text)
            }
        }
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(texts) => write!(f, "a list of {} texts", texts.len()),
            Self::Int(ints) => write!(f, "a list of {} integers", ints.len()),
            Self::Double(doubles) => write!(f, "a list of {} doubles", doubles.len()),
            Self::Bool(_) => f.write_str("a list of bools"),
            Self::Untyped(all) => {
                write!(f, "a list of {} values of any type", all.texts.len())
            }
        }
    }
}
