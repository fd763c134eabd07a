//! Splits an Export without a tenant header by the tenants that its resources name.

use std::collections::HashMap;

use larder_edge::access::{Caller, Right};
use larder_edge::tenant::{AttributeError, AttributeResolver};
use larder_ingest::{self as ingest, AttributeText, Malformed, Share};
use larder_model::TenantName;

/// Maximum tenants of one request, as each may require its plugin to be opened.
const MAX_TENANTS: usize = 64;

/// Characters of an invalid name that are quoted in messages.
const MAX_SHOWN_CHARS: usize = 64;

/// Resolves the tenant of each resource and checks the caller's right to write for it.
#[derive(Clone)]
pub(super) struct TenantSplitter {
    resolver: AttributeResolver,
    caller: Caller,
}

/// Destination of a share of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Written to this tenant.
    Tenant(TenantName),
    /// Refused.
    Refused(Refusal),
}

/// Reason for refused spans. The text is that of the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason in metrics and the log.
    pub(super) reason: &'static str,
    /// The problem and its remedy.
    pub(super) text: String,
}

/// The destinations found so far.
#[derive(Default)]
struct Destinations<'a> {
    found: Vec<Destination>,
    /// Index in `found` of the destination of an attribute's text.
    indexes: HashMap<&'a str, usize>,
    tenants: usize,
}

// === impl TenantSplitter ===

impl TenantSplitter {
    pub(super) fn new(resolver: AttributeResolver, caller: Caller) -> Self {
        Self { resolver, caller }
    }

    /// Splits an encoded `ExportTraceServiceRequest` into one share per destination, in the order of their first resources. All spans
    /// refused for one reason are one share.
    pub(super) fn split<'a>(
        &self,
        request: &'a [u8],
    ) -> Result<Vec<(Destination, Share<'a>)>, Malformed> {
        let mut destinations = Destinations::default();
        let shares = ingest::split(request, self.resolver.attribute(), |said| {
            if let AttributeText::Text(text) = said
                && let Some(index) = destinations.indexes.get(text)
            {
                return *index;
            }
            let index = destinations.index_of(self.destination(said));
            let is_tenant = matches!(destinations.found.get(index), Some(Destination::Tenant(_)));
            if let (AttributeText::Text(text), true) = (said, is_tenant) {
                destinations.indexes.insert(text, index);
            }
            index
        })?;
        Ok(destinations.found.into_iter().zip(shares).collect())
    }

    fn destination(&self, said: AttributeText<'_>) -> Destination {
        let resolver = &self.resolver;
        let named = match said {
            AttributeText::Missing => resolver.default_tenant(),
            AttributeText::Text(text) => resolver.named(text),
            AttributeText::NotText => Err(AttributeError::Unknown),
            AttributeText::Repeated => Err(AttributeError::Extra),
        };
        let named = match named {
            Ok(named) => named,
            Err(error) => return Destination::Refused(self.refusal(error, said)),
        };
        // Checked before the name is looked up, so that a caller without the right does not learn which tenants are listed.
        if let Err(error) = self.caller.check(Right::Write, named.name().as_str()) {
            return Destination::Refused(Refusal {
                reason: "tenant_denied",
                text: error.to_string(),
            });
        }
        match named.tenant() {
            Some(tenant) => Destination::Tenant(tenant),
            None => Destination::Refused(self.refusal(AttributeError::Unknown, said)),
        }
    }

    fn refusal(&self, error: AttributeError, said: AttributeText<'_>) -> Refusal {
        let attribute = self.resolver.attribute();
        let (reason, detail) = match error {
            AttributeError::Missing => (
                "tenant_missing",
                format!(
                    "the resource has no attribute {attribute:?}, which tenancy.resource_attribute asks for, and this port has no tenancy.default"
                ),
            ),
            AttributeError::Extra => (
                "tenant_extra",
                format!("the resource has the attribute {attribute:?} more than once"),
            ),
            AttributeError::Unknown => {
                let value = match said {
                    AttributeText::Text(text) => {
                        let text: String = text.chars().take(MAX_SHOWN_CHARS).collect();
                        format!("{text:?}")
                    }
                    _ => "something else than a text".to_owned(),
                };
                let detail = format!("the resource's attribute {attribute:?} is {value}");
                ("tenant_unknown", detail)
            }
        };
        Refusal {
            reason,
            text: format!("{error}: {detail}"),
        }
    }
}

// === impl Destinations ===

impl Destinations<'_> {
    /// The index of a destination, which is added if it is new.
    fn index_of(&mut self, destination: Destination) -> usize {
        let destination = self.bounded(destination);
        let known = self
            .found
            .iter()
            .position(|known| match (known, &destination) {
                (Destination::Tenant(known), Destination::Tenant(new)) => known == new,
                (Destination::Refused(known), Destination::Refused(new)) => {
                    known.reason == new.reason
                }
                _ => false,
            });
        known.unwrap_or_else(|| {
            self.tenants += usize::from(matches!(destination, Destination::Tenant(_)));
            self.found.push(destination);
            self.found.len() - 1
        })
    }

    fn bounded(&self, destination: Destination) -> Destination {
        match destination {
            Destination::Tenant(tenant)
                if self.tenants >= MAX_TENANTS
                    && !self.found.contains(&Destination::Tenant(tenant.clone())) =>
            {
                Destination::Refused(Refusal {
                    reason: "tenant_too_many",
                    text: format!(
                        "one request may hold spans of {MAX_TENANTS} tenants, and {:?} is one more: send less at a time",
                        tenant.as_str()
                    ),
                })
            }
            destination => destination,
        }
    }
}

#[cfg(test)]
mod tests;
