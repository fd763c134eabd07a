//! Resources and scopes of a request. Those with equal headers are parsed once, known by a number and shared by their spans.

use std::hash::BuildHasher;
use std::ops::Range;

use larder_model::storage::Term;
use larder_model::terms::{self, Level};
use larder_proto::otlp::{self, Validity, pdata};
use larder_proto::wire::{Error, Fields};

use super::request::Request;

/// All `ResourceSpans` of the request with the same header.
#[derive(Debug)]
pub(super) struct Resource {
    /// Every field except `scope_spans`, old or new, as sent.
    pub(super) header: Range<usize>,
    /// Number of the service's name.
    pub(super) service: u32,
    pub(super) service_term: Term,
    pub(super) error_term: Term,
    facts: Range<usize>,
    pub(super) validity: Validity,
    /// The last fragment that its terms were added to, and the last that `error_term` was added to.
    fragment: u32,
    pub(super) error_fragment: u32,
}

/// All `ScopeSpans` of one resource with the same header.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) resource: u32,
    /// Every field except `spans`, as sent.
    pub(super) header: Range<usize>,
    terms: [Term; 2],
    facts: Range<usize>,
    pub(super) validity: Validity,
    /// The last fragment that its terms were added to.
    fragment: u32,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// The header of a resource.
    pub(super) fn resource_header(&self, resource: &Resource) -> &[u8] {
        self.header(&resource.header)
    }

    /// The header of a scope.
    pub(super) fn scope_header(&self, scope: &Scope) -> &[u8] {
        self.header(&scope.header)
    }

    fn header(&self, header: &Range<usize>) -> &[u8] {
        self.headers.get(header.clone()).unwrap_or_default()
    }

    /// Appends the terms of a scope and of its resource, except those that the fragment already has.
    pub(super) fn push_header_terms(&mut self, scope: u32, fragment: u32, out: &mut Vec<Term>) {
        let Some(scope) = self.scopes.get_mut(scope) else {
            return;
        };
        if scope.fragment == fragment {
            return;
        }
        scope.fragment = fragment;
        out.extend(scope.terms);
        self.facts.push_terms(scope.facts.clone(), fragment, out);
        let Some(resource) = self.resources.get_mut(scope.resource) else {
            return;
        };
        if resource.fragment == fragment {
            return;
        }
        resource.fragment = fragment;
        out.push(resource.service_term);
        self.facts.push_terms(resource.facts.clone(), fragment, out);
    }

    /// Appends a header to `headers`: every field except number 2. The contents of the fields numbered 2 go to `children`. If `old` is given,
    /// the contents of [`pdata::OLD_SCOPE_SPANS`] go there, and are no part of the header either.
    pub(super) fn gather_header(
        &mut self,
        raw: &'a [u8],
        depth: u32,
        children: &mut Vec<&'a [u8]>,
        mut old: Option<&mut Vec<&'a [u8]>>,
    ) -> Result<Range<usize>, Error> {
        let start = self.headers.len();
        for field in Fields::within(raw, depth) {
            let field = field?;
            match (field.number, &mut old) {
                (2, _) => children.push(field.bytes()?),
                (pdata::OLD_SCOPE_SPANS, Some(old)) => old.push(field.bytes()?),
                _ => self.headers.extend_from_slice(field.raw),
            }
        }
        Ok(start..self.headers.len())
    }

    /// The number of the resource with this header, which is the last in `headers`. A known header is removed from there.
    pub(super) fn resource(&mut self, raw: &'a [u8], header: Range<usize>) -> Result<u32, Error> {
        let bytes = self.header(&header);
        let hash = self.hasher.hash_one(bytes);
        let is_same = |known: &Resource| self.resource_header(known) == bytes;
        if let Some(number) = self.resources.find(hash, is_same) {
            self.headers.truncate(header.start);
            return Ok(number);
        }
        let start = self.facts.end();
        let mut validity = Validity::VALID;
        let view = otlp::ResourceSpans::read(raw, |attribute| {
            let facts = &mut self.facts;
            facts.push_attribute(Level::Resource, attribute, &mut validity)
        })?;
        let service = str::from_utf8(view.resource.service()?);
        validity &= view.validity;
        validity.utf8 &= service.is_ok();
        let service = service.unwrap_or_default();
        let resource = Resource {
            header,
            service: self.operations.name(service),
            service_term: terms::service(service.as_bytes()),
            error_term: terms::service_with_error(service.as_bytes()),
            facts: start..self.facts.end(),
            validity,
            fragment: 0,
            error_fragment: 0,
        };
        let (headers, hasher) = (&self.headers, &self.hasher);
        let number = self.resources.insert(hash, resource, |known| {
            let header = headers.get(known.header.clone());
            hasher.hash_one(header.unwrap_or_default())
        });
        Ok(number)
    }

    /// The number of the resource's scope with this header, which is the last in `headers`. A known header is removed from there.
    pub(super) fn scope(
        &mut self,
        resource: u32,
        raw: &'a [u8],
        header: Range<usize>,
    ) -> Result<u32, Error> {
        let bytes = self.header(&header);
        let hash = self.hasher.hash_one((resource, bytes));
        let is_same =
            |known: &Scope| known.resource == resource && self.scope_header(known) == bytes;
        if let Some(number) = self.scopes.find(hash, is_same) {
            self.headers.truncate(header.start);
            return Ok(number);
        }
        let start = self.facts.end();
        let mut validity = Validity::VALID;
        let view = otlp::ScopeSpans::read(raw, |attribute| {
            let facts = &mut self.facts;
            facts.push_attribute(Level::Scope, attribute, &mut validity)
        })?;
        validity &= view.validity;
        let scope = Scope {
            resource,
            header,
            terms: [
                terms::scope_name(view.scope.name),
                terms::scope_version(view.scope.version),
            ],
            facts: start..self.facts.end(),
            validity,
            fragment: 0,
        };
        let (headers, hasher) = (&self.headers, &self.hasher);
        let number = self.scopes.insert(hash, scope, |known| {
            let header = headers.get(known.header.clone());
            hasher.hash_one((known.resource, header.unwrap_or_default()))
        });
        Ok(number)
    }
}
