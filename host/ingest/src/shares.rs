//! Splits a request into shares by an attribute of each resource. No span is moved or copied: a share is a list of slices of the request.

use larder_proto::otlp::{AnyValue, KeyValue, ResourceSpans};

use super::Malformed;
use super::request::resource_spans;

/// An attribute of a resource, read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeText<'a> {
    /// The resource does not have the attribute.
    Missing,
    /// It occurs once, with this text.
    Text(&'a str),
    /// It occurs once, and is not text.
    NotText,
    /// It occurs more than once, even if with the same text.
    Repeated,
}

/// Some of a request's `ResourceSpans`, as sent and in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share<'a>(Vec<&'a [u8]>);

/// Splits the `ResourceSpans` of an encoded `ExportTraceServiceRequest`. `share_of` chooses, by a resource's `attribute`, the index of
/// its share in the result. A share that is never chosen is empty.
///
/// # Errors
/// If the request or a resource is malformed. Scopes and spans are not checked.
pub fn split<'a>(
    request: &'a [u8],
    attribute: &str,
    mut share_of: impl FnMut(AttributeText<'a>) -> usize,
) -> Result<Vec<Share<'a>>, Malformed> {
    let mut shares = Vec::new();
    for raw in resource_spans(request) {
        let raw = raw.map_err(Malformed)?;
        let text = attribute_text(raw, attribute.as_bytes());
        let text = text.map_err(|error| Malformed(error.relative_to(request, raw)))?;
        let index = share_of(text);
        if index >= shares.len() {
            shares.resize_with(index + 1, Share::default);
        }
        if let Some(Share(share)) = shares.get_mut(index) {
            share.push(raw);
        }
    }
    Ok(shares)
}

fn attribute_text<'a>(
    raw: &'a [u8],
    attribute: &[u8],
) -> Result<AttributeText<'a>, larder_proto::wire::Error> {
    let mut found = AttributeText::Missing;
    ResourceSpans::read(raw, |raw| {
        let KeyValue { key, value, .. } = KeyValue::parse(raw)?;
        if key == attribute {
            found = match (found, value) {
                (AttributeText::Missing, Some(AnyValue::String(text))) => {
                    str::from_utf8(text).map_or(AttributeText::NotText, AttributeText::Text)
                }
                (AttributeText::Missing, _) => AttributeText::NotText,
                _ => AttributeText::Repeated,
            };
        }
        Ok(())
    })?;
    Ok(found)
}

// === impl Share ===

impl<'a> Share<'a> {
    /// The encoded `ResourceSpans`.
    pub fn resource_spans(&self) -> &[&'a [u8]] {
        &self.0
    }

    /// Their total length in bytes.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|raw| raw.len()).sum()
    }
}
