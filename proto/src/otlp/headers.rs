//! Views of resources and scopes, the messages around spans.

use super::{
    AnyValue, Attributes, EMPTY_SERVICE_NAME, MISSING_SERVICE_NAME, Repeated,
    SERVICE_NAME_WRONG_TYPE, Span, Validity, depth, is_utf8, pdata,
};
use crate::wire::{Error, Fields};

/// A view of an encoded `TracesData`, or of several joined.
#[derive(Clone, Copy, Debug)]
pub struct TracesData<'a>(&'a [u8]);

/// The spans of one resource.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSpans<'a> {
    /// The resource; without attributes if none was sent.
    pub resource: Resource<'a>,
    /// The schema URL of the resource; may be empty.
    pub schema_url: &'a [u8],
    /// Validity of everything except `ScopeSpans` and attributes.
    pub validity: Validity,
    /// True if it has [`pdata::OLD_SCOPE_SPANS`].
    pub has_old_scope_spans: bool,
    raw: &'a [u8],
}

/// The entity that produced spans.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The enclosing `ResourceSpans`.
    parent: &'a [u8],
}

/// The spans of one scope.
#[derive(Clone, Copy, Debug)]
pub struct ScopeSpans<'a> {
    /// The scope; empty if none was sent.
    pub scope: Scope<'a>,
    /// The schema URL of the spans; may be empty.
    pub schema_url: &'a [u8],
    /// Validity of everything except spans and attributes.
    pub validity: Validity,
    raw: &'a [u8],
}

/// The instrumentation scope that produced spans.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Its name; may be empty.
    pub name: &'a [u8],
    /// Its version; may be empty.
    pub version: &'a [u8],
    /// The enclosing `ScopeSpans`.
    parent: &'a [u8],
}

// === impl TracesData ===

impl<'a> TracesData<'a> {
    /// Creates a view of the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The `ResourceSpans`, in the order sent.
    pub fn resource_spans(
        &self,
    ) -> impl Iterator<Item = Result<ResourceSpans<'a>, Error>> + use<'a> {
        Repeated::new(self.0, 1).map(|raw| ResourceSpans::parse(raw?))
    }
}

// === impl ResourceSpans ===

impl<'a> ResourceSpans<'a> {
    /// Parses an encoded `ResourceSpans`.
    ///
    /// # Errors
    /// If the bytes are not such a message. The same holds for every `parse` of this module.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read_each(raw, |_| Ok(Validity::VALID))
    }

    /// Parses an encoded `ResourceSpans` except its `ScopeSpans`, and passes each encoded attribute of its resource to `attribute`.
    /// `validity` then covers the resource too. The offset of an error of `attribute` counts from
    /// the start of the bytes it was given. The same holds for every `read` of this module.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Self::read_each(raw, |resource| read_resource(resource, &mut attribute))
    }

    fn read_each(
        raw: &'a [u8],
        mut resource: impl FnMut(&'a [u8]) -> Result<Validity, Error>,
    ) -> Result<Self, Error> {
        let mut view = Self {
            resource: Resource { parent: raw },
            schema_url: &[],
            validity: Validity::VALID,
            has_old_scope_spans: false,
            raw,
        };
        for field in Fields::within(raw, depth::RESOURCE_SPANS) {
            let field = field?;
            match field.number {
                1 => view.validity &= field.read_message(raw, &mut resource)?,
                2 => {
                    field.bytes()?;
                }
                3 => {
                    view.schema_url = field.bytes()?;
                    view.validity.utf8 &= is_utf8(view.schema_url);
                }
                pdata::OLD_SCOPE_SPANS => view.has_old_scope_spans = true,
                _ => view.validity.decodable &= !field.is_group(),
            }
        }
        Ok(view)
    }

    /// The encoded `Resource`; several if it was sent more than once.
    pub fn raw_resource(&self) -> impl Iterator<Item = Result<&'a [u8], Error>> + use<'a> {
        Repeated::new(self.raw, 1)
    }

    /// The `ScopeSpans` of field 2, in the order sent.
    pub fn scope_spans(&self) -> impl Iterator<Item = Result<ScopeSpans<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 2).map(|raw| ScopeSpans::parse(raw?))
    }
}

// === impl Resource ===

impl<'a> Resource<'a> {
    /// The attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::inside(self.parent, 1, 1)
    }

    /// The value of the first `service.name`, or the name that stands for one that is absent, empty or not a string (Q4).
    pub fn service(&self) -> Result<&'a [u8], Error> {
        for attribute in self.attributes() {
            let attribute = attribute?;
            if attribute.key == b"service.name" {
                return Ok(match attribute.value {
                    Some(AnyValue::String(b"")) => EMPTY_SERVICE_NAME.as_bytes(),
                    Some(AnyValue::String(service)) => service,
                    _ => SERVICE_NAME_WRONG_TYPE.as_bytes(),
                });
            }
        }
        Ok(MISSING_SERVICE_NAME.as_bytes())
    }
}

/// Reads an encoded `Resource`. The result covers everything except attributes.
fn read_resource<'a>(
    raw: &'a [u8],
    attribute: &mut impl FnMut(&'a [u8]) -> Result<(), Error>,
) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::within(raw, depth::RESOURCE) {
        let field = field?;
        match field.number {
            1 => field.read_message(raw, &mut *attribute)?,
            2 => {
                field.varint()?;
            }
            3 => validity &= field.read_message(raw, read_entity_ref)?,
            _ => validity.decodable &= !field.is_group(),
        }
    }
    Ok(validity)
}

/// Reads an encoded `EntityRef`: four fields, all strings.
fn read_entity_ref(raw: &[u8]) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::within(raw, depth::ENTITY_REF) {
        let field = field?;
        match field.number {
            1..=4 => validity.utf8 &= is_utf8(field.bytes()?),
            _ => validity.decodable &= !field.is_group(),
        }
    }
    Ok(validity)
}

// === impl ScopeSpans ===

impl<'a> ScopeSpans<'a> {
    /// Parses an encoded `ScopeSpans`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Parses an encoded `ScopeSpans` except its spans, and passes each encoded attribute of its scope to `attribute`.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut view = Self {
            scope: Scope {
                name: &[],
                version: &[],
                parent: raw,
            },
            schema_url: &[],
            validity: Validity::VALID,
            raw,
        };
        for field in Fields::within(raw, depth::SCOPE_SPANS) {
            let field = field?;
            match field.number {
                1 => {
                    let scope = &mut view.scope;
                    let merge = |raw| scope.merge(raw, &mut attribute);
                    view.validity &= field.read_message(raw, merge)?;
                }
                2 => {
                    field.bytes()?;
                }
                3 => {
                    view.schema_url = field.bytes()?;
                    view.validity.utf8 &= is_utf8(view.schema_url);
                }
                _ => view.validity.decodable &= !field.is_group(),
            }
        }
        Ok(view)
    }

    /// The encoded `InstrumentationScope`; several if it was sent more than once.
    pub fn raw_scope(&self) -> impl Iterator<Item = Result<&'a [u8], Error>> + use<'a> {
        Repeated::new(self.raw, 1)
    }

    /// The spans, in the order sent.
    pub fn spans(&self) -> impl Iterator<Item = Result<Span<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 2).map(|raw| Span::parse(raw?))
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// The attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::inside(self.parent, 1, 3)
    }

    /// Merges another encoded `InstrumentationScope` into this one. The result covers everything except attributes.
    fn merge(
        &mut self,
        raw: &'a [u8],
        attribute: &mut impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Validity, Error> {
        let mut validity = Validity::VALID;
        for field in Fields::within(raw, depth::SCOPE) {
            let field = field?;
            match field.number {
                1 => {
                    self.name = field.bytes()?;
                    validity.utf8 &= is_utf8(self.name);
                }
                2 => {
                    self.version = field.bytes()?;
                    validity.utf8 &= is_utf8(self.version);
                }
                3 => field.read_message(raw, &mut *attribute)?,
                4 => {
                    field.varint()?;
                }
                _ => validity.decodable &= !field.is_group(),
            }
        }
        Ok(validity)
    }
}
