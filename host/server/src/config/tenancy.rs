//! The settings of tenancy, and their types.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use larder_model::TenantName;
use serde::{Serialize, Serializer};

use super::overrides::Overrides;
use super::value::{self, Size, Value};

/// The settings of tenancy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tenancy {
    /// Requires each request to name its tenant.
    pub enabled: bool,
    /// The header with the tenant's name.
    pub header: Header,
    /// The allowed tenants. If empty, every valid name is allowed.
    pub tenants: TenantNames,
    /// The most tenants, if there is no list.
    pub max_tenants: usize,
    /// A tenant without calls for this time is evicted until its next call.
    #[serde(serialize_with = "value::as_text")]
    pub idle_timeout: Duration,
    /// The most tenants whose plugin is open at a time.
    pub max_open: usize,
    /// Memory of the open tenants, of their plugins and of their listed values, from which on one is evicted before another is opened.
    pub open_memory: Size,
    /// The tenant of requests without the header. If unset, they are refused.
    pub default: Option<TenantName>,
    /// The same for the writer port.
    pub writer_default: Option<TenantName>,
    /// The resource attribute with the tenant's name, for Exports without the header.
    pub resource_attribute: Option<String>,
    /// Settings of single tenants.
    pub overrides: Overrides,
}

/// The name of a header, in lower case as in gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(HeaderName);

/// A list of tenants. Its text has commas between the names; no name has one.
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
            max_open: 1000,
            open_memory: Size::mib(4096),
            default: None,
            writer_default: None,
            resource_attribute: None,
            overrides: Overrides::default(),
        }
    }
}

// === impl Header ===

impl Header {
    /// The name, as a key of a header map.
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
