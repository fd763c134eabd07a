//! The settings of the driver `cassandra`, and their types. With another driver they are read, and have no effect.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::value::{self, Endpoint, Size, Value};

/// The port of Cassandra's native protocol, unless a contact point has another.
const PORT: u16 = 9042;

/// The most bytes of Cassandra's names of keyspaces.
const MAX_KEYSPACE: usize = 48;

/// The most bytes of a host's name in DNS.
const MAX_HOST: usize = 253;

/// The settings of the driver `cassandra`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cassandra {
    /// Nodes to begin with. The others are found by themselves.
    pub contact_points: ContactPoints,
    /// The keyspace.
    pub keyspace: Keyspace,
    /// The datacentre whose nodes are used. `None` takes that of a contact point.
    pub datacenter: Option<String>,
    /// Copies of everything, for a keyspace that is made. `None` is three in the datacentre used.
    pub replication: Option<Replication>,
    /// Makes the keyspace and its tables where they are missing.
    pub create_schema: bool,
    /// The role to log in as.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// TLS to the nodes.
    pub tls: CassandraTls,
    /// Time that one statement may take, with its repetitions.
    #[serde(serialize_with = "value::as_text")]
    pub timeout: Duration,
    /// Time after which a read is sent to a second node as well; `None` for never.
    #[serde(serialize_with = "value::as_text_if_set")]
    pub speculative_after: Option<Duration>,
    /// The most statements under way at a time.
    pub max_in_flight: usize,
    /// The writer id of this host. `None` takes the machine's host name.
    pub host: Option<HostId>,
    /// Where this host's operators reach it, for people. `None` is the machine's host name and the process.
    pub address: Option<String>,
    /// Memory for objects that have been read.
    pub cache: Size,
}

/// TLS to the nodes, off without `ca`. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CassandraTls {
    /// The authorities that sign the nodes' certificates.
    pub ca: Option<PathBuf>,
    /// This host's certificate, for nodes that ask for one.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Requires that a node's certificate names its address.
    pub verify_hostname: bool,
}

/// Nodes as `host:port`. The text has commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Serialize)]
pub struct ContactPoints(pub Vec<Endpoint>);

/// The name of a keyspace: lower-case letters, digits and `_`, with a letter first, so that it needs no quotes in CQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Serialize)]
pub struct Keyspace(String);

/// Numbers of copies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum Replication {
    /// In the datacentre that is used.
    Copies(NonZeroU32),
    /// By datacentre.
    ByDatacenter(BTreeMap<String, NonZeroU32>),
}

/// A writer id, as DNS names hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Serialize)]
pub struct HostId(String);

/// A text that is shown nowhere: neither in logs nor in a printed configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd)]
pub struct Secret(String);

// === impl Cassandra ===

impl Default for Cassandra {
    fn default() -> Self {
        Self {
            contact_points: ContactPoints::default(),
            keyspace: Keyspace("larder".to_owned()),
            datacenter: None,
            replication: None,
            create_schema: true,
            username: None,
            password: None,
            password_file: None,
            tls: CassandraTls::default(),
            timeout: Duration::from_secs(4),
            speculative_after: None,
            max_in_flight: 256,
            host: None,
            address: None,
            cache: Size::mib(256),
        }
    }
}

impl Cassandra {
    /// Checks the rules between the settings, if the driver is used. The result is the path and the text of an error.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        let wrong = |path, why: &str| Some((path, why.to_owned()));
        if self.contact_points.0.is_empty() {
            return wrong(
                "kv.cassandra.contact_points",
                "`kv.driver` is `cassandra`: name at least one node, such as [cassandra-0:9042]",
            );
        }
        match (&self.username, &self.password, &self.password_file) {
            (_, Some(_), Some(_)) => {
                return wrong(
                    "kv.cassandra.password_file",
                    "`kv.cassandra.password` is set too; set one of them",
                );
            }
            (None, Some(_), None) => {
                return wrong(
                    "kv.cassandra.password",
                    "a password is that of a role: set `kv.cassandra.username` as well",
                );
            }
            (None, None, Some(_)) => {
                return wrong(
                    "kv.cassandra.password_file",
                    "a password is that of a role: set `kv.cassandra.username` as well",
                );
            }
            (Some(_), None, None) => {
                return wrong(
                    "kv.cassandra.username",
                    "a role has a password: set `kv.cassandra.password_file` or `kv.cassandra.password`",
                );
            }
            (None, None, None) | (Some(_), _, _) => {}
        }
        if matches!(self.replication, Some(Replication::Copies(_))) && self.datacenter.is_none() {
            return wrong(
                "kv.cassandra.replication",
                "a number is that of `kv.cassandra.datacenter`, which is not set: set it, or name the datacentre here, as { dc1: 3 }",
            );
        }
        if let (Some(Replication::ByDatacenter(copies)), Some(datacenter)) =
            (&self.replication, &self.datacenter)
            && !copies.contains_key(datacenter)
        {
            let why = format!(
                "there are no copies in `{datacenter}`, which is `kv.cassandra.datacenter`, so nothing could be read there: add it"
            );
            return Some(("kv.cassandra.replication", why));
        }
        if self
            .speculative_after
            .is_some_and(|after| after >= self.timeout)
        {
            return wrong(
                "kv.cassandra.speculative_after",
                "must be less than `kv.cassandra.timeout`, at which the read has failed",
            );
        }
        self.tls.contradiction()
    }
}

impl CassandraTls {
    fn contradiction(&self) -> Option<(&'static str, String)> {
        let needs = |path, missing| {
            let why = format!("TLS needs `{missing}` as well; set it, or unset this");
            Some((path, why))
        };
        let ca = "kv.cassandra.tls.ca";
        match (&self.ca, &self.cert, &self.key) {
            (None, Some(_), _) => needs("kv.cassandra.tls.cert", ca),
            (None, None, Some(_)) => needs("kv.cassandra.tls.key", ca),
            (None, None, None) if self.verify_hostname => {
                needs("kv.cassandra.tls.verify_hostname", ca)
            }
            (Some(_), Some(_), None) => needs("kv.cassandra.tls.cert", "kv.cassandra.tls.key"),
            (Some(_), None, Some(_)) => needs("kv.cassandra.tls.key", "kv.cassandra.tls.cert"),
            (None | Some(_), None, None) | (Some(_), Some(_), Some(_)) => None,
        }
    }
}

// === impl ContactPoints ===

impl Value for ContactPoints {
    const KIND: &'static str =
        "a list of nodes, each host or host:port, such as [cassandra-0, cassandra-1:9042]";
    const IS_LIST: bool = true;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let node = |text: &str| {
            let text = text.trim();
            let with_port = || Endpoint::read(&format!("{text}:{PORT}"));
            let node = Endpoint::read(text).or_else(with_port)?;
            node.is_of_a_peer().then_some(node)
        };
        text.split(',').map(node).collect::<Option<_>>().map(Self)
    }

    fn show(&self) -> String {
        let nodes: Vec<String> = self.0.iter().map(Endpoint::to_string).collect();
        nodes.join(",")
    }
}

// === impl Keyspace ===

impl Keyspace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Keyspace {
    const KIND: &'static str =
        "a keyspace: up to 48 lower-case letters, digits and `_`, with a letter first";

    fn read(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let is_name = begins && text.len() <= MAX_KEYSPACE && text.chars().all(fits);
        is_name.then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

// === impl Replication ===

impl Value for Replication {
    const KIND: &'static str = "a number of copies such as 3, or one for each datacentre such as { dc1: 3 } (in a variable dc1:3, with commas between several)";
    const IS_MAP: bool = true;

    fn read(text: &str) -> Option<Self> {
        if let Ok(copies) = text.parse() {
            return Some(Self::Copies(copies));
        }
        let mut by_datacenter = BTreeMap::new();
        for pair in text.split(',') {
            let (datacenter, copies) = pair.split_once(':')?;
            let datacenter = datacenter.trim();
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
            if datacenter.is_empty() || !datacenter.chars().all(fits) {
                return None;
            }
            let copies = copies.trim().parse().ok()?;
            if by_datacenter
                .insert(datacenter.to_owned(), copies)
                .is_some()
            {
                return None;
            }
        }
        Some(Self::ByDatacenter(by_datacenter))
    }

    fn show(&self) -> String {
        match self {
            Self::Copies(copies) => copies.to_string(),
            Self::ByDatacenter(by_datacenter) => {
                let pairs = by_datacenter.iter();
                let pairs = pairs.map(|(datacenter, copies)| format!("{datacenter}:{copies}"));
                pairs.collect::<Vec<_>>().join(",")
            }
        }
    }
}

// === impl HostId ===

impl HostId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for HostId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).ok_or_else(|| format!("expected {}, got `{text}`", Self::KIND))
    }
}

impl Value for HostId {
    const KIND: &'static str =
        "a host's name: letters, digits, `-`, `_` and `.`, with a letter or a digit first";

    fn read(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_name = begins && text.len() <= MAX_HOST && text.chars().all(fits);
        is_name.then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

// === impl Secret ===

impl Secret {
    /// The text, for those who need it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// As if it were unset.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_none()
    }
}

impl Value for Secret {
    const KIND: &'static str = "a text that is not empty";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
