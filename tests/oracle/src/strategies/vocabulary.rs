//! The vocabulary that spans and filters share, so that they often match: values that are equal, close, or equal in one reading.

use super::Place;
use crate::filter::instant;
use crate::otlp::hex;

/// The greatest offset of a start.
pub const LATEST: u64 = 12;

/// Keys of attributes. The last ones mean something else in a query, or without a level.
pub(crate) const KEYS: [&str; 15] = [
    "k",
    "k",
    "k",
    "k",
    "k",
    "l",
    "l",
    "l",
    "error",
    "span.kind",
    "span.status",
    "scope.name",
    "scope.version",
    "resource.k",
    "service.name",
];

/// Events, and instants in queries, are relative to a time this many nanoseconds earlier.
pub(crate) const EARLIER: u64 = 10;

/// Spans are numbered from 1 to this.
pub(crate) const SPANS: u64 = 5;
/// Traces are numbered from 1 to this.
pub const TRACES: u64 = 6;

pub(crate) const NAMES: [&str; 8] = ["x", "X", "GET /", "", "lib", "2", "server", "é"];
pub(crate) const VERSIONS: [&str; 3] = ["", "1.5", "2"];
pub(crate) const SCHEMAS: [&str; 3] = ["", "s/1", "s/2"];
pub(crate) const STATES: [&str; 3] = ["", "a=1", "x"];
pub(crate) const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];
pub(crate) const STATUSES: [&str; 3] = ["unset", "ok", "error"];

pub(crate) const INTS: [i64; 13] = [
    0,
    1,
    -1,
    2,
    500,
    5,
    1 << 53,
    (1 << 53) + 1,
    (1 << 53) - 1,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];

pub(crate) const DOUBLES: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    0.5,
    1.5,
    500.0,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9_007_199_254_740_991.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    9_223_372_036_854_774_784.0,
    1e19,
    -1e19,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
];

/// Texts, many of which parse as a number or a boolean in some notation.
pub(crate) const TEXTS: [&str; 68] = [
    "0",
    "1",
    "-1",
    "2",
    "500",
    "5",
    "1.0",
    "1.5",
    "500.0",
    "0.5",
    "+1",
    "01",
    "-0",
    "-0.0",
    "1e0",
    "5e2",
    "5E+2",
    ".5",
    "5.",
    ".",
    "1_000",
    "5_00",
    "5__0",
    "_1",
    "1_",
    "0x10",
    "0x1p0",
    "0x1.8p0",
    "0X.8P1",
    "0x_1p0",
    "0x1p",
    "0b1",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "Inf",
    "+inf",
    "-Infinity",
    "infinity",
    "infin",
    "nan",
    "NaN",
    "-nan",
    "+NaN",
    " 1",
    "1 ",
    "1e",
    "+",
    "true",
    "True",
    "TRUE",
    "tRUE",
    "t",
    "F",
    "false",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9007199254740991",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "1e19",
    "x",
    "",
    "é",
];

/// Texts of several words, in few of the ways to write them.
pub(crate) const SENTENCES: [&str; 9] = [
    "x 1 true",
    "X, x=1;TRUE",
    "1 1 x",
    "x\t\n1.0",
    "x 1 x 1 true",
    "é X e\u{301}",
    "É\u{2003}x",
    "x1 x_1 x-true",
    "(x) \u{1F600}1",
];

/// Words that filters ask for.
pub(crate) const WORDS: [&str; 13] = [
    "x", "x", "X", "1", "1", "true", "TRUE", "0", "500", "é", "e\u{301}", "server", "Lib",
];

/// Texts of constants with a declared integer type.
pub(crate) const INT_TEXTS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "2",
    "500",
    "+1",
    "01",
    "-0",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "5",
];

/// Texts of constants with a declared floating-point type.
pub(crate) const DOUBLE_TEXTS: [&str; 22] = [
    "0",
    "-0",
    "1",
    "1.5",
    "500",
    "0.5",
    "1e0",
    "5_00",
    "0x1p0",
    "0x1.8p0",
    "9007199254740992",
    "9007199254740993",
    "9007199254740994",
    "9223372036854775807",
    "1e19",
    "-1e19",
    "nan",
    "Inf",
    "-infinity",
    "5e-324",
    "1e-400",
    "2",
];

/// Texts of constants with a declared boolean type.
pub(crate) const TRUTH_TEXTS: [&str; 6] = ["true", "false", "1", "0", "T", "f"];

pub(crate) const DURATIONS: [&str; 17] = [
    "0",
    "0s",
    "1ns",
    "+2ns",
    "3ns",
    "-1ns",
    "-2ns",
    "0.003us",
    "3.9ns",
    "5ns",
    "1.5ms",
    "1500us",
    "1500µs",
    "1h30m",
    "1ms500us",
    "-1h",
    "0.0000015s",
];

/// Durations of spans, in nanoseconds.
pub(crate) const LENGTHS: [i64; 10] = [0, 1, 2, 3, 5, -1, -2, 8, 1_500, 1_500_000];

/// Replaces placeholders: `@` and a letter stand for an instant or for the id of a trace.
pub(crate) fn localised(text: &str, place: Place) -> String {
    let Some((letter, number)) = text
        .strip_prefix('@')
        .and_then(|rest| rest.split_at_checked(1))
    else {
        return text.to_owned();
    };
    let number: u64 = number.parse().expect("a number");
    let nanos = || place.at(number) - EARLIER;
    match letter {
        "t" => hex(&place.trace(number)),
        "z" => instant(nanos(), 0),
        "e" => instant(nanos(), 120),
        "w" => instant(nanos(), -570),
        letter => panic!("@{letter} stands for nothing"),
    }
}
