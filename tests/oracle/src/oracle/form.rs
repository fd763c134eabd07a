//! The string form of a value (Q8).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

/// Returns the text by which queries without a filter compare values.
pub fn string_form(value: &AnyValue) -> String {
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => double(*number),
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => json(value).unwrap_or_default(),
    }
}

/// Formats numbers as ECMAScript does, but keeps the sign of zero.
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

/// Encodes JSON as Go does: sorted keys, minimal escaping. `None` if a number is not finite.
fn json(value: &AnyValue) -> Option<String> {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    Some(match &value.value {
        None | Some(Value::StringValueStrindex(_)) => "null".to_owned(),
        Some(Value::BytesValue(bytes)) if bytes.is_empty() => "null".to_owned(),
        Some(Value::StringValue(text)) => quoted(text),
        Some(Value::BytesValue(bytes)) => quoted(&STANDARD.encode(bytes)),
        Some(Value::DoubleValue(number)) if !number.is_finite() => return None,
        Some(Value::ArrayValue(array)) => {
            let items: Option<Vec<String>> = array.values.iter().map(json).collect();
            format!("[{}]", items?.join(","))
        }
        Some(Value::KvlistValue(map)) => {
            let mut sorted = BTreeMap::new();
            for entry in &map.values {
                let value = entry.value.clone().unwrap_or_default();
                sorted.insert(&entry.key, json(&value)?);
            }
            let items = sorted.iter();
            let items: Vec<String> = items
                .map(|(key, value)| format!("{}:{value}", quoted(key)))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Some(_) => string_form(value),
    })
}
