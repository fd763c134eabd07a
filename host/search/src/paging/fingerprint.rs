//! What a page token is bound to: a hash of a query that is the same for queries of the same meaning.
//!
//! It is the hash of a canonical form. These make no difference: the order of the operands of `and` and `or` at any depth; the order of
//! a list, except of the words of `phrase`; the order of legacy attributes, and those that a later one of their key replaces (W3); an
//! absent time and the year 1, an absent and a zero duration (W1); the type `string` and none, beside a field and wherever only text is
//! taken. Nothing deeper is compared: `not(not(x))` is another query than x, and a constant of a filter is its text.

use larder_model::storage::Error;
use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{
    AttributeReference, Call, Expression, FieldReference, List, NestedReference, Scalar,
};
use larder_proto::storage::v2::{AnyValue, KeyValue, SpanQueryParameters, TraceQueryParameters};
use prost::Message as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::legacy::last_of_each_key;
use crate::time::{instant, length};

/// The first number of the form of each kind of search.
const TRACES: u64 = 1;
const SPANS: u64 = 2;

/// The bytes of a canonical form. Each part has a fixed length or is led by its length, so forms of different parts differ.
#[derive(Default)]
struct Form(Vec<u8>);

/// The fingerprint of a search for traces; the same for their ids and their summaries.
///
/// # Errors
/// `InvalidArgument` for a malformed time or duration.
pub(super) fn of_traces(parameters: &TraceQueryParameters) -> Result<u64, Error> {
    let TraceQueryParameters {
        service_name,
        operation_name,
        attributes,
        start_time_min,
        start_time_max,
        duration_min,
        duration_max,
        filter,
        // Beside pagination it is zero.
        search_depth: _,
        pagination: _,
    } = parameters;
    let mut form = Form::default();
    form.number(TRACES);
    form.text(service_name);
    form.text(operation_name);
    form.number(self::attributes(attributes));
    form.nanoseconds(instant("start_time_min", start_time_min.as_ref())?);
    form.nanoseconds(instant("start_time_max", start_time_max.as_ref())?);
    form.nanoseconds(length("duration_min", duration_min.as_ref())?);
    form.nanoseconds(length("duration_max", duration_max.as_ref())?);
    form.filter(filter.as_ref());
    Ok(form.hash())
}

/// The fingerprint of a search for spans in this effective ordering.
///
/// # Errors
/// `InvalidArgument` for a malformed time.
pub(super) fn of_spans(query: &SpanQueryParameters, ordering: &[u8]) -> Result<u64, Error> {
    let SpanQueryParameters {
        start_time_min,
        start_time_max,
        filter,
        // The effective ordering stands for it.
        order_by: _,
        pagination: _,
    } = query;
    let mut form = Form::default();
    form.number(SPANS);
    form.bytes(ordering);
    form.nanoseconds(instant("start_time_min", start_time_min.as_ref())?);
    form.nanoseconds(instant("start_time_max", start_time_max.as_ref())?);
    form.filter(filter.as_ref());
    Ok(form.hash())
}

fn attributes(attributes: &[KeyValue]) -> u64 {
    let mut kept = last_of_each_key(attributes);
    kept.sort_unstable_by_key(|(key, _)| *key);
    let mut form = Form::default();
    for (key, value) in kept {
        let value = Some(value.clone());
        form.text(key);
        form.bytes(&AnyValue { value }.encode_to_vec());
    }
    form.hash()
}

/// Operators are compared as words: one that is not known here keeps the order of its operands, and the types of its constants.
fn call(Call { op, args }: &Call) -> u64 {
    let is_field = |arg: &Expression| matches!(arg.term, Some(Term::Field(_)));
    // A constant of type string beside a field that holds no text is refused, so it cannot be taken for one without a type.
    let is_text =
        matches!(op.as_str(), "regex" | "phrase" | "fulltext") || args.iter().any(is_field);
    let is_set = matches!(op.as_str(), "in" | "not_in" | "fulltext");
    let operands = args.iter();
    let operands = operands.map(|arg| operand(arg.term.as_ref(), is_text, is_set));
    let mut operands: Vec<u64> = operands.collect();
    if matches!(op.as_str(), "and" | "or") {
        operands.sort_unstable();
    }
    let mut form = Form::default();
    form.text(op);
    for operand in operands {
        form.number(operand);
    }
    form.hash()
}

/// The hash of one argument. `is_text` says that its constants are read as text if they declare no type, `is_set` that the order of a
/// list does not count.
fn operand(term: Option<&Term>, is_text: bool, is_set: bool) -> u64 {
    let type_of = |declared: &str| match declared {
        "" if is_text => "string".to_owned(),
        declared => declared.to_owned(),
    };
    let mut form = Form::default();
    match term {
        None => form.number(0),
        Some(Term::Attr(AttributeReference { key, level })) => {
            form.number(1);
            form.text(key);
            form.text(level);
        }
        Some(Term::Field(FieldReference { name, level })) => {
            form.number(2);
            form.text(name);
            form.text(level);
        }
        Some(Term::Nested(NestedReference { level })) => {
            form.number(3);
            form.text(level);
        }
        Some(Term::Scalar(Scalar { value, r#type })) => {
            form.number(4);
            form.text(&type_of(r#type));
            form.text(value);
        }
        Some(Term::List(List { values, r#type })) => {
            let mut values: Vec<&String> = values.iter().collect();
            if is_set {
                values.sort_unstable();
            }
            form.number(5);
            form.text(&type_of(r#type));
            for value in values {
                form.text(value);
            }
        }
        Some(Term::Call(nested)) => {
            form.number(6);
            form.number(call(nested));
        }
    }
    form.hash()
}

// === impl Form ===

impl Form {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn nanoseconds(&mut self, nanoseconds: Option<i128>) {
        self.number(nanoseconds.is_some().into());
        self.0
            .extend_from_slice(&nanoseconds.unwrap_or_default().to_le_bytes());
    }

    fn filter(&mut self, filter: Option<&Call>) {
        self.number(filter.is_some().into());
        self.number(filter.map_or(0, call));
    }

    fn hash(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

#[cfg(test)]
mod tests;
