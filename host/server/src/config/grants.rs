//! The settings of `plugin.grants`, and their types.

use larder_runtime::plugin;
use serde::{Serialize, Serializer};

use super::value::{Size, Value};

/// What the plugin is granted besides its sandbox. Nothing unless it is named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grants {
    /// Where it may send HTTP requests.
    pub http: Authorities,
    /// Where it may connect to by TCP.
    pub tcp: Authorities,
    /// The environment variables that it is handed.
    pub env: Variables,
    /// The time of day.
    pub clock: bool,
    /// The most connections of one instance at a time.
    pub max_connections: usize,
    /// The most bytes that one call may send and receive.
    pub max_call_bytes: Size,
}

/// Hosts with their ports. The text has commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd)]
pub struct Authorities(pub Vec<plugin::Authority>);

/// Variables, each from the server's environment or from a file. The text has commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd)]
pub struct Variables(pub Vec<plugin::Variable>);

// === impl Grants ===

impl Default for Grants {
    fn default() -> Self {
        Self {
            http: Authorities::default(),
            tcp: Authorities::default(),
            env: Variables::default(),
            clock: false,
            max_connections: 16,
            max_call_bytes: Size::mib(256),
        }
    }
}

impl From<&Grants> for plugin::Grants {
    fn from(grants: &Grants) -> Self {
        Self {
            http: grants.http.0.clone(),
            tcp: grants.tcp.0.clone(),
            variables: grants.env.0.clone(),
            clock: grants.clock,
            max_connections: grants.max_connections,
            max_call_bytes: grants.max_call_bytes.bytes(),
        }
    }
}

// === impl Authorities ===

impl Value for Authorities {
    const KIND: &'static str =
        "a list of hosts with their ports, such as [postgres:5432], without schemes and wildcards";
    const IS_LIST: bool = true;

    fn read(text: &str) -> Option<Self> {
        read_list(text).map(Self)
    }

    fn show(&self) -> String {
        show_list(&self.0)
    }
}

impl Serialize for Authorities {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

// === impl Variables ===

impl Value for Variables {
    const KIND: &'static str = "a list of names of environment variables, such as [PGPASSWORD], or of names and files, such as ['PGPASSWORD=file:/run/secrets/pg']";
    const IS_LIST: bool = true;
    const MAY_BE_SECRET: bool = true;

    fn read(text: &str) -> Option<Self> {
        read_list(text).map(Self)
    }

    fn show(&self) -> String {
        show_list(&self.0)
    }
}

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

fn read_list<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    let texts = text.split(',').map(str::trim);
    let texts = texts.filter(|_| !text.is_empty());
    texts.map(|text| text.parse().ok()).collect()
}

fn show_list<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(",")
}
