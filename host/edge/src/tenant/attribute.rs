//! Tenants named by a resource attribute (`tenancy.resource_attribute`), for requests without the tenant header.
//!
//! For writers that cannot send a header, such as Jaeger's own pipeline. The header takes precedence over attributes, so that clients
//! behind a gateway that sets it cannot choose another tenant.

use std::sync::Arc;

use super::{NamedTenant, Rules};

/// Resolves the tenants of the resources of one request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AttributeResolver {
    attribute: Arc<str>,
    rules: Arc<Rules>,
}

/// A resource without a usable tenant. The texts follow Jaeger's for the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// There is no attribute and no default.
    #[error("missing tenant attribute")]
    Missing,
    /// The resource has the attribute more than once.
    #[error("extra tenant attribute")]
    Extra,
    /// The value is not one of the tenants, not a valid name, or not a string.
    #[error("unknown tenant")]
    Unknown,
}

// === impl AttributeResolver ===

impl AttributeResolver {
    pub(super) fn new(attribute: Arc<str>, rules: Arc<Rules>) -> Self {
        Self { attribute, rules }
    }

    /// The key of the attribute that names the tenant.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The tenant of a resource whose attribute is `text`.
    ///
    /// # Errors
    /// [`AttributeError::Unknown`] if `text` is not a valid name.
    pub fn named(&self, text: &str) -> Result<NamedTenant, AttributeError> {
        self.rules.named(text).ok_or(AttributeError::Unknown)
    }

    /// The tenant of a resource without the attribute, which is that of a request without the header.
    ///
    /// # Errors
    /// [`AttributeError::Missing`] if there is no default.
    pub fn default_tenant(&self) -> Result<NamedTenant, AttributeError> {
        let default = self.rules.default.clone();
        default
            .map(NamedTenant::listed)
            .ok_or(AttributeError::Missing)
    }
}
