//! Attributes, shortly written.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
pub(super) fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(any_value::Value::StringValue(value.into())),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
pub(super) fn int(value: i64) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(any_value::Value::IntValue(value)),
    })
}

pub(super) fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}
