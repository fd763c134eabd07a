//! From a request's headers to its tenant, with Jaeger's semantics and texts (`host/docs/operations.md`, "Tenants").

mod by_resource;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use larder_core::Live;
use larder_model::TenantName;

pub use self::by_resource::{ByResource, Unassigned};

/// Resolves the requests of one listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver(Option<Live<Rules>>);

/// What holds while tenancy is on.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The header that names the tenant.
    pub header: HeaderName,
    /// The only tenants; empty means every name of the safe form.
    pub tenants: BTreeSet<TenantName>,
    /// The tenant of a request without the header.
    pub default: Option<TenantName>,
    /// The resource attribute that names the tenants of an Export without the header.
    pub attribute: Option<Arc<str>>,
}

/// Why a request has no tenant. The first three texts are Jaeger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header is not there.
    #[error("missing tenant header")]
    Missing,
    /// The header is there more than once.
    #[error("extra tenant header")]
    Extra,
    /// Not one of the tenants, or no name at all.
    #[error("unknown tenant")]
    Unknown,
}

/// The tenant that a request or a resource names, before it is told whether there may be one of this name. Who may not ask about it
/// is told nothing of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    name: TenantName,
    is_known: bool,
}

// === impl Named ===

impl Named {
    pub(super) fn known(name: TenantName) -> Self {
        let is_known = true;
        Self { name, is_known }
    }

    /// What it is called.
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// The tenant, if there may be one of this name.
    pub fn tenant(self) -> Option<TenantName> {
        self.is_known.then_some(self.name)
    }
}

// === impl Resolver ===

impl Resolver {
    /// Tenancy is off: every request is of the one tenant, whatever its headers say.
    pub fn off() -> Self {
        Self(None)
    }

    /// Tenancy is on.
    pub fn on(rules: Rules) -> Self {
        Self(Some(Live::new(rules)))
    }

    /// Requests from here on are resolved by other rules; nothing while tenancy is off.
    pub fn set(&self, rules: Rules) {
        if let Some(current) = &self.0 {
            current.set(rules);
        }
    }

    /// What the headers name; `None` while tenancy is off.
    ///
    /// # Errors
    /// [`Refusal`]; nothing may be done for such a request. None of them depends on the list of tenants.
    pub fn resolve(&self, headers: &HeaderMap) -> Result<Option<Named>, Refusal> {
        let Some(rules) = &self.0 else {
            return Ok(None);
        };
        rules.get().resolve(headers).map(Some)
    }

    /// What says whose the resources of an Export with these headers are, where they say it themselves: there is no header, and an
    /// attribute is set.
    pub fn by_resource(&self, headers: &HeaderMap) -> Option<ByResource> {
        let rules = self.0.as_ref()?.get();
        let attribute = Arc::clone(rules.attribute.as_ref()?);
        (!headers.contains_key(&rules.header)).then(|| ByResource::new(attribute, rules))
    }
}

// === impl Rules ===

impl Rules {
    fn resolve(&self, headers: &HeaderMap) -> Result<Named, Refusal> {
        let mut values = headers.get_all(&self.header).into_iter();
        let Some(value) = values.next() else {
            let default = self.default.clone().ok_or(Refusal::Missing);
            return default.map(Named::known);
        };
        if values.next().is_some() {
            return Err(Refusal::Extra);
        }
        let text = value.to_str().ok();
        text.and_then(|text| self.named(text))
            .ok_or(Refusal::Unknown)
    }

    /// What this text names, if it is a name.
    pub(super) fn named(&self, text: &str) -> Option<Named> {
        let name: TenantName = text.parse().ok()?;
        let is_known = self.tenants.is_empty() || self.tenants.contains(&name);
        Some(Named { name, is_known })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;
    use crate::tenant::Unassigned;

    const HEADER: &str = "x-tenant";

    fn name(text: &str) -> TenantName {
        text.parse().unwrap()
    }

    fn resolver(tenants: &[&str], default: Option<&str>) -> Resolver {
        Resolver::on(Rules {
            header: HeaderName::from_static(HEADER),
            tenants: tenants.iter().copied().map(name).collect(),
            default: default.map(name),
            attribute: None,
        })
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value));
        let pairs = values.map(|value| (HeaderName::from_static(HEADER), value.unwrap()));
        pairs.collect()
    }

    /// For who may ask about every tenant.
    fn resolve(resolver: &Resolver, values: &[&str]) -> Result<Option<TenantName>, Refusal> {
        let Some(named) = resolver.resolve(&headers(values))? else {
            return Ok(None);
        };
        named.tenant().map(Some).ok_or(Refusal::Unknown)
    }

    #[track_caller]
    fn refuses(resolver: &Resolver, values: &[&str], text: &str) {
        let refused = resolve(resolver, values).unwrap_err();
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn while_tenancy_is_off_no_header_is_looked_at() {
        for values in [&[][..], &["a"], &["a", "b"], &["../etc"]] {
            assert_eq!(resolve(&Resolver::off(), values), Ok(None));
        }
    }

    #[test]
    fn one_header_names_the_tenant() {
        for resolver in [resolver(&[], None), resolver(&["acme", "b"], None)] {
            let tenant = resolve(&resolver, &["acme"]);
            assert_eq!(tenant, Ok(Some(name("acme"))));
        }
    }

    #[test]
    fn no_header_is_missing_unless_there_is_a_default() {
        refuses(&resolver(&[], None), &[], "missing tenant header");
        let lenient = resolver(&[], Some("acme"));
        assert_eq!(resolve(&lenient, &[]), Ok(Some(name("acme"))));
        let named = resolve(&lenient, &["b"]);
        assert_eq!(
            named,
            Ok(Some(name("b"))),
            "a header goes before the default"
        );
    }

    #[test]
    fn more_than_one_header_is_extra_even_if_they_agree() {
        for resolver in [resolver(&[], None), resolver(&["a"], Some("a"))] {
            refuses(&resolver, &["a", "a"], "extra tenant header");
            refuses(&resolver, &["a", "../etc"], "extra tenant header");
        }
    }

    #[test]
    fn who_is_not_in_the_list_is_unknown_and_so_is_what_is_no_name() {
        let listed = resolver(&["a"], Some("a"));
        refuses(&listed, &["b"], "unknown tenant");
        refuses(&listed, &["A"], "unknown tenant");
        refuses(&listed, &[""], "unknown tenant");
        let open = resolver(&[], Some("a"));
        for value in ["", "..", "a,b", "a b", "é", &"x".repeat(64)] {
            refuses(&open, &[value], "unknown tenant");
        }
    }

    #[test]
    fn what_is_named_is_told_before_whether_it_is_listed() {
        let listed = resolver(&["a"], None);
        for (text, tenant) in [("a", Some(name("a"))), ("b", None)] {
            let named = listed.resolve(&headers(&[text])).unwrap().unwrap();
            assert_eq!(*named.name(), name(text));
            assert_eq!(named.tenant(), tenant);
        }
    }

    fn with_attribute(tenants: &[&str], default: Option<&str>) -> Resolver {
        Resolver::on(Rules {
            header: HeaderName::from_static(HEADER),
            tenants: tenants.iter().copied().map(name).collect(),
            default: default.map(name),
            attribute: Some("tenant.id".into()),
        })
    }

    #[test]
    fn resources_are_asked_only_where_there_is_no_header_at_all() {
        let resolver = with_attribute(&[], Some("a"));
        assert!(resolver.by_resource(&headers(&[])).is_some());
        for values in [&["a"][..], &["a", "b"], &[""], &["../etc"]] {
            assert!(resolver.by_resource(&headers(values)).is_none());
        }
        let without = [Resolver::off(), self::resolver(&[], Some("a"))];
        for resolver in without {
            assert!(resolver.by_resource(&headers(&[])).is_none());
        }
    }

    #[test]
    fn a_resource_is_of_the_tenant_that_it_names_by_the_rules_of_the_header() {
        let by = |tenants, default| {
            let resolver = with_attribute(tenants, default);
            resolver.by_resource(&headers(&[])).unwrap()
        };
        let tenant = |named: Result<Named, Unassigned>| named.map(Named::tenant);
        let open = by(&[], None);
        assert_eq!(open.attribute(), "tenant.id");
        assert_eq!(tenant(open.named("acme")), Ok(Some(name("acme"))));
        assert_eq!(open.unnamed(), Err(Unassigned::Missing));
        for text in ["", "..", "a b", "é", &"x".repeat(64)] {
            assert_eq!(open.named(text), Err(Unassigned::Unknown), "{text:?}");
        }
        let listed = by(&["a"], Some("a"));
        assert_eq!(tenant(listed.named("b")), Ok(None));
        assert_eq!(tenant(listed.unnamed()), Ok(Some(name("a"))));
    }
}
