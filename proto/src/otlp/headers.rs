//! What stands around spans: resources and scopes.

use super::{AnyValue, Attributes, Flags, Repeated, Span, depth, is_utf8, pdata};
use crate::wire::{Error, Fields};

/// An encoded `TracesData`, or several joined.
#[derive(Clone, Copy, Debug)]
pub struct TracesData<'a>(&'a [u8]);

/// The spans of one resource.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSpans<'a> {
    /// The resource; one without attributes where none was sent.
    pub resource: Resource<'a>,
    /// The schema of the resource; may be empty.
    pub schema_url: &'a [u8],
    /// Whether `schema_url` is valid UTF-8.
    pub utf8: bool,
    /// Whether no group was sent in it or its resource, and pdata takes what stands in [`pdata::OLD_SCOPE_SPANS`]. Says nothing of
    /// `ScopeSpans` and attributes.
    pub decodable: bool,
    raw: &'a [u8],
}

/// What spans come from.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The `ResourceSpans` that holds it.
    holder: &'a [u8],
}

/// The spans of one scope.
#[derive(Clone, Copy, Debug)]
pub struct ScopeSpans<'a> {
    /// The scope; an empty one where none was sent.
    pub scope: Scope<'a>,
    /// The schema of the spans; may be empty.
    pub schema_url: &'a [u8],
    /// Whether `schema_url` is valid UTF-8.
    pub utf8: bool,
    /// Whether no group was sent in it or its scope. Says nothing of spans and attributes.
    pub decodable: bool,
    raw: &'a [u8],
}

/// The library that made spans.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Its name; may be empty.
    pub name: &'a [u8],
    /// Its version; may be empty.
    pub version: &'a [u8],
    /// Whether every name and version sent is valid UTF-8.
    pub utf8: bool,
    /// The `ScopeSpans` that holds it.
    holder: &'a [u8],
}

// === impl TracesData ===

impl<'a> TracesData<'a> {
    /// A view of the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What each resource has, in the order sent.
    pub fn resource_spans(
        &self,
    ) -> impl Iterator<Item = Result<ResourceSpans<'a>, Error>> + use<'a> {
        Repeated::new(self.0, 1).map(|raw| ResourceSpans::parse(raw?))
    }
}

// === impl ResourceSpans ===

impl<'a> ResourceSpans<'a> {
    /// A view of an encoded `ResourceSpans`.
    ///
    /// # Errors
    /// When the bytes are no such message; so in every `parse` of this module.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read_each(raw, |_| Ok(Flags::GOOD))
    }

    /// Reads an encoded `ResourceSpans`, all but its `ScopeSpans`, and hands over each attribute of its resource. Then `utf8` says
    /// whether all strings outside of `ScopeSpans` and of these attributes are valid. Errors of `attribute` are counted from the
    /// start of the bytes it was given; so in every `read` of this module.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Self::read_each(raw, |resource| read_resource(resource, &mut attribute))
    }

    fn read_each(
        raw: &'a [u8],
        mut resource: impl FnMut(&'a [u8]) -> Result<Flags, Error>,
    ) -> Result<Self, Error> {
        let mut view = Self {
            resource: Resource { holder: raw },
            schema_url: &[],
            utf8: true,
            decodable: true,
            raw,
        };
        let mut flags = Flags::GOOD;
        for field in Fields::within(raw, depth::RESOURCE_SPANS) {
            let field = field?;
            match field.number {
                1 => {
                    let inner = field.bytes()?;
                    flags &= resource(inner).map_err(|e| e.counted_from(raw, inner))?;
                }
                2 => {
                    field.bytes()?;
                }
                3 => {
                    view.schema_url = field.bytes()?;
                    flags.utf8 &= is_utf8(view.schema_url);
                }
                pdata::OLD_SCOPE_SPANS => {
                    flags.decodable &= field.bytes().is_ok_and(pdata::takes_scope_spans);
                }
                _ => flags.decodable &= !field.is_group(),
            }
        }
        view.utf8 = flags.utf8;
        view.decodable = flags.decodable;
        Ok(view)
    }

    /// What each scope has, in the order sent.
    pub fn scope_spans(&self) -> impl Iterator<Item = Result<ScopeSpans<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 2).map(|raw| ScopeSpans::parse(raw?))
    }
}

// === impl Resource ===

impl<'a> Resource<'a> {
    /// Its attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::inside(self.holder, 1, 1)
    }

    /// The value of the first `service.name`, and "" where that is absent or not a string (Q4).
    pub fn service(&self) -> Result<&'a [u8], Error> {
        for attribute in self.attributes() {
            let attribute = attribute?;
            if attribute.key == b"service.name" {
                return Ok(match attribute.value {
                    Some(AnyValue::String(service)) => service,
                    _ => &[],
                });
            }
        }
        Ok(&[])
    }
}

/// Reads an encoded `Resource`. Tells of what is outside of attributes.
fn read_resource<'a>(
    raw: &'a [u8],
    attribute: &mut impl FnMut(&'a [u8]) -> Result<(), Error>,
) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    for field in Fields::within(raw, depth::RESOURCE) {
        let field = field?;
        match field.number {
            1 => {
                let inner = field.bytes()?;
                attribute(inner).map_err(|e| e.counted_from(raw, inner))?;
            }
            2 => {
                field.varint()?;
            }
            3 => {
                let entity = field.bytes()?;
                flags &= read_entity_ref(entity).map_err(|e| e.counted_from(raw, entity))?;
            }
            _ => flags.decodable &= !field.is_group(),
        }
    }
    Ok(flags)
}

/// Reads an encoded `EntityRef`: four fields, all strings.
fn read_entity_ref(raw: &[u8]) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    for field in Fields::within(raw, depth::RESOURCE_ATTRIBUTE) {
        let field = field?;
        match field.number {
            1..=4 => flags.utf8 &= is_utf8(field.bytes()?),
            _ => flags.decodable &= !field.is_group(),
        }
    }
    Ok(flags)
}

// === impl ScopeSpans ===

impl<'a> ScopeSpans<'a> {
    /// A view of an encoded `ScopeSpans`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Reads an encoded `ScopeSpans`, all but its spans, and hands over each attribute of its scope.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut view = Self {
            scope: Scope {
                name: &[],
                version: &[],
                utf8: true,
                holder: raw,
            },
            schema_url: &[],
            utf8: true,
            decodable: true,
            raw,
        };
        for field in Fields::within(raw, depth::SCOPE_SPANS) {
            let field = field?;
            match field.number {
                1 => {
                    let scope = field.bytes()?;
                    view.decodable &= view
                        .scope
                        .merge(scope, &mut attribute)
                        .map_err(|e| e.counted_from(raw, scope))?;
                }
                2 => {
                    field.bytes()?;
                }
                3 => {
                    view.schema_url = field.bytes()?;
                    view.utf8 &= is_utf8(view.schema_url);
                }
                _ => view.decodable &= !field.is_group(),
            }
        }
        Ok(view)
    }

    /// The spans, in the order sent.
    pub fn spans(&self) -> impl Iterator<Item = Result<Span<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 2).map(|raw| Span::parse(raw?))
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// Its attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::inside(self.holder, 1, 3)
    }

    /// Reads one more encoded `InstrumentationScope` on top of this one. Returns whether no group was sent in it.
    fn merge(
        &mut self,
        raw: &'a [u8],
        attribute: &mut impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut decodable = true;
        for field in Fields::within(raw, depth::SCOPE) {
            let field = field?;
            match field.number {
                1 => {
                    self.name = field.bytes()?;
                    self.utf8 &= is_utf8(self.name);
                }
                2 => {
                    self.version = field.bytes()?;
                    self.utf8 &= is_utf8(self.version);
                }
                3 => {
                    let inner = field.bytes()?;
                    attribute(inner).map_err(|e| e.counted_from(raw, inner))?;
                }
                4 => {
                    field.varint()?;
                }
                _ => decodable &= !field.is_group(),
            }
        }
        Ok(decodable)
    }
}
