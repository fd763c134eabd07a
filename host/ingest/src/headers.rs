//! The headers of spans, resources and scopes: each known by a number, so that equal ones are read once and can be shared.

use std::hash::BuildHasher;
use std::ops::Range;

use larder_model::storage::Term;
use larder_model::terms::{self, Level};
use larder_proto::otlp;
use larder_proto::wire::{Error, Fields};

use super::number;
use super::request::Request;

/// All that `ResourceSpans` of the request with equal headers are.
#[derive(Debug)]
pub(super) struct Resource {
    /// Every field but the `ScopeSpans`, as sent.
    pub(super) header: Range<usize>,
    /// The number of its service's text.
    pub(super) service: u32,
    pub(super) service_term: Term,
    pub(super) error_term: Term,
    pub(super) facts: Range<usize>,
    pub(super) utf8: bool,
    pub(super) decodable: bool,
    /// The last fragment that has its terms, and the last that has `error_term`.
    pub(super) fragment: u32,
    pub(super) error_fragment: u32,
}

/// All that `ScopeSpans` of one resource with equal headers are.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) resource: u32,
    /// Every field but the spans, as sent.
    pub(super) header: Range<usize>,
    pub(super) terms: [Term; 2],
    pub(super) facts: Range<usize>,
    pub(super) utf8: bool,
    pub(super) decodable: bool,
    /// The last fragment that has its terms.
    pub(super) fragment: u32,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// The header of a resource.
    pub(super) fn resource_header(&self, resource: &Resource) -> &[u8] {
        self.headers
            .get(resource.header.clone())
            .unwrap_or_default()
    }

    /// The header of a scope.
    pub(super) fn scope_header(&self, scope: &Scope) -> &[u8] {
        self.headers.get(scope.header.clone()).unwrap_or_default()
    }

    /// Appends the terms of a scope and of its resource, but for those the fragment has.
    pub(super) fn push_header_terms(&mut self, scope: u32, fragment: u32, out: &mut Vec<Term>) {
        let Some(scope) = self.scopes.get_mut(scope as usize) else {
            return;
        };
        if scope.fragment == fragment {
            return;
        }
        scope.fragment = fragment;
        out.extend(scope.terms);
        let numbers = self.fact_lists.get(scope.facts.clone()).unwrap_or_default();
        self.facts.push_terms(numbers, fragment, out);
        let Some(resource) = self.resources.get_mut(scope.resource as usize) else {
            return;
        };
        if resource.fragment == fragment {
            return;
        }
        resource.fragment = fragment;
        out.push(resource.service_term);
        let facts = resource.facts.clone();
        let numbers = self.fact_lists.get(facts).unwrap_or_default();
        self.facts.push_terms(numbers, fragment, out);
    }

    /// Appends every field but those numbered 2, which are what stands `under` the header.
    pub(super) fn gather_header(
        &mut self,
        raw: &'a [u8],
        depth: u32,
        under: &mut Vec<&'a [u8]>,
    ) -> Result<Range<usize>, Error> {
        let start = self.headers.len();
        for field in Fields::within(raw, depth) {
            let field = field?;
            if field.number == 2 {
                under.push(field.bytes()?);
            } else {
                self.headers.extend_from_slice(field.raw);
            }
        }
        Ok(start..self.headers.len())
    }

    /// The number of the resource with this header, which stands at the end of `headers`.
    pub(super) fn resource(&mut self, raw: &'a [u8], header: Range<usize>) -> Result<u32, Error> {
        let bytes = self.headers.get(header.clone()).unwrap_or_default();
        let hash = self.hasher.hash_one(bytes);
        let is_it = |number: &u32| {
            let known = self.resources.get(*number as usize);
            known.is_some_and(|known| self.resource_header(known) == bytes)
        };
        if let Some(number) = self.resource_numbers.find(hash, is_it) {
            self.headers.truncate(header.start);
            return Ok(*number);
        }
        let start = self.fact_lists.len();
        let (mut utf8, mut decodable) = (true, true);
        let view = otlp::ResourceSpans::read(raw, |attribute| {
            let known = self.facts.attribute(Level::Resource, attribute)?;
            utf8 &= known.utf8;
            decodable &= known.decodable;
            self.fact_lists.push(known.number);
            Ok(())
        })?;
        let service = str::from_utf8(view.resource.service()?);
        let (is_utf8, service) = (service.is_ok(), service.unwrap_or_default());
        let resource = Resource {
            header,
            service: self.operations.text(service),
            service_term: terms::service(service.as_bytes()),
            error_term: terms::service_with_error(service.as_bytes()),
            facts: start..self.fact_lists.len(),
            utf8: utf8 && view.utf8 && is_utf8,
            decodable: decodable && view.decodable,
            fragment: 0,
            error_fragment: 0,
        };
        let number = number(self.resources.len());
        self.resources.push(resource);
        let (resources, headers, hasher) = (&self.resources, &self.headers, &self.hasher);
        self.resource_numbers.insert_unique(hash, number, |number| {
            let known = resources.get(*number as usize);
            let header = known.and_then(|known| headers.get(known.header.clone()));
            hasher.hash_one(header.unwrap_or_default())
        });
        Ok(number)
    }

    /// The number of the resource's scope with this header, which stands at the end of `headers`.
    pub(super) fn scope(
        &mut self,
        resource: u32,
        raw: &'a [u8],
        header: Range<usize>,
    ) -> Result<u32, Error> {
        let bytes = self.headers.get(header.clone()).unwrap_or_default();
        let hash = self.hasher.hash_one((resource, bytes));
        let is_it = |number: &u32| {
            self.scopes.get(*number as usize).is_some_and(|known| {
                known.resource == resource && self.scope_header(known) == bytes
            })
        };
        if let Some(number) = self.scope_numbers.find(hash, is_it) {
            self.headers.truncate(header.start);
            return Ok(*number);
        }
        let start = self.fact_lists.len();
        let (mut utf8, mut decodable) = (true, true);
        let view = otlp::ScopeSpans::read(raw, |attribute| {
            let known = self.facts.attribute(Level::Scope, attribute)?;
            utf8 &= known.utf8;
            decodable &= known.decodable;
            self.fact_lists.push(known.number);
            Ok(())
        })?;
        let scope = Scope {
            resource,
            header,
            terms: [
                terms::scope_name(view.scope.name),
                terms::scope_version(view.scope.version),
            ],
            facts: start..self.fact_lists.len(),
            utf8: utf8 && view.utf8 && view.scope.utf8,
            decodable: decodable && view.decodable,
            fragment: 0,
        };
        let number = number(self.scopes.len());
        self.scopes.push(scope);
        let (scopes, headers, hasher) = (&self.scopes, &self.headers, &self.hasher);
        self.scope_numbers.insert_unique(hash, number, |number| {
            let Some(known) = scopes.get(*number as usize) else {
                return 0;
            };
            let header = headers.get(known.header.clone()).unwrap_or_default();
            hasher.hash_one((known.resource, header))
        });
        Ok(number)
    }
}
