//! The tenants of a request without the header, where `tenancy.resource_attribute` is set: each resource names its own.
//!
//! For writers that cannot send a header, as Jaeger's own pipeline. The header goes first: a request that has it is of its tenant
//! whatever its resources say, so that a gateway that sets the header cannot be talked round.

use std::sync::Arc;

use super::{Named, Rules};

/// Says whose a resource's spans are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ByResource {
    attribute: Arc<str>,
    rules: Arc<Rules>,
}

/// Why a resource's spans are nobody's. The texts follow those that Jaeger has for the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unassigned {
    /// The attribute is not there, and there is no default.
    #[error("missing tenant attribute")]
    Missing,
    /// The attribute is there more than once.
    #[error("extra tenant attribute")]
    Extra,
    /// Not one of the tenants, or no name at all, or no text.
    #[error("unknown tenant")]
    Unknown,
}

// === impl ByResource ===

impl ByResource {
    pub(super) fn new(attribute: Arc<str>, rules: Arc<Rules>) -> Self {
        Self { attribute, rules }
    }

    /// The attribute that names the tenant.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// What a resource names that has the attribute once, with this text.
    ///
    /// # Errors
    /// [`Unassigned::Unknown`] where that is no name.
    pub fn named(&self, text: &str) -> Result<Named, Unassigned> {
        self.rules.named(text).ok_or(Unassigned::Unknown)
    }

    /// The tenant of a resource without the attribute: that of a request without the header.
    ///
    /// # Errors
    /// [`Unassigned::Missing`]
    pub fn unnamed(&self) -> Result<Named, Unassigned> {
        let default = self.rules.default.clone();
        default.map(Named::known).ok_or(Unassigned::Missing)
    }
}
