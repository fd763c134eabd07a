//! Attribute values as text. Jaeger compares attributes by this string form (Q8).
//!
//! The forms are those of `AsString` in the `OpenTelemetry` collector's pdata 1.61, which Jaeger of August 2026 uses.

use std::collections::BTreeMap;
use std::io::Write;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use larder_proto::otlp::{AnyValue, entries, values};
use larder_proto::wire;

/// Returns `true` if the value's string form has a term. Arrays and maps have none: a search asks for their key instead.
pub fn is_scalar(value: &AnyValue<'_>) -> bool {
    !matches!(value, AnyValue::Array(_) | AnyValue::KvList(_))
}

/// Appends the string form of a value; no value at all has the form "".
///
/// - Text as it is; `true` and `false`; integers in base 10; bytes in standard base64.
/// - Floating-point numbers with the fewest digits that read back the same, in the notation of ES6: positional from 1e-6 up to
///   1e21, otherwise as in `1.5e-9` and `1e+21`; `NaN`, `Infinity`, `-Infinity`, `-0`.
/// - Arrays and maps as Go's JSON: keys sorted and the last one winning, bytes as base64 and empty bytes as `null`, no value as
///   `null`, nothing escaped for HTML; "" when a number in them is not finite, as JSON has none such.
pub fn write(value: &AnyValue<'_>, out: &mut Vec<u8>) {
    match value {
        AnyValue::String(text) => out.extend_from_slice(text),
        AnyValue::Bool(value) => write_bool(*value, out),
        AnyValue::Int(value) => write_display(value, out),
        AnyValue::Double(value) => write_double(*value, out),
        AnyValue::Bytes(bytes) => write_base64(bytes, out),
        AnyValue::Array(_) | AnyValue::KvList(_) => {
            let start = out.len();
            if write_json(Some(value), MAX_DEPTH, out).is_err() {
                out.truncate(start);
            }
        }
    }
}

/// Maximum nesting depth of JSON; the same as that of the wire format.
const MAX_DEPTH: u32 = wire::DEPTH;

/// Error for a value that JSON cannot represent.
struct NotJson;

fn write_display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    #[expect(clippy::expect_used, reason = "a vector takes all that is written")]
    write!(out, "{value}").expect("invariant: writing to a vector does not fail");
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let mut encoder = EncoderWriter::new(out, &STANDARD);
    #[expect(clippy::expect_used, reason = "a vector takes all that is written")]
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish().map(drop))
        .expect("invariant: writing to a vector does not fail");
}

fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let size = value.abs();
    if size.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    if size == 0.0 {
        return out.push(b'0');
    }
    let digits = Digits::of(size);
    if (1e-6..1e21).contains(&size) {
        digits.write_positional(out);
    } else {
        let (first, others) = digits.as_str().split_at(1);
        let dot = if others.is_empty() { "" } else { "." };
        let exponent = digits.point - 1;
        write_display(format_args!("{first}{dot}{others}e{exponent:+}"), out);
    }
}

/// The shortest digits that parse to the same number, which is 0.DIGITS times ten to the power of `point`.
///
/// Between two equally near candidates Go, ES6 and ryu choose the even one; Rust's own formatting chooses the upper one.
struct Digits {
    /// No number needs more than 17 digits.
    bytes: [u8; 24],
    len: usize,
    point: i32,
}

impl Digits {
    /// The digits of a positive, finite number.
    fn of(size: f64) -> Self {
        let mut this = Self {
            bytes: [0; 24],
            len: 0,
            point: 0,
        };
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(size);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut in_fraction = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => in_fraction = true,
                // Leading zeros only move the point.
                b'0' if this.len == 0 => this.point -= i32::from(in_fraction),
                digit => {
                    if let Some(next) = this.bytes.get_mut(this.len) {
                        *next = digit;
                        this.len += 1;
                    }
                    this.point += i32::from(!in_fraction);
                }
            }
        }
        this.point += exponent.parse::<i32>().unwrap_or_default();
        while this.len > 1 && this.bytes.get(this.len - 1) == Some(&b'0') {
            this.len -= 1;
        }
        this
    }

    fn as_str(&self) -> &str {
        let digits = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(digits).unwrap_or_default()
    }

    fn write_positional(&self, out: &mut Vec<u8>) {
        let digits = self.as_str();
        let zeros = |count: usize, out: &mut Vec<u8>| out.resize(out.len() + count, b'0');
        let Ok(whole) = usize::try_from(self.point) else {
            out.extend_from_slice(b"0.");
            zeros(self.point.unsigned_abs() as usize, out);
            return out.extend_from_slice(digits.as_bytes());
        };
        match digits.split_at_checked(whole) {
            Some((_, "")) | None => {
                out.extend_from_slice(digits.as_bytes());
                zeros(whole - digits.len(), out);
            }
            Some((before, after)) => {
                let before = if before.is_empty() { "0" } else { before };
                write_display(format_args!("{before}.{after}"), out);
            }
        }
    }
}

fn write_json(value: Option<&AnyValue<'_>>, depth: u32, out: &mut Vec<u8>) -> Result<(), NotJson> {
    let depth = depth.checked_sub(1).ok_or(NotJson)?;
    match value {
        // pdata decodes empty bytes to Go's nil slice.
        None | Some(AnyValue::Bytes([])) => out.extend_from_slice(b"null"),
        Some(AnyValue::String(text)) => write_json_string(text, out),
        Some(AnyValue::Bool(value)) => write_bool(*value, out),
        Some(AnyValue::Int(value)) => write_display(value, out),
        Some(AnyValue::Double(value)) if value.is_finite() => write_double(*value, out),
        Some(AnyValue::Double(_)) => return Err(NotJson),
        Some(AnyValue::Bytes(bytes)) => {
            out.push(b'"');
            write_base64(bytes, out);
            out.push(b'"');
        }
        Some(AnyValue::Array(array)) => {
            out.push(b'[');
            for (position, value) in values(array).enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_json(value.map_err(|_| NotJson)?.as_ref(), depth, out)?;
            }
            out.push(b']');
        }
        Some(AnyValue::KvList(list)) => {
            let mut sorted = BTreeMap::new();
            for entry in entries(list) {
                let entry = entry.map_err(|_| NotJson)?;
                sorted.insert(entry.key, entry.value);
            }
            out.push(b'{');
            for (position, (key, value)) in sorted.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_json_string(key, out);
                out.push(b':');
                write_json(value.as_ref(), depth, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Writes a string like Go's JSON encoder: control characters, the quote, the backslash and the two line separators are escaped.
fn write_json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    write_display(format_args!("\\u{:04x}", u32::from(character)), out);
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue as Sent, ArrayValue, KeyValue, KeyValueList,
    };
    use prost::Message;

    use super::*;

    fn form(value: Value) -> String {
        let sent = Sent { value: Some(value) }.encode_to_vec();
        let mut out = b"before ".to_vec();
        write(&AnyValue::parse(&sent).unwrap().unwrap(), &mut out);
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("before ")
            .unwrap()
            .to_owned()
    }

    fn array<const N: usize>(values: [Option<Value>; N]) -> Value {
        let values = values.into_iter().map(|value| Sent { value }).collect();
        Value::ArrayValue(ArrayValue { values })
    }

    fn map<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
        let values = entries
            .into_iter()
            .map(|(key, value)| KeyValue {
                key: key.to_owned(),
                value: Some(Sent { value }),
                ..KeyValue::default()
            })
            .collect();
        Value::KvlistValue(KeyValueList { values })
    }

    fn text(text: &str) -> Value {
        Value::StringValue(text.to_owned())
    }

    #[test]
    fn simple_values_are_written_plainly() {
        assert_eq!(form(text("")), "");
        assert_eq!(form(text("a \"b\" <é>\n")), "a \"b\" <é>\n");
        assert_eq!(form(Value::BoolValue(true)), "true");
        assert_eq!(form(Value::BoolValue(false)), "false");
        assert_eq!(form(Value::IntValue(0)), "0");
        assert_eq!(form(Value::IntValue(i64::MIN)), "-9223372036854775808");
        assert_eq!(form(Value::IntValue(123)), "123");
    }

    /// The results of `AsString` of pdata 1.61, for a value alone and in an array.
    #[test]
    fn doubles_are_written_as_go_and_es6_do() {
        for (value, alone, in_array) in [
            (0.0, "0", "[0]"),
            (-0.0, "-0", "[-0]"),
            (1.0, "1", "[1]"),
            (-1.5, "-1.5", "[-1.5]"),
            (72.5, "72.5", "[72.5]"),
            (0.1 + 0.2, "0.30000000000000004", "[0.30000000000000004]"),
            (1e-6, "0.000001", "[0.000001]"),
            (9.99e-7, "9.99e-7", "[9.99e-7]"),
            (1e-7, "1e-7", "[1e-7]"),
            (1.5e-9, "1.5e-9", "[1.5e-9]"),
            (-2.5e-10, "-2.5e-10", "[-2.5e-10]"),
            (1e-100, "1e-100", "[1e-100]"),
            (1e20, "100000000000000000000", "[100000000000000000000]"),
            (
                123_456_789_012_345_680_000.0,
                "123456789012345680000",
                "[123456789012345680000]",
            ),
            (1e21, "1e+21", "[1e+21]"),
            (1.5e300, "1.5e+300", "[1.5e+300]"),
            (5e-324, "5e-324", "[5e-324]"),
            (
                f64::MAX,
                "1.7976931348623157e+308",
                "[1.7976931348623157e+308]",
            ),
            (
                9_007_199_254_740_992.0,
                "9007199254740992",
                "[9007199254740992]",
            ),
            (
                1_000_000_000_000_000.2,
                "1000000000000000.2",
                "[1000000000000000.2]",
            ),
            (f64::NAN, "NaN", ""),
            (f64::INFINITY, "Infinity", ""),
            (f64::NEG_INFINITY, "-Infinity", ""),
        ] {
            assert_eq!(form(Value::DoubleValue(value)), alone);
            assert_eq!(form(array([Some(Value::DoubleValue(value))])), in_array);
        }
    }

    #[test]
    fn bytes_are_written_in_base64() {
        for (bytes, alone, inside) in [
            (&b""[..], "", "null"),
            (b"\0", "AA==", "\"AA==\""),
            (b"\x01\x02", "AQI=", "\"AQI=\""),
            (b"\x01\x02\x03", "AQID", "\"AQID\""),
            (b"\xfb\xff\xfe", "+//+", "\"+//+\""),
        ] {
            let value = Value::BytesValue(bytes.to_vec());
            assert_eq!(form(value.clone()), alone);
            assert_eq!(form(array([Some(value.clone())])), format!("[{inside}]"));
            assert_eq!(
                form(map([("k", Some(value))])),
                format!("{{\"k\":{inside}}}")
            );
        }
    }

    #[test]
    fn strings_in_json_are_escaped_as_go_does() {
        for (sent, written) in [
            ("", r#""""#),
            ("<&>", r#""<&>""#),
            ("\"\\/", r#""\"\\/""#),
            (
                "\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}",
                "\"\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\"",
            ),
            ("\u{2028}\u{2029}é😀", "\"\\u2028\\u2029é😀\""),
        ] {
            assert_eq!(form(array([Some(text(sent))])), format!("[{written}]"));
            assert_eq!(
                form(map([(sent, Some(text("v")))])),
                format!("{{{written}:\"v\"}}")
            );
        }
        let mut out = Vec::new();
        write_json_string(b"\xff\xc3a", &mut out);
        assert_eq!(out, br#""\ufffd\ufffda""#);
    }

    #[test]
    fn arrays_and_maps_are_written_as_sorted_json() {
        assert_eq!(form(array([])), "[]");
        assert_eq!(form(map([])), "{}");
        assert_eq!(
            form(array([
                None,
                Some(Value::BoolValue(true)),
                Some(Value::IntValue(i64::MIN)),
                Some(array([])),
                Some(map([])),
            ])),
            "[null,true,-9223372036854775808,[],{}]"
        );
        assert_eq!(
            form(map([
                ("b", Some(text("1"))),
                ("a", None),
                ("é", Some(array([]))),
                ("B", Some(Value::IntValue(3))),
                ("aa", Some(map([("z", Some(text("y")))]))),
            ])),
            r#"{"B":3,"a":null,"aa":{"z":"y"},"b":"1","é":[]}"#
        );
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        let twice = map([("a", Some(text("1"))), ("a", Some(text("2")))]);
        assert_eq!(form(twice), r#"{"a":"2"}"#);
    }

    #[test]
    fn json_of_what_is_too_deep_or_broken_is_empty() {
        let mut nested = Vec::new();
        for _ in 0..200 {
            let value = [&[0x2a], &length(nested.len())[..], &nested].concat();
            nested = [&[0x0a], &length(value.len())[..], &value].concat();
        }
        for broken in [
            AnyValue::Array(nested.into()),
            AnyValue::Array(b"\x0a".into()),
            AnyValue::KvList(b"\x0a\x01\x0c".into()),
        ] {
            let mut out = b"before".to_vec();
            write(&broken, &mut out);
            assert_eq!(out, b"before");
        }
    }

    fn length(length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encode_length_delimiter(length, &mut out).unwrap();
        out
    }

    #[test]
    fn only_arrays_and_maps_are_no_scalars() {
        assert!(is_scalar(&AnyValue::String(b"")));
        assert!(is_scalar(&AnyValue::Bytes(b"")));
        assert!(is_scalar(&AnyValue::Double(0.5)));
        assert!(!is_scalar(&AnyValue::Array(b"".into())));
        assert!(!is_scalar(&AnyValue::KvList(b"".into())));
    }
}
