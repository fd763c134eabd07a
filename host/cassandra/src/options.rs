//! What the driver has to know.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use larder_store::Quotas;

/// Number of copies in each datacentre.
pub type Replication = BTreeMap<String, u32>;

/// Copies in the datacentre if [`Options::replication`] is empty: with three, one node may fail.
pub(crate) const DEFAULT_COPIES: u32 = 3;

/// Options of the driver.
#[derive(Clone)]
pub struct Options {
    /// Nodes to begin with, as `host:port`. The others are found by themselves.
    pub contact_points: Vec<String>,
    /// The keyspace: letters, digits and `_`.
    pub keyspace: String,
    /// The datacentre whose nodes are used. `None` takes that of the first node found.
    pub datacenter: Option<String>,
    /// Copies of everything, by datacentre, for a keyspace that the driver creates. Empty for three in the datacentre used.
    pub replication: Replication,
    /// Creates the keyspace and the tables that are missing. If false, the driver checks that they exist.
    pub create_schema: bool,
    /// The role to log in as.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS to the nodes; `None` for none.
    pub tls: Option<Tls>,
    /// Time that one statement may take, with its repetitions.
    pub timeout: Duration,
    /// Time after which a read is sent to a second node as well; `None` for never.
    pub speculative_after: Option<Duration>,
    /// Statements under way at the same time. At least 1.
    pub max_in_flight: usize,
    /// This host's writer id. It is unique among all hosts, and stays the same after a restart.
    pub host: String,
    /// Where this host's operators reach it, for people: host name and process.
    pub address: String,
    /// Memory for objects that have been read, in bytes; 0 for none.
    pub cache_bytes: u64,
    /// Limits of the bytes that each tenant may store.
    pub quotas: Quotas,
    /// Time for which a reclaimed partition stays readable: longer than the longest query.
    pub linger: Duration,
    /// This host's release, for people.
    pub version: String,
}

/// TLS to the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that sign the nodes' certificates. Required.
    pub ca: Option<PathBuf>,
    /// PEM file of this host's certificate, for nodes that ask for one.
    pub cert: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// Requires that a node's certificate names the IP address at which the node is reached. Without it, any certificate of the
    /// authorities is accepted.
    pub verify_hostname: bool,
}

// === impl Options ===

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("contact_points", &self.contact_points)
            .field("keyspace", &self.keyspace)
            .field("datacenter", &self.datacenter)
            .field("host", &self.host)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Options that reach nothing.
    pub(crate) fn options() -> Options {
        Options {
            contact_points: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "larder".to_owned(),
            datacenter: None,
            replication: Replication::new(),
            create_schema: true,
            username: None,
            password: None,
            tls: None,
            timeout: Duration::from_secs(10),
            speculative_after: None,
            max_in_flight: 16,
            host: "h1".to_owned(),
            address: "here (1)".to_owned(),
            cache_bytes: 0,
            quotas: Quotas::default(),
            linger: Duration::from_mins(1),
            version: "0".to_owned(),
        }
    }

    #[test]
    fn the_password_is_not_in_the_debug_text() {
        let options = Options {
            password: Some("hunter2".to_owned()),
            ..options()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
