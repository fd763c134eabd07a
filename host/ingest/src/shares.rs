//! Cutting a request into shares by what each of its resources says about itself. No span is moved or copied: a share is a list of
//! pieces of the request.

use larder_proto::otlp::{AnyValue, KeyValue, ResourceSpans};

use super::Malformed;
use super::request::resource_spans;

/// What a resource says by one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// The attribute is not there.
    Nothing,
    /// It is there once, with this text.
    Text(&'a str),
    /// It is there once, and is no text.
    NoText,
    /// It is there more than once, be it with one text.
    Twice,
}

/// Some of a request's `ResourceSpans`, as sent and in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share<'a>(Vec<&'a [u8]>);

/// Gives each `ResourceSpans` of an encoded `ExportTraceServiceRequest` to the share that `whose` names by its place in the
/// answer, after what the resource says by `attribute`. A share that is never named is empty.
///
/// # Errors
/// A request or a resource that is malformed. Scopes and spans are not looked at.
pub fn split<'a>(
    request: &'a [u8],
    attribute: &str,
    mut whose: impl FnMut(Said<'a>) -> usize,
) -> Result<Vec<Share<'a>>, Malformed> {
    let mut shares = Vec::new();
    for raw in resource_spans(request) {
        let raw = raw.map_err(Malformed)?;
        let said = said(raw, attribute.as_bytes());
        let said = said.map_err(|error| Malformed(error.relative_to(request, raw)))?;
        let place = whose(said);
        if place >= shares.len() {
            shares.resize_with(place + 1, Share::default);
        }
        if let Some(Share(share)) = shares.get_mut(place) {
            share.push(raw);
        }
    }
    Ok(shares)
}

fn said<'a>(raw: &'a [u8], attribute: &[u8]) -> Result<Said<'a>, larder_proto::wire::Error> {
    let mut said = Said::Nothing;
    ResourceSpans::read(raw, |raw| {
        let KeyValue { key, value, .. } = KeyValue::parse(raw)?;
        if key == attribute {
            said = match (said, value) {
                (Said::Nothing, Some(AnyValue::String(text))) => {
                    str::from_utf8(text).map_or(Said::NoText, Said::Text)
                }
                (Said::Nothing, _) => Said::NoText,
                _ => Said::Twice,
            };
        }
        Ok(())
    })?;
    Ok(said)
}

// === impl Share ===

impl<'a> Share<'a> {
    /// Each encoded `ResourceSpans`.
    pub fn resource_spans(&self) -> &[&'a [u8]] {
        &self.0
    }

    /// What they come to.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|raw| raw.len()).sum()
    }
}
