//! Every setting, its default and where it comes from: defaults, then the YAML file, then `LARDER_…` in the environment, then
//! flags.
//!
//! All sources speak through one table ([`SETTINGS`]): a row knows its path, type, range and meaning, and how its text is read
//! and shown. So a value is checked in one place, whoever gave it, and a mistake is told with the place it stands at.
//!
//! Architecture invariant: nothing here opens, binds or resolves anything but the file itself. `server.rs` maps a [`Config`]
//! onto the limits of the other modules.

mod environment;
mod error;
mod file;
mod load;
mod overrides;
mod reload;
mod settings;
mod tenancy;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use error::{Error, Place};
pub use load::{Flag, Sources};
pub use overrides::{OVERRIDES, Overrides, Own};
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
    /// Who may call.
    pub access: Access,
    /// What stores.
    pub plugin: Plugin,
    /// Where what must outlive the process lies.
    pub data_dir: PathBuf,
    /// What a plugin, a query and a queue may use.
    pub limits: Limits,
    /// Storage behind the plugins' `kv` import.
    pub kv: Kv,
    /// Who a request is of.
    pub tenancy: Tenancy,
}

/// The gRPC ports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grpc {
    /// Where all services listen.
    pub endpoint: Endpoint,
    /// A second port for OTLP writes alone, beside the first.
    pub writer_endpoint: Option<Endpoint>,
    /// The largest request, after decompression. Jaeger's batches pass gRPC's usual 4 MiB (W7).
    pub max_request_bytes: Size,
    /// The largest message of an answer. Jaeger's client takes 4 MiB, framing included (W7).
    pub max_message_bytes: Size,
    /// Whether `FindTraceIDs` and `FindTraceSummaries` answer page by page where they are asked to (Jaeger's RFC 0014).
    pub pagination: bool,
    /// TLS of these ports.
    pub tls: Tls,
}

/// TLS of a port: off while all is unset. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The certificate, then those between it and its CA.
    pub cert: Option<PathBuf>,
    /// The certificate's private key.
    pub key: Option<PathBuf>,
    /// The CAs of which clients have to show a certificate; unset, none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// The HTTP port for operators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whether `POST /purge` may forget everything.
    pub purge: bool,
    /// Whether others than this machine may reach it though it asks them for nothing.
    pub allow_anonymous: bool,
    /// TLS of this port.
    pub tls: Tls,
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The file of hashed bearer tokens; unset, everybody may do everything.
    pub tokens: Option<PathBuf>,
}

/// What stores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plugin {
    /// A bundled plugin's name, or the path of a `.wasm` file.
    pub r#use: String,
    /// Handed to the plugin as they are; it refuses those that it does not know.
    pub settings: BTreeMap<String, String>,
}

/// What a plugin, a query and a queue may use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Linear memory of one plugin instance.
    pub memory: Size,
    /// How long one call of the plugin may take.
    #[serde(serialize_with = "value::as_text")]
    pub call_timeout: Duration,
    /// How long a plugin's file may take to compile.
    #[serde(serialize_with = "value::as_text")]
    pub compile_timeout: Duration,
    /// Address space of the process that compiles a plugin's file.
    pub compile_memory: Size,
    /// How long a query may take. Jaeger's client gives up after 5 s.
    #[serde(serialize_with = "value::as_text")]
    pub query_timeout: Duration,
    /// How many spans a query may judge.
    pub query_judged_spans: u64,
    /// How many bytes a query may read from the plugin.
    pub query_read_bytes: Size,
    /// Bytes of writes that may wait for the plugin.
    pub queue_bytes: Size,
    /// How many writes may wait for the plugin.
    pub queue_depth: usize,
    /// Bytes of log that the plugin may write in a second.
    pub log_bytes: Size,
    /// How many spans each tenant may write in a second.
    pub spans_per_second: Option<u64>,
    /// How many queries of each tenant may run at a time.
    pub concurrent_queries: usize,
    /// The largest `search_depth`; a larger one counts as this (Q1).
    pub max_search_depth: u32,
    /// Connections at a time, on each port.
    pub connections: usize,
    /// How long a client may take to send a request.
    #[serde(serialize_with = "value::as_text")]
    pub request_timeout: Duration,
    /// How long a stop waits for calls that are under way.
    #[serde(serialize_with = "value::as_text")]
    pub drain_timeout: Duration,
}

/// Storage behind the plugins' `kv` import.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kv {
    /// Which driver.
    pub driver: KvDriver,
    /// When writes are acknowledged.
    pub durability: Durability,
    /// How often `periodic` durability syncs.
    #[serde(serialize_with = "value::as_text")]
    pub sync_interval: Duration,
    /// The most that a tenant may store.
    pub quota: Option<Size>,
    /// What must be left of the disk: room for the tables that are written while writes are already refused.
    pub min_free: Size,
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
            limits: Limits::default(),
            kv: Kv::default(),
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
            pagination: false,
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
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Size::mib(1024),
            call_timeout: Duration::from_secs(10),
            compile_timeout: Duration::from_mins(2),
            compile_memory: Size::mib(2048),
            query_timeout: Duration::from_secs(4),
            query_judged_spans: 10_000_000,
            query_read_bytes: Size::mib(8192),
            queue_bytes: Size::mib(64),
            queue_depth: 1024,
            log_bytes: Size::kib(64),
            spans_per_second: None,
            concurrent_queries: 64,
            max_search_depth: 10_000,
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
        }
    }
}

#[cfg(test)]
mod tests;
