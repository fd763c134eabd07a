//! Attributes and their values.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Values that can be an attribute's value.
pub trait IntoValue {
    /// Converts to OTLP's `AnyValue`; `None` inside is a value without an arm.
    fn into_value(self) -> AnyValue;
}

impl IntoValue for AnyValue {
    fn into_value(self) -> AnyValue {
        self
    }
}

impl IntoValue for Value {
    fn into_value(self) -> AnyValue {
        AnyValue { value: Some(self) }
    }
}

impl IntoValue for &str {
    fn into_value(self) -> AnyValue {
        Value::StringValue(self.to_owned()).into_value()
    }
}

impl IntoValue for String {
    fn into_value(self) -> AnyValue {
        Value::StringValue(self).into_value()
    }
}

impl IntoValue for i64 {
    fn into_value(self) -> AnyValue {
        Value::IntValue(self).into_value()
    }
}

impl IntoValue for f64 {
    fn into_value(self) -> AnyValue {
        Value::DoubleValue(self).into_value()
    }
}

impl IntoValue for bool {
    fn into_value(self) -> AnyValue {
        Value::BoolValue(self).into_value()
    }
}

impl IntoValue for &[u8] {
    fn into_value(self) -> AnyValue {
        Value::BytesValue(self.to_vec()).into_value()
    }
}

/// One attribute.
pub fn key_value(key: &str, value: impl IntoValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value.into_value()),
        ..KeyValue::default()
    }
}
