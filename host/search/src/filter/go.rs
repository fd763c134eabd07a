//! Go's parsing and quoting of texts, as a filter's constants and error messages need them.

use std::fmt::{self, Write as _};

mod duration;
mod float;
mod time;

pub use duration::parse_duration;
pub(crate) use float::parse_float;
pub use time::parse_time;

/// An error of Go's `strconv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotRead {
    function: &'static str,
    text: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Syntax,
    Range,
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self.cause {
            Cause::Syntax => "invalid syntax",
            Cause::Range => "value out of range",
        };
        write!(
            f,
            "strconv.{}: parsing {}: {cause}",
            self.function,
            quote(&self.text)
        )
    }
}

/// `ParseInt` to base 10 and 64 bits.
pub(crate) fn parse_int(text: &str) -> Result<i64, NotRead> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().map_err(|_| NotRead {
        function: "ParseInt",
        text: text.to_owned(),
        cause: if is_number {
            Cause::Range
        } else {
            Cause::Syntax
        },
    })
}

/// `ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, NotRead> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(NotRead {
            function: "ParseBool",
            text: text.to_owned(),
            cause: Cause::Syntax,
        }),
    }
}

/// Quotes a text as `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(char),
            '\0'..='\u{7f}' => push(&mut quoted, format_args!("\\x{:02x}", u32::from(char))),
            _ if is_printable(char) => quoted.push(char),
            '\u{80}'..='\u{ffff}' => push(&mut quoted, format_args!("\\u{:04x}", u32::from(char))),
            _ => push(&mut quoted, format_args!("\\U{:08x}", u32::from(char))),
        }
    }
    quoted.push('"');
    quoted
}

/// Quotes a text as errors of Go's `time` do: bytes beyond ASCII are escaped one by one.
fn quote_bytes(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            _ => push(&mut quoted, format_args!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

fn push(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(what);
}

/// Returns `true` for a printable character. In Go, combining marks are printable.
fn is_printable(char: char) -> bool {
    char.escape_debug().count() == 1 || !char.is_control() && !char.is_whitespace() && is_mark(char)
}

/// Rust escapes marks alone, for they would join with the quote before them.
fn is_mark(char: char) -> bool {
    format!("a{char}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_does() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\", r#""a\"b\\""#),
            (
                "\n\r\t\u{7}\u{8}\u{b}\u{c}\0\u{7f}",
                r#""\n\r\t\a\b\v\f\x00\x7f""#,
            ),
            ("é世🦀", "\"é世🦀\""),
            (
                "\u{a0}\u{85}\u{200b}\u{fffe}\u{e000}",
                r#""\u00a0\u0085\u200b\ufffe\ue000""#,
            ),
            ("\u{10ffff}\u{e0001}", r#""\U0010ffff\U000e0001""#),
            ("e\u{301}", "\"e\u{301}\""),
        ] {
            assert_eq!(quote(text), quoted, "{text:?}");
        }
    }

    #[test]
    fn integers_are_read_to_base_10() {
        assert_eq!(parse_int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_int("+007"), Ok(7));
        for (text, error) in [
            ("", r#"strconv.ParseInt: parsing "": invalid syntax"#),
            ("1_0", r#"strconv.ParseInt: parsing "1_0": invalid syntax"#),
            (" 1", r#"strconv.ParseInt: parsing " 1": invalid syntax"#),
            (
                "9223372036854775808",
                r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#,
            ),
        ] {
            assert_eq!(
                parse_int(text).map_err(|e| e.to_string()),
                Err(error.to_owned())
            );
        }
    }

    #[test]
    fn bools_are_the_words_of_go() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("0"), Ok(false));
        assert_eq!(
            parse_bool("yes").map_err(|e| e.to_string()),
            Err(r#"strconv.ParseBool: parsing "yes": invalid syntax"#.to_owned())
        );
    }
}
