//! The settings about tenants, and their types.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use larder_model::TenantName;
use serde::{Serialize, Serializer};

use super::overrides::Overrides;
use super::value::{self, Value};

/// Who a request is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tenancy {
    /// Whether requests name their tenants.
    pub enabled: bool,
    /// The header that does.
    pub header: Header,
    /// The only tenants; empty means every safe name.
    pub tenants: TenantNames,
    /// The most tenants, where there is no list.
    pub max_tenants: usize,
    /// Who is not called for so long is put away.
    #[serde(serialize_with = "value::as_text")]
    pub idle_timeout: Duration,
    /// The tenant of requests without the header.
    pub default: Option<TenantName>,
    /// The same on the writer's own port.
    pub writer_default: Option<TenantName>,
    /// The resource attribute that names the tenants of an Export without the header.
    pub resource_attribute: Option<String>,
    /// What each tenant has of its own.
    pub overrides: Overrides,
}

/// The name of a header, in lower case as gRPC has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(HeaderName);

/// A list of tenants. In a text they stand between commas, which no name has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TenantNames(pub BTreeSet<TenantName>);

impl Default for Tenancy {
    fn default() -> Self {
        Self {
            enabled: false,
            header: Header(HeaderName::from_static("x-tenant")),
            tenants: TenantNames::default(),
            max_tenants: 1000,
            idle_timeout: Duration::from_mins(10),
            default: None,
            writer_default: None,
            resource_attribute: None,
            overrides: Overrides::default(),
        }
    }
}

// === impl Header ===

impl Header {
    /// For a map of headers.
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl PartialOrd for Header {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.0.as_str().partial_cmp(other.0.as_str())
    }
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl Value for Header {
    const KIND: &'static str =
        "a header's name such as x-tenant, without `-bin` at its end or `grpc-` before it";

    fn read(text: &str) -> Option<Self> {
        let name: HeaderName = text.parse().ok()?;
        let text = name.as_str();
        let is_free = !text.ends_with("-bin") && !text.starts_with("grpc-");
        is_free.then_some(Self(name))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

// === tenants ===

impl Value for TenantName {
    const KIND: &'static str = "a tenant's name: 1 to 63 of ASCII letters, digits, `-`, `_` and `.`, with a letter or a digit first";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for TenantNames {
    const KIND: &'static str = "a list of tenants, each 1 to 63 of ASCII letters, digits, `-`, `_` and `.`, with a letter or a digit first";
    const IS_LIST: bool = true;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let names = text.split(',').map(|name| name.trim().parse());
        names.collect::<Result<_, _>>().ok().map(Self)
    }

    fn show(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(TenantName::as_str).collect();
        names.join(",")
    }
}
