//! The parts of a filter, shortly written. Constants and lists are text unless they say otherwise.

use larder_proto::expression::v1 as filter;
use larder_proto::expression::v1::expression::Term;

/// An operator with its arguments.
pub(super) fn call<const N: usize>(op: &str, args: [Term; N]) -> filter::Call {
    filter::Call {
        op: op.to_owned(),
        args: args
            .into_iter()
            .map(|term| filter::Expression { term: Some(term) })
            .collect(),
    }
}

/// A call within a call.
pub(super) fn inner<const N: usize>(op: &str, args: [Term; N]) -> Term {
    Term::Call(call(op, args))
}

/// The attribute `key` of a level.
pub(super) fn attribute(level: &str, key: &str) -> Term {
    Term::Attr(filter::AttributeReference {
        key: key.to_owned(),
        level: level.to_owned(),
    })
}

/// The built-in field `name` of a level.
pub(super) fn field(level: &str, name: &str) -> Term {
    Term::Field(filter::FieldReference {
        name: name.to_owned(),
        level: level.to_owned(),
    })
}

/// What `some` goes through.
pub(super) fn each(level: &str) -> Term {
    Term::Nested(filter::NestedReference {
        level: level.to_owned(),
    })
}

pub(super) fn text(value: &str) -> Term {
    constant(value, "string")
}

pub(super) fn int(value: i64) -> Term {
    constant(&value.to_string(), "int")
}

/// A constant that the field beside it gives a type.
pub(super) fn untyped(value: &str) -> Term {
    constant(value, "")
}

fn constant(value: &str, declared: &str) -> Term {
    Term::Scalar(filter::Scalar {
        value: value.to_owned(),
        r#type: declared.to_owned(),
    })
}

pub(super) fn texts(values: impl Iterator<Item = String>) -> Term {
    Term::List(filter::List {
        values: values.collect(),
        r#type: "string".to_owned(),
    })
}
