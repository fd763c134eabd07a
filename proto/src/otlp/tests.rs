#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod against_prost;
mod decodable;
mod nesting;
mod repairs;
mod rules;

use super::*;
use crate::testing::bytes_field;

// === reading a whole message with the functions of this module, like ingest ===

fn read_attribute(raw: &[u8], validity: &mut Validity) -> Result<(), Error> {
    let attribute = KeyValue::parse(raw)?;
    *validity &= attribute.validity;
    Ok(())
}

fn read_span(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let span = Span::read(raw, |child| {
        match child {
            Child::Attribute(raw) => return read_attribute(raw, &mut validity),
            Child::Event(raw) => {
                let event = Event::read(raw, |raw| read_attribute(raw, &mut validity))?;
                validity &= event.validity;
            }
            Child::Link(raw) => {
                let link = Link::read(raw, |raw| read_attribute(raw, &mut validity))?;
                validity &= link.validity;
                validity.decodable &= link.ids_valid;
            }
        }
        Ok(())
    })?;
    validity &= span.validity;
    validity.decodable &= span.invalid_id.is_none();
    Ok(validity)
}

fn read_scope_spans(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let view = ScopeSpans::read(raw, |raw| read_attribute(raw, &mut validity))?;
    validity &= view.validity;
    for span in Repeated::new(raw, 2) {
        validity &= read_span(span?)?;
    }
    Ok(validity)
}

fn read_resource_spans(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let view = ResourceSpans::read(raw, |raw| read_attribute(raw, &mut validity))?;
    validity &= view.validity;
    for number in [2, pdata::OLD_SCOPE_SPANS] {
        for scope in Repeated::new(raw, number) {
            validity &= read_scope_spans(scope?)?;
        }
    }
    Ok(validity)
}

/// Checks a whole `TracesData`.
fn read_traces(bytes: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::new(bytes) {
        let field = field?;
        if field.number == 1 {
            validity &= read_resource_spans(field.bytes()?)?;
        } else {
            validity.decodable &= !field.is_group();
        }
    }
    Ok(validity)
}

// === building messages ===

/// Attributes of spans, events, links, resources and scopes, each around `value`, an encoded `AnyValue`.
fn at_each_level(value: &[u8]) -> [Vec<u8>; 5] {
    let attribute = bytes_field(2, value);
    let in_span = |span: Vec<u8>| bytes_field(1, &bytes_field(2, &bytes_field(2, &span)));
    [
        in_span(bytes_field(9, &attribute)),
        in_span(bytes_field(11, &bytes_field(3, &attribute))),
        in_span(bytes_field(13, &bytes_field(4, &attribute))),
        bytes_field(1, &bytes_field(1, &bytes_field(1, &attribute))),
        bytes_field(
            1,
            &bytes_field(2, &bytes_field(1, &bytes_field(3, &attribute))),
        ),
    ]
}

fn in_span(span: &[u8]) -> Vec<u8> {
    bytes_field(1, &bytes_field(2, &bytes_field(2, span)))
}
