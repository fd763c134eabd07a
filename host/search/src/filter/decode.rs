//! Decodes the message to a tree. Depth and size are checked before anything else reads it.

use larder_proto::expression::v1 as proto;
use larder_proto::expression::v1::expression::Term;
use larder_proto::wire;

use super::expression::{Call, Expression, Literal, ValueType};
use super::go::{self, quote};
use super::operator::Operator;

/// Maximum depth of nested calls, including the filter itself and `some` (RFC 0005).
const MAX_DEPTH: usize = 20;

/// Maximum number of calls in a filter. Each is evaluated for every span that is judged.
const MAX_CALLS: usize = 10_000;

fn too_deep() -> String {
    format!("filter nests calls more than {MAX_DEPTH} deep")
}

/// Decodes a filter to a tree.
///
/// # Errors
/// An argument without a term, a constant that is not of its declared type, too many calls, or too deep nesting.
pub(super) fn call(filter: proto::Call) -> Result<Call, String> {
    let mut calls = 0;
    nested(filter, 1, &mut calls)
}

fn nested(call: proto::Call, depth: usize, calls: &mut usize) -> Result<Call, String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    *calls += 1;
    if *calls > MAX_CALLS {
        return Err(format!(
            "filter has more than {MAX_CALLS} calls: ask with a list (in, not_in), or in several searches"
        ));
    }
    let args = call.args.into_iter().map(|arg| match arg.term {
        Some(Term::Attr(attr)) => Ok(Expression::Attribute {
            key: attr.key,
            level: attr.level,
        }),
        Some(Term::Field(field)) => Ok(Expression::Field {
            name: field.name,
            level: field.level,
        }),
        Some(Term::Nested(nested)) => Ok(Expression::Nested { level: nested.level }),
        Some(Term::Scalar(scalar)) => constant(scalar).map(Expression::Constant),
        Some(Term::List(list)) => Ok(Expression::List {
            values: list.values,
            declared: ValueType::parse(list.r#type),
        }),
        Some(Term::Call(call)) => nested(call, depth + 1, calls).map(Expression::Call),
        None => Err(
            "filter argument is empty: exactly one of attr, field, nested, scalar, list or call must be set"
                .to_owned(),
        ),
    });
    Ok(Call {
        args: args.collect::<Result<_, _>>()?,
        op: Operator::parse(&call.op).ok_or(call.op),
    })
}

fn constant(scalar: proto::Scalar) -> Result<Literal, String> {
    let proto::Scalar { value, r#type } = scalar;
    let declared = ValueType::parse(r#type).map_err(|unknown| {
        format!(
            "filter constant {} declares the unknown type {}",
            quote(&value),
            quote(&unknown)
        )
    })?;
    let Some(declared) = declared else {
        return Ok(Literal::Untyped(value));
    };
    let literal = match declared {
        ValueType::String => return Ok(Literal::Text(value)),
        ValueType::Int => go::parse_int(&value).ok().map(Literal::Int),
        ValueType::Double => go::parse_float(&value).ok().map(Literal::Double),
        ValueType::Bool => go::parse_bool(&value).ok().map(Literal::Bool),
    };
    literal.ok_or_else(|| {
        format!(
            "filter constant {} is not the {} it declares",
            quote(&value),
            quote(declared.word())
        )
    })
}

/// The error text if the filter in an encoded `Find…Request` nests too deep. For bytes that do not decode: protobuf limits the depth of
/// messages, and its decoder's error does not say why.
pub fn refusal_in(request: &[u8]) -> Option<String> {
    const QUERY: u32 = 1;
    /// Of `TraceQueryParameters` and of `SpanQueryParameters`. Nothing else under these numbers nests as a filter does.
    const FILTERS: [u32; 2] = [9, 3];
    each_field(request, QUERY, &mut |query| {
        FILTERS
            .into_iter()
            .any(|filter| each_field(query, filter, &mut |filter| exceeds(filter, 1)))
    })
    .then(too_deep)
}

fn exceeds(call: &[u8], depth: usize) -> bool {
    const ARGS: u32 = 2;
    const CALL: u32 = 6;
    depth > MAX_DEPTH
        || each_field(call, ARGS, &mut |argument| {
            each_field(argument, CALL, &mut |call| exceeds(call, depth + 1))
        })
}

/// Returns `true` if `test` does for one of the fields of this number, as far as the bytes can be read.
fn each_field(message: &[u8], number: u32, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    wire::Fields::new(message)
        .map_while(Result::ok)
        .filter(|field| field.number == number)
        .filter_map(|field| field.bytes().ok())
        .any(test)
}
