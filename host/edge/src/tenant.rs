//! Resolves the tenant of a request from its headers, with Jaeger's semantics and texts (`host/docs/operations.md`, "Tenants").

mod attribute;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use larder_core::Live;
use larder_model::TenantName;

pub use self::attribute::{AttributeError, AttributeResolver};

/// Resolves the tenants of one listener's requests. Clones share the rules.
#[derive(Clone, Debug)]
pub struct Resolver(Option<Live<Rules>>);

/// The rules while tenancy is on.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The header that names the tenant.
    pub header: HeaderName,
    /// The only tenants. If empty, every valid name is a tenant.
    pub tenants: BTreeSet<TenantName>,
    /// The tenant of a request without the header.
    pub default: Option<TenantName>,
    /// The resource attribute that names the tenants of an Export without the header.
    pub attribute: Option<Arc<str>>,
}

/// A header without a usable tenant. The texts are Jaeger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is no header and no default.
    #[error("missing tenant header")]
    Missing,
    /// There is more than one header.
    #[error("extra tenant header")]
    Extra,
    /// The value is not one of the tenants, or not a valid name.
    #[error("unknown tenant")]
    Unknown,
}

/// The tenant that a request or a resource names. The caller's right to the name is checked before [`NamedTenant::tenant`], so that a
/// caller without it does not learn which tenants are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTenant {
    name: TenantName,
    is_listed: bool,
}

// === impl NamedTenant ===

impl NamedTenant {
    pub(super) fn listed(name: TenantName) -> Self {
        let is_listed = true;
        Self { name, is_listed }
    }

    /// The name, listed or not.
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// The tenant, if it is listed or no tenants are listed.
    pub fn tenant(self) -> Option<TenantName> {
        self.is_listed.then_some(self.name)
    }
}

// === impl Resolver ===

impl Resolver {
    /// Tenancy is off: headers are ignored, and there is one tenant.
    pub fn off() -> Self {
        Self(None)
    }

    /// Tenancy is on.
    pub fn on(rules: Rules) -> Self {
        Self(Some(Live::new(rules)))
    }

    /// Replaces the rules for later requests. Does nothing while tenancy is off.
    pub fn set(&self, rules: Rules) {
        if let Some(current) = &self.0 {
            current.set(rules);
        }
    }

    /// The tenant that the headers name. `None` while tenancy is off.
    ///
    /// # Errors
    /// [`HeaderError`], which does not depend on the list of tenants.
    pub fn resolve(&self, headers: &HeaderMap) -> Result<Option<NamedTenant>, HeaderError> {
        let Some(rules) = &self.0 else {
            return Ok(None);
        };
        rules.get().resolve(headers).map(Some)
    }

    /// The resolver for the resources of an Export with these headers. `None` if there is a tenant header or no attribute is configured.
    pub fn attribute_resolver(&self, headers: &HeaderMap) -> Option<AttributeResolver> {
        let rules = self.0.as_ref()?.get();
        let attribute = Arc::clone(rules.attribute.as_ref()?);
        (!headers.contains_key(&rules.header)).then(|| AttributeResolver::new(attribute, rules))
    }
}

// === impl Rules ===

impl Rules {
    fn resolve(&self, headers: &HeaderMap) -> Result<NamedTenant, HeaderError> {
        let mut values = headers.get_all(&self.header).into_iter();
        let Some(value) = values.next() else {
            let default = self.default.clone().ok_or(HeaderError::Missing);
            return default.map(NamedTenant::listed);
        };
        if values.next().is_some() {
            return Err(HeaderError::Extra);
        }
        let text = value.to_str().ok();
        text.and_then(|text| self.named(text))
            .ok_or(HeaderError::Unknown)
    }

    /// The tenant named `text`. `None` if that is not a valid name.
    pub(super) fn named(&self, text: &str) -> Option<NamedTenant> {
        let name: TenantName = text.parse().ok()?;
        let is_listed = self.tenants.is_empty() || self.tenants.contains(&name);
        Some(NamedTenant { name, is_listed })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;
    use crate::tenant::AttributeError;

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

    /// Resolves as for a caller with rights to every tenant.
    fn resolve(resolver: &Resolver, values: &[&str]) -> Result<Option<TenantName>, HeaderError> {
        let Some(named) = resolver.resolve(&headers(values))? else {
            return Ok(None);
        };
        named.tenant().map(Some).ok_or(HeaderError::Unknown)
    }

    #[track_caller]
    fn refuses(resolver: &Resolver, values: &[&str], text: &str) {
        let refused = resolve(resolver, values).unwrap_err();
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn headers_are_ignored_while_tenancy_is_off() {
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
            "a header takes precedence over the default"
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
    fn an_unlisted_name_and_an_invalid_one_are_unknown() {
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
    fn the_name_is_known_even_if_it_is_not_listed() {
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
    fn resources_name_tenants_only_without_any_header() {
        let resolver = with_attribute(&[], Some("a"));
        assert!(resolver.attribute_resolver(&headers(&[])).is_some());
        for values in [&["a"][..], &["a", "b"], &[""], &["../etc"]] {
            assert!(resolver.attribute_resolver(&headers(values)).is_none());
        }
        let without = [Resolver::off(), self::resolver(&[], Some("a"))];
        for resolver in without {
            assert!(resolver.attribute_resolver(&headers(&[])).is_none());
        }
    }

    #[test]
    fn a_resource_names_its_tenant_by_the_rules_of_the_header() {
        let by = |tenants, default| {
            let resolver = with_attribute(tenants, default);
            resolver.attribute_resolver(&headers(&[])).unwrap()
        };
        let tenant = |named: Result<NamedTenant, AttributeError>| named.map(NamedTenant::tenant);
        let open = by(&[], None);
        assert_eq!(open.attribute(), "tenant.id");
        assert_eq!(tenant(open.named("acme")), Ok(Some(name("acme"))));
        assert_eq!(open.default_tenant(), Err(AttributeError::Missing));
        for text in ["", "..", "a b", "é", &"x".repeat(64)] {
            assert_eq!(open.named(text), Err(AttributeError::Unknown), "{text:?}");
        }
        let listed = by(&["a"], Some("a"));
        assert_eq!(tenant(listed.named("b")), Ok(None));
        assert_eq!(tenant(listed.default_tenant()), Ok(Some(name("a"))));
    }
}
