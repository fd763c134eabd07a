//! The settings and their sources: defaults, then the YAML file, then `LARDER_…` in the environment, then flags.
//!
//! All sources go through one table ([`SETTINGS`]), so a value is checked in one place, and an error names the file position,
//! variable or flag that gave it.
//!
//! Architecture invariant: nothing here opens or binds anything except the configuration file; of other paths it may ask only where they
//! lead. `server.rs` turns a [`Config`] into the limits of the other crates.

mod cassandra;
mod environment;
mod error;
mod file;
mod grants;
mod load;
mod overrides;
mod reload;
mod settings;
mod span_limit;
mod tenancy;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use cassandra::{
    Cassandra, CassandraTls, ContactPoints, HostId, Keyspace, Replication, Secret,
};
pub use error::{Error, Origin};
pub use grants::{Authorities, Grants, Variables};
pub use load::{Flag, Sources};
pub use overrides::{OVERRIDES, Override, Overrides};
pub use reload::Changes;
pub use settings::{PLUGIN_SETTINGS, Reload, SETTINGS, Scope, Setting, markdown};
pub use tenancy::{Header, Tenancy, TenantNames};
pub use value::{Durability, Endpoint, KvDriver, Size};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The gRPC ports.
    pub grpc: Grpc,
    /// The HTTP port for operators.
    pub admin: Admin,
    /// Authentication of callers.
    pub access: Access,
    /// The storage plugin.
    pub plugin: Plugin,
    /// The directory for stored data and compiled plugins.
    pub data_dir: PathBuf,
    /// Refuses environment variables with the prefix `LARDER_` that name no setting.
    pub strict_environment: bool,
    /// What is made of written spans.
    pub ingest: Ingest,
    /// Limits of plugins, queries, queues and connections.
    pub limits: Limits,
    /// Storage behind the plugins' `kv` import.
    pub kv: Kv,
    /// The calls between services.
    pub dependencies: Dependencies,
    /// Tenants.
    pub tenancy: Tenancy,
}

/// The gRPC ports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grpc {
    /// Address of the port with all services.
    pub endpoint: Endpoint,
    /// Address of a second port, for OTLP writes only.
    pub writer_endpoint: Option<Endpoint>,
    /// The largest request, after decompression. Jaeger's batches pass gRPC's usual 4 MiB (W7).
    pub max_request_bytes: Size,
    /// The largest message of an answer. Jaeger's client takes 4 MiB, framing included (W7).
    pub max_message_bytes: Size,
    /// Age at which a connection is asked to end, about; `None` leaves it open.
    #[serde(serialize_with = "value::as_text_if_set")]
    pub max_connection_age: Option<Duration>,
    /// Ends pages with a token for the next (Jaeger's RFC 0014). A first page is served in any case.
    pub pagination: bool,
    /// TLS of these ports.
    pub tls: Tls,
}

/// TLS of a port, off by default. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub cert: Option<PathBuf>,
    /// The certificate's private key.
    pub key: Option<PathBuf>,
    /// CAs for client certificates. If set, every client needs a certificate from one of them.
    pub client_ca: Option<PathBuf>,
}

/// The HTTP port for operators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    /// Its address.
    pub endpoint: Endpoint,
    /// Enables `POST /purge`, which deletes data.
    pub purge: bool,
    /// Allows an address that other machines can reach although the port requires no authentication.
    pub allow_anonymous: bool,
    /// TLS of this port.
    pub tls: Tls,
}

/// Authentication of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The file of hashed bearer tokens. Without one, no request needs a token.
    pub tokens: Option<PathBuf>,
}

/// The storage plugin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plugin {
    /// A bundled plugin's name, or the path of a `.wasm` file.
    pub r#use: String,
    /// The plugin's own settings, passed on unchanged. The plugin refuses unknown ones.
    pub settings: BTreeMap<String, String>,
    /// What the plugin is granted besides its sandbox.
    pub grants: Grants,
}

/// What is made of written spans.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ingest {
    /// Indexes the words of attributes, for the operators `phrase` and `fulltext` of filters.
    pub word_terms: bool,
    /// Lists the values of attributes and the texts of spans, for filters that look through them.
    pub dictionary: bool,
}

/// Limits of plugins, queries, queues and connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Linear memory of one plugin instance.
    pub memory: Size,
    /// The largest span that is stored, with its resource and scope. It may be larger than a message of an answer, which then cuts it.
    pub max_span_bytes: Size,
    /// Timeout of one call into the plugin.
    #[serde(serialize_with = "value::as_text")]
    pub call_timeout: Duration,
    /// Timeout of the compilation of a plugin's file.
    #[serde(serialize_with = "value::as_text")]
    pub compile_timeout: Duration,
    /// Address space of the process that compiles a plugin's file.
    pub compile_memory: Size,
    /// Timeout of a query. Jaeger's client gives up after 5 s.
    #[serde(serialize_with = "value::as_text")]
    pub query_timeout: Duration,
    /// Timeout of `GetDependencies`; `None` means that of any query.
    #[serde(serialize_with = "value::as_text_if_set")]
    pub dependencies_timeout: Option<Duration>,
    /// The most spans that a query may judge.
    pub query_judged_spans: u64,
    /// The most bytes that a query may read from the plugin.
    pub query_read_bytes: Size,
    /// The most bytes of queued writes, for one plugin.
    pub queue_bytes: Size,
    /// The most queued writes, for one plugin.
    pub queue_depth: usize,
    /// The most bytes that the plugin may log per second.
    pub log_bytes: Size,
    /// The most spans that a tenant may write per second.
    pub spans_per_second: Option<u64>,
    /// The most concurrent queries of a tenant.
    pub concurrent_queries: usize,
    /// The most bytes of a tenant's queries that wait.
    pub query_queue_bytes: Size,
    /// The largest `search_depth`, and the largest page if below 10,000; a larger one counts as this (Q1).
    pub max_search_depth: u32,
    /// The most open connections of a port.
    pub connections: usize,
    /// Timeout for a client to send a whole request.
    #[serde(serialize_with = "value::as_text")]
    pub request_timeout: Duration,
    /// Time that a shutdown waits for calls in flight.
    #[serde(serialize_with = "value::as_text")]
    pub drain_timeout: Duration,
}

/// Storage behind the plugins' `kv` import.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kv {
    /// The driver.
    pub driver: KvDriver,
    /// When writes are acknowledged.
    pub durability: Durability,
    /// The time between two syncs of `periodic` durability.
    #[serde(serialize_with = "value::as_text")]
    pub sync_interval: Duration,
    /// The most bytes that a tenant may store, compressed.
    pub quota: Option<Size>,
    /// Free disk space below which writes are refused. Compaction needs it while they are.
    pub min_free: Size,
    /// The folder below which snapshots are written. Without one they are refused.
    pub snapshot_dir: Option<PathBuf>,
    /// The driver `cassandra`.
    pub cassandra: Cassandra,
}

/// The calls between services.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dependencies {
    /// Keeps the calls of traces as they come.
    pub kept: bool,
    /// Time without a new span after which the calls of a stretch of time are kept.
    #[serde(serialize_with = "value::as_text")]
    pub settle_after: Duration,
}

// === defaults ===

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: Grpc::default(),
            admin: Admin::default(),
            access: Access::default(),
            plugin: Plugin::default(),
            data_dir: PathBuf::from("./larder-data"),
            strict_environment: false,
            ingest: Ingest::default(),
            limits: Limits::default(),
            kv: Kv::default(),
            dependencies: Dependencies::default(),
            tenancy: Tenancy::default(),
        }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::loopback(17271),
            writer_endpoint: None,
            max_request_bytes: Size::mib(64),
            max_message_bytes: Size::kib(4096 - 64),
            max_connection_age: None,
            pagination: true,
            tls: Tls::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::loopback(17270),
            purge: false,
            allow_anonymous: false,
            tls: Tls::default(),
        }
    }
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            r#use: "kv".to_owned(),
            settings: BTreeMap::new(),
            grants: Grants::default(),
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            word_terms: true,
            dictionary: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Size::mib(1024),
            max_span_bytes: Size::mib(16),
            call_timeout: Duration::from_secs(10),
            compile_timeout: Duration::from_mins(2),
            compile_memory: Size::mib(2048),
            query_timeout: Duration::from_secs(4),
            dependencies_timeout: None,
            query_judged_spans: 10_000_000,
            query_read_bytes: Size::mib(8192),
            queue_bytes: Size::mib(64),
            queue_depth: 1024,
            log_bytes: Size::kib(64),
            spans_per_second: None,
            concurrent_queries: 64,
            query_queue_bytes: Size::mib(32),
            max_search_depth: 100_000,
            connections: 1024,
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Kv {
    fn default() -> Self {
        Self {
            driver: KvDriver::default(),
            durability: Durability::default(),
            sync_interval: Duration::from_secs(1),
            quota: None,
            min_free: Size::mib(512),
            snapshot_dir: None,
            cassandra: Cassandra::default(),
        }
    }
}

impl Default for Dependencies {
    fn default() -> Self {
        Self {
            kept: true,
            settle_after: Duration::from_mins(1),
        }
    }
}

#[cfg(test)]
mod tests;
