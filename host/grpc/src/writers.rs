//! Whose spans an Export without a tenant's header holds: each of its resources names its tenant.

use std::collections::HashMap;

use larder_edge::access::{Caller, Right};
use larder_edge::tenant::{ByResource, Unassigned};
use larder_ingest::{self as ingest, Malformed, Said, Share};
use larder_model::TenantName;

/// The most tenants of one request: each may have its plugin opened.
const MAX_TENANTS: usize = 64;

/// How much is told of a name that is none.
const MOST_OF_A_NAME: usize = 64;

/// Asks each resource, and whether who calls may write for the tenant that it names.
#[derive(Clone)]
pub(super) struct Writers {
    by_resource: ByResource,
    caller: Caller,
}

/// Whose a share of a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This tenant's.
    Tenant(TenantName),
    /// Nobody's: its spans are refused.
    Nobody(Denied),
}

/// Why spans are refused, told of the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    /// The word for metrics and the log.
    pub(super) reason: &'static str,
    /// What is wrong, and what to do.
    pub(super) text: String,
}

/// The owners found so far.
#[derive(Default)]
struct Owners<'a> {
    found: Vec<Owner>,
    /// What was decided of a text.
    places: HashMap<&'a str, usize>,
    tenants: usize,
}

// === impl Writers ===

impl Writers {
    pub(super) fn new(by_resource: ByResource, caller: Caller) -> Self {
        Self {
            by_resource,
            caller,
        }
    }

    /// The share of each owner in an encoded `ExportTraceServiceRequest`, in the order in which they are named first. All that is refused
    /// for one reason is one share.
    pub(super) fn split<'a>(
        &self,
        request: &'a [u8],
    ) -> Result<Vec<(Owner, Share<'a>)>, Malformed> {
        let mut owners = Owners::default();
        let shares = ingest::split(request, self.by_resource.attribute(), |said| {
            if let Said::Text(text) = said
                && let Some(place) = owners.places.get(text)
            {
                return *place;
            }
            let place = owners.place(self.owner(said));
            let is_tenant = matches!(owners.found.get(place), Some(Owner::Tenant(_)));
            if let (Said::Text(text), true) = (said, is_tenant) {
                owners.places.insert(text, place);
            }
            place
        })?;
        Ok(owners.found.into_iter().zip(shares).collect())
    }

    fn owner(&self, said: Said<'_>) -> Owner {
        let by = &self.by_resource;
        let named = match said {
            Said::Nothing => by.unnamed(),
            Said::Text(text) => by.named(text),
            Said::NoText => Err(Unassigned::Unknown),
            Said::Twice => Err(Unassigned::Extra),
        };
        let named = match named {
            Ok(named) => named,
            Err(why) => return Owner::Nobody(self.unassigned(why, said)),
        };
        // Before it is told whether the name is listed: who may not write for it learns nothing of that.
        if let Err(refusal) = self.caller.check(Right::Write, named.name().as_str()) {
            return Owner::Nobody(Denied {
                reason: "tenant_denied",
                text: refusal.to_string(),
            });
        }
        match named.tenant() {
            Some(tenant) => Owner::Tenant(tenant),
            None => Owner::Nobody(self.unassigned(Unassigned::Unknown, said)),
        }
    }

    fn unassigned(&self, why: Unassigned, said: Said<'_>) -> Denied {
        let attribute = self.by_resource.attribute();
        let (reason, told) = match why {
            Unassigned::Missing => (
                "tenant_missing",
                format!(
                    "the resource has no attribute {attribute:?}, which tenancy.resource_attribute asks for, and this port has no tenancy.default"
                ),
            ),
            Unassigned::Extra => (
                "tenant_extra",
                format!("the resource has the attribute {attribute:?} more than once"),
            ),
            Unassigned::Unknown => {
                let value = match said {
                    Said::Text(text) => {
                        let text: String = text.chars().take(MOST_OF_A_NAME).collect();
                        format!("{text:?}")
                    }
                    _ => "something else than a text".to_owned(),
                };
                let told = format!("the resource's attribute {attribute:?} is {value}");
                ("tenant_unknown", told)
            }
        };
        Denied {
            reason,
            text: format!("{why}: {told}"),
        }
    }
}

// === impl Owners ===

impl Owners<'_> {
    /// The place of this owner, which is added where it is new.
    fn place(&mut self, owner: Owner) -> usize {
        let owner = self.bounded(owner);
        let known = self.found.iter().position(|known| match (known, &owner) {
            (Owner::Tenant(known), Owner::Tenant(new)) => known == new,
            (Owner::Nobody(known), Owner::Nobody(new)) => known.reason == new.reason,
            _ => false,
        });
        known.unwrap_or_else(|| {
            self.tenants += usize::from(matches!(owner, Owner::Tenant(_)));
            self.found.push(owner);
            self.found.len() - 1
        })
    }

    fn bounded(&self, owner: Owner) -> Owner {
        match owner {
            Owner::Tenant(tenant)
                if self.tenants >= MAX_TENANTS
                    && !self.found.contains(&Owner::Tenant(tenant.clone())) =>
            {
                Owner::Nobody(Denied {
                    reason: "tenant_too_many",
                    text: format!(
                        "one request may hold spans of {MAX_TENANTS} tenants, and {:?} is one more: send less at a time",
                        tenant.as_str()
                    ),
                })
            }
            owner => owner,
        }
    }
}

#[cfg(test)]
mod tests;
