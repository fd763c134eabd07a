//! Builds structured filters (RFC 0005), and prints them: `and([eq(attr("env"), "prod"), exists(field("span", "kind"))])`.
//!
//! A `&str` as an operand is a constant without a declared type. Nothing is checked, so tests can build invalid filters.

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{
    AttributeReference, Call, Expression, FieldReference, List, NestedReference, Scalar,
};

/// The levels of attributes and fields.
pub const LEVELS: [&str; 5] = ["span", "resource", "scope", "event", "link"];

/// All operators.
pub const OPERATORS: [&str; 16] = [
    "and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in",
    "some", "phrase", "fulltext",
];

/// Every built-in field: its level and its name.
pub const FIELDS: [(&str, &str); 22] = [
    ("span", "traceID"),
    ("span", "spanID"),
    ("span", "parentSpanID"),
    ("span", "traceState"),
    ("span", "name"),
    ("span", "kind"),
    ("span", "startTime"),
    ("span", "endTime"),
    ("span", "duration"),
    ("span", "status"),
    ("span", "statusMessage"),
    ("resource", "service"),
    ("resource", "schemaURL"),
    ("scope", "name"),
    ("scope", "version"),
    ("scope", "schemaURL"),
    ("event", "name"),
    ("event", "time"),
    ("event", "timeSinceStart"),
    ("link", "traceID"),
    ("link", "spanID"),
    ("link", "traceState"),
];

/// Values that can be arguments of a call.
pub trait IntoArgument {
    /// Converts to the message.
    fn into_argument(self) -> Expression;
}

impl IntoArgument for Expression {
    fn into_argument(self) -> Expression {
        self
    }
}

impl IntoArgument for Call {
    fn into_argument(self) -> Expression {
        term(Term::Call(self))
    }
}

impl IntoArgument for &str {
    fn into_argument(self) -> Expression {
        untyped(self)
    }
}

fn term(term: Term) -> Expression {
    Expression { term: Some(term) }
}

/// An attribute of the span or of its resource.
pub fn attr(key: &str) -> Expression {
    attr_at("", key)
}

/// An attribute of one level.
pub fn attr_at(level: &str, key: &str) -> Expression {
    term(Term::Attr(AttributeReference {
        key: key.to_owned(),
        level: level.to_owned(),
    }))
}

/// A built-in field.
pub fn field(level: &str, name: &str) -> Expression {
    term(Term::Field(FieldReference {
        name: name.to_owned(),
        level: level.to_owned(),
    }))
}

/// The collection that `some` quantifies over.
pub fn nested(level: &str) -> Expression {
    term(Term::Nested(NestedReference {
        level: level.to_owned(),
    }))
}

/// An argument without a term.
pub fn nothing() -> Expression {
    Expression { term: None }
}

/// A constant without a declared type.
pub fn untyped(value: &str) -> Expression {
    typed("", value)
}

/// A constant of a type, in its wire form, which need not be valid.
pub fn typed(kind: &str, value: &str) -> Expression {
    term(Term::Scalar(Scalar {
        value: value.to_owned(),
        r#type: kind.to_owned(),
    }))
}

/// A string constant.
pub fn string(value: &str) -> Expression {
    typed("string", value)
}

/// An integer constant.
pub fn int(value: i64) -> Expression {
    typed("int", &value.to_string())
}

/// A floating-point constant.
pub fn double(value: f64) -> Expression {
    typed("double", &value.to_string())
}

/// A boolean constant.
pub fn boolean(value: bool) -> Expression {
    typed("bool", &value.to_string())
}

/// A list with a declared type of its elements; an empty `kind` declares none.
pub fn list<'a>(kind: &str, values: impl IntoIterator<Item = &'a str>) -> Expression {
    term(Term::List(List {
        values: values.into_iter().map(str::to_owned).collect(),
        r#type: kind.to_owned(),
    }))
}

/// Formats an instant as RFC 3339 in a zone `minutes_east` of Greenwich, with nine digits of fraction.
pub fn instant(nanos: u64, minutes_east: i64) -> String {
    let seconds = (nanos / 1_000_000_000).strict_add_signed(minutes_east * 60);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    let date = format!("{year:04}-{month:02}-{:02}", day + 1);
    let time = format!("{hour:02}:{minute:02}:{:02}", second % 60);
    let zone = match minutes_east {
        0 => "Z".to_owned(),
        east => {
            let sign = if east < 0 { '-' } else { '+' };
            let east = east.abs();
            format!("{sign}{:02}:{:02}", east / 60, east % 60)
        }
    };
    format!("{date}T{time}.{:09}{zone}", nanos % 1_000_000_000)
}

/// Any operator with any arguments.
pub fn call(op: &str, args: impl IntoIterator<Item = Expression>) -> Call {
    Call {
        op: op.to_owned(),
        args: args.into_iter().collect(),
    }
}

fn two(op: &str, left: impl IntoArgument, right: impl IntoArgument) -> Call {
    call(op, [left.into_argument(), right.into_argument()])
}

/// Conjunction.
pub fn and(predicates: impl IntoIterator<Item = Call>) -> Call {
    call("and", predicates.into_iter().map(Call::into_argument))
}

/// Disjunction.
pub fn or(predicates: impl IntoIterator<Item = Call>) -> Call {
    call("or", predicates.into_iter().map(Call::into_argument))
}

/// Negation.
pub fn not(predicate: Call) -> Call {
    call("not", [predicate.into_argument()])
}

/// The reference has a value.
pub fn exists(reference: Expression) -> Call {
    call("exists", [reference])
}

/// Equal.
pub fn eq(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("eq", left, right)
}

/// Present, and not equal.
pub fn ne(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("ne", left, right)
}

/// Greater.
pub fn gt(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("gt", left, right)
}

/// Less.
pub fn lt(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("lt", left, right)
}

/// Greater or equal.
pub fn gte(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("gte", left, right)
}

/// Less or equal.
pub fn lte(left: impl IntoArgument, right: impl IntoArgument) -> Call {
    two("lte", left, right)
}

/// Equal to an element of a list.
pub fn is_in(reference: impl IntoArgument, list: impl IntoArgument) -> Call {
    two("in", reference, list)
}

/// Equal to one of these values, parsed as a type or, if `kind` is empty, as what it is compared with.
pub fn in_list<'a>(
    reference: impl IntoArgument,
    kind: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> Call {
    is_in(reference, list(kind, values))
}

/// Present, and equal to no element of a list.
pub fn not_in(reference: impl IntoArgument, list: impl IntoArgument) -> Call {
    two("not_in", reference, list)
}

/// Text that contains a match of a pattern.
pub fn regex(reference: impl IntoArgument, pattern: impl IntoArgument) -> Call {
    two("regex", reference, pattern)
}

/// Text with these words side by side, in this order.
pub fn phrase<'a>(reference: impl IntoArgument, words: impl IntoIterator<Item = &'a str>) -> Call {
    two("phrase", reference, list("", words))
}

/// Text with all of these words, in any order.
pub fn fulltext<'a>(
    reference: impl IntoArgument,
    words: impl IntoIterator<Item = &'a str>,
) -> Call {
    two("fulltext", reference, list("", words))
}

/// An event, or a link, satisfies the predicate.
pub fn some(collection: &str, predicate: Call) -> Call {
    two("some", nested(collection), predicate)
}

/// Prints a filter as one line, similar to the code that builds it: `and(eq(attr env, "prod"), exists(span.kind))`.
pub fn text(call: &Call) -> String {
    let args: Vec<String> = call.args.iter().map(argument).collect();
    let op = if call.op.is_empty() { "?" } else { &call.op };
    format!("{op}({})", args.join(", "))
}

fn argument(argument: &Expression) -> String {
    match &argument.term {
        None => "nothing".to_owned(),
        Some(Term::Attr(attr)) if attr.level.is_empty() => format!("attr {}", attr.key),
        Some(Term::Attr(attr)) => format!("attr@{} {}", attr.level, attr.key),
        Some(Term::Field(field)) => format!("{}.{}", field.level, field.name),
        Some(Term::Nested(nested)) => nested.level.clone(),
        Some(Term::Scalar(scalar)) => format!("{}{:?}", prefix(&scalar.r#type), scalar.value),
        Some(Term::List(list)) => format!("{}{:?}", prefix(&list.r#type), list.values),
        Some(Term::Call(call)) => text(call),
    }
}

fn prefix(kind: &str) -> String {
    if kind.is_empty() {
        String::new()
    } else {
        format!("{kind} ")
    }
}
