//! The tenant that a call is made for, as metadata.

use anyhow::{Context, Result};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// A tenant's name with the header that carries it.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    header: AsciiMetadataKey,
    name: AsciiMetadataValue,
}

impl Tenant {
    /// Fails if the name cannot be in a header.
    pub(crate) fn new(header: &AsciiMetadataKey, name: &str) -> Result<Self> {
        Ok(Self {
            header: header.clone(),
            name: name
                .parse()
                .with_context(|| format!("the tenant {name:?} cannot be in a header"))?,
        })
    }

    /// Names the tenant in a call's metadata.
    pub(crate) fn name_in(&self, metadata: &mut MetadataMap) {
        metadata.insert(self.header.clone(), self.name.clone());
    }

    /// The name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }
}
