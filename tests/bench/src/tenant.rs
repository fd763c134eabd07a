//! The tenant of a call, as metadata.

use anyhow::{Context, Result};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// A tenant's name with the header that carries it.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    header: AsciiMetadataKey,
    name: AsciiMetadataValue,
}

impl Tenant {
    /// Fails if the name is not valid in a header.
    pub(crate) fn new(header: &AsciiMetadataKey, name: &str) -> Result<Self> {
        Ok(Self {
            header: header.clone(),
            name: name
                .parse()
                .with_context(|| format!("the tenant {name:?} cannot be in a header"))?,
        })
    }

    /// Adds the tenant to a call's metadata.
    pub(crate) fn name_in(&self, metadata: &mut MetadataMap) {
        metadata.insert(self.header.clone(), self.name.clone());
    }

    /// Returns the name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }
}

/// Tenants that are written to in turn: `t0000` and so on.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<Tenant>);

impl Spread {
    /// Makes this many tenants; none for 0.
    pub(crate) fn new(header: &AsciiMetadataKey, tenants: u64) -> Result<Self> {
        let tenants = (0..tenants).map(|number| Tenant::new(header, &numbered(number)));
        tenants.collect::<Result<_>>().map(Self)
    }

    /// Iterates over the tenant of each request, in turn; empty without tenants.
    pub(crate) fn turns(&self) -> impl Iterator<Item = Tenant> {
        self.0.iter().cloned().cycle()
    }

    /// Returns the first tenant.
    pub(crate) fn first(&self) -> Option<&Tenant> {
        self.0.first()
    }
}

/// Returns the name of tenant number `number`.
pub(crate) fn numbered(number: u64) -> String {
    format!("t{number:04}")
}
