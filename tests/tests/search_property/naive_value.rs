//! The string form of a value (Q8), once more and simply.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

/// What two values are compared by.
pub(crate) fn string_form(value: &AnyValue) -> String {
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => double(*number),
        Some(Value::BytesValue(bytes)) => base64(bytes),
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => json(value),
    }
}

/// As ECMAScript writes numbers, but with the sign of zero.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}Infinity");
    }
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three
            .iter()
            .fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        let group = group << (8 * (3 - three.len()));
        for place in 0..4 {
            let sextet = group >> (18 - 6 * place) & 63;
            let known = place <= three.len();
            text.push(if known {
                char::from(ALPHABET[sextet])
            } else {
                '='
            });
        }
    }
    text
}

/// As Go writes JSON: keys sorted, nothing escaped that JSON does not ask for.
fn json(value: &AnyValue) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => "null".to_owned(),
        Some(Value::BytesValue(bytes)) if bytes.is_empty() => "null".to_owned(),
        Some(Value::StringValue(text)) => quoted(text),
        Some(Value::BytesValue(bytes)) => quoted(&base64(bytes)),
        Some(Value::ArrayValue(array)) => {
            let items: Vec<String> = array.values.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Some(Value::KvlistValue(map)) => {
            let sorted: BTreeMap<&str, String> = map
                .values
                .iter()
                .map(|entry| {
                    (
                        &*entry.key,
                        json(entry.value.as_ref().unwrap_or(&AnyValue::default())),
                    )
                })
                .collect();
            let items: Vec<String> = sorted
                .iter()
                .map(|(key, value)| format!("{}:{value}", quoted(key)))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Some(_) => string_form(value),
    }
}
