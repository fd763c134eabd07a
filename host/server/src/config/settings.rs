//! The table of settings. A row has every property of a setting: path, field, type, range, when a reload applies it, whether a
//! tenant can override it, and its documentation.
//!
//! Every source of configuration, reload, overrides, `larder config table` and the documentation read this table. A row without one
//! of its columns does not compile; a test compares the rows with the fields of [`Config`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_model::TenantName;
use larder_store::is_within;

use super::cassandra::{ContactPoints, HostId, Keyspace, Replication, Secret};
use super::grants::{Authorities, Variables};
use super::overrides::OVERRIDES;
use super::value::{Durability, Endpoint, KvDriver, Size, Value};
use super::{Config, Grpc, Header, Tenancy, TenantNames};

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Setting {
    /// The path in the file, such as `limits.memory`.
    pub path: &'static str,
    /// The type in words, for error messages.
    pub kind: &'static str,
    /// The least and the greatest value, if the type alone does not bound it.
    pub range: Option<(&'static str, &'static str)>,
    /// When a running server applies a change.
    pub reload: Reload,
    /// The scope in which the setting can have a value.
    pub scope: Scope,
    /// Documentation: a sentence without a full stop.
    pub meaning: &'static str,
    /// True if a file gives it as a list.
    pub(super) is_list: bool,
    /// True if a file may give it as a mapping.
    pub(super) is_map: bool,
    read: fn(&Setting, &str, &mut Config) -> Result<(), String>,
    show: fn(&Config) -> Option<String>,
}

/// When a running server applies a changed setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Never: the setting is read once, at start.
    AtStart,
    /// At a reload, for the requests and connections that follow.
    Requests,
    /// At a reload, by replacing the plugin's instances; at the next start if the plugin cannot be replaced.
    Plugin,
}

/// The scope in which a setting can have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One value for the whole server.
    Server,
    /// A tenant can override it, in `tenancy.overrides`.
    Tenant,
}

/// The section of the plugin's own settings. Their names are the plugin's.
pub const PLUGIN_SETTINGS: &str = "plugin.settings";

/// The section of what the plugin is granted.
pub(super) const PLUGIN_GRANTS: &str = "plugin.grants.";

macro_rules! settings {
    ($($path:literal $(.$field:ident)+ : $kind:ty, $range:expr, $reload:ident, $scope:ident, $meaning:literal;)*) => {
        /// All settings of the server. The plugins' own settings are known to the plugins alone.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            path: $path,
            kind: <$kind as Value>::KIND,
            range: $range,
            reload: Reload::$reload,
            scope: Scope::$scope,
            meaning: $meaning,
            is_list: <$kind as Value>::IS_LIST,
            is_map: <$kind as Value>::IS_MAP,
            read: |setting, text, config| {
                config$(.$field)+ = setting.checked(text)?;
                Ok(())
            },
            show: |config| Some(config$(.$field)+.show()).filter(|text| !text.is_empty()),
        }),*];
    };
}

// A row: path, field: type, range, reload, scope, and documentation.
settings! {
    "grpc.endpoint" .grpc.endpoint: Endpoint, None, AtStart, Server,
        "Where all gRPC services listen; `:17271` means every interface";
    "grpc.writer_endpoint" .grpc.writer_endpoint: Option<Endpoint>, None, AtStart, Server,
        "A second port for OTLP writes alone";
    "grpc.max_request_bytes" .grpc.max_request_bytes: Size, Some(("64KiB", "1GiB")), AtStart, Server,
        "The largest request, after decompression; Jaeger's batches pass gRPC's usual 4 MiB";
    "grpc.max_message_bytes" .grpc.max_message_bytes: Size, Some(("64KiB", "1GiB")), AtStart, Server,
        "The largest message of an answer; Jaeger's client takes 4 MiB unless told otherwise";
    "grpc.max_connection_age" .grpc.max_connection_age: Option<Duration>, Some(("1s", "24h")), Requests, Server,
        "How long a connection is used, give or take a tenth; then its client is asked to connect anew, which spreads clients over several hosts, and calls under way end as ever. Unset means for ever";
    "grpc.pagination" .grpc.pagination: bool, None, AtStart, Server,
        "Whether a page of `FindTraceIDs`, `FindTraceSummaries` and `FindSpans` ends with a token for the next; off, the first page alone is served, and `paginated` is not declared to Jaeger";
    "grpc.tls.cert" .grpc.tls.cert: Option<PathBuf>, None, AtStart, Server,
        "PEM file with the certificate of the gRPC ports, and those between it and its CA; read again when it changes, and on SIGHUP";
    "grpc.tls.key" .grpc.tls.key: Option<PathBuf>, None, AtStart, Server,
        "PEM file with that certificate's private key";
    "grpc.tls.client_ca" .grpc.tls.client_ca: Option<PathBuf>, None, AtStart, Server,
        "PEM file with the CAs of which every client has to show a certificate";
    "admin.endpoint" .admin.endpoint: Endpoint, None, AtStart, Server,
        "Where HTTP for operators listens";
    "admin.tls.cert" .admin.tls.cert: Option<PathBuf>, None, AtStart, Server,
        "As `grpc.tls.cert`, for the admin port";
    "admin.tls.key" .admin.tls.key: Option<PathBuf>, None, AtStart, Server,
        "As `grpc.tls.key`, for the admin port";
    "admin.tls.client_ca" .admin.tls.client_ca: Option<PathBuf>, None, AtStart, Server,
        "As `grpc.tls.client_ca`, for the admin port";
    "admin.purge" .admin.purge: bool, None, Requests, Server,
        "Whether `POST /purge` may forget everything";
    "admin.allow_anonymous" .admin.allow_anonymous: bool, None, AtStart, Server,
        "Whether the admin port may be reached from other machines with neither `access.tokens` nor `admin.tls.client_ca` set; else the start is refused";
    "access.tokens" .access.tokens: Option<PathBuf>, None, AtStart, Server,
        "YAML file of hashed bearer tokens (`larder token` prints an entry); set, every call needs one; read again like a certificate";
    "plugin.use" .plugin.r#use: String, None, Plugin, Tenant,
        "A bundled plugin's name (`kv`, `memory`), or the path of a `.wasm` file";
    "plugin.grants.http" .plugin.grants.http: Authorities, None, Plugin, Tenant,
        "Where the plugin may send HTTP and HTTPS requests, as a list of host:port; nothing unless named";
    "plugin.grants.tcp" .plugin.grants.tcp: Authorities, None, Plugin, Tenant,
        "Where the plugin may connect to by TCP, as a list of host:port; nothing unless named";
    "plugin.grants.env" .plugin.grants.env: Variables, None, Plugin, Tenant,
        "Environment variables that the plugin is handed, as a list of names; `NAME=file:/path` hands over a file's content, read when an instance starts; nothing unless named";
    "plugin.grants.clock" .plugin.grants.clock: bool, None, Plugin, Tenant,
        "Whether the plugin may read the time of day; else its clock stands still";
    "plugin.grants.max_connections" .plugin.grants.max_connections: usize, Some(("1", "1024")), Plugin, Tenant,
        "Connections of one instance of the plugin at a time; it may begin four times as many a second";
    "plugin.grants.max_call_bytes" .plugin.grants.max_call_bytes: Size, Some(("64KiB", "64GiB")), Plugin, Tenant,
        "Bytes that one call of the plugin may send and receive";
    "data_dir" .data_dir: PathBuf, None, AtStart, Server,
        "Where what outlives the process lies: compiled plugins, and the data of plugins that use `kv`";
    "strict_environment" .strict_environment: bool, None, AtStart, Server,
        "Whether an environment variable `LARDER_…` that names no setting refuses the start; else it is warned about";
    "ingest.word_terms" .ingest.word_terms: bool, None, Requests, Server,
        "Whether the words of attributes are indexed, for the filters `phrase` and `fulltext`; what was written without is found too, but every text of the key is looked at";
    "ingest.dictionary" .ingest.dictionary: bool, None, Requests, Server,
        "Whether the values of attributes, names of spans and events, and status messages are listed, as far as there are few, so that filters look through them in place of the spans; what was written without is found too, but looked at";
    "limits.memory" .limits.memory: Size, Some(("1MiB", "4GiB")), Plugin, Tenant,
        "Linear memory of one plugin instance";
    "limits.max_span_bytes" .limits.max_span_bytes: Size, Some(("64KiB", "48MiB")), AtStart, Server,
        "The largest span, with its resource and scope; a larger one is refused alone. At most a 32nd of `limits.memory`, or 4032 KiB where that is more";
    "limits.call_timeout" .limits.call_timeout: Duration, Some(("10ms", "1h")), Plugin, Tenant,
        "How long one call of the plugin may take";
    "limits.compile_timeout" .limits.compile_timeout: Duration, Some(("10ms", "1h")), AtStart, Server,
        "How long a plugin's file may take to compile, in a process of its own";
    "limits.compile_memory" .limits.compile_memory: Size, Some(("256MiB", "64GiB")), AtStart, Server,
        "Address space of that process";
    "limits.query_timeout" .limits.query_timeout: Duration, Some(("10ms", "1h")), Requests, Server,
        "How long a query may take; Jaeger's client gives up after 5 s";
    "limits.dependencies_timeout" .limits.dependencies_timeout: Option<Duration>, Some(("10ms", "1h")), Requests, Server,
        "How long `GetDependencies` may take, which may read all of a window; unset means `limits.query_timeout`";
    "limits.query_judged_spans" .limits.query_judged_spans: u64, Some(("1", "1000000000000")), Requests, Server,
        "How many spans a query may judge";
    "limits.query_read_bytes" .limits.query_read_bytes: Size, Some(("64KiB", "1024TiB")), Requests, Server,
        "How many bytes a query may read from the plugin";
    "limits.queue_bytes" .limits.queue_bytes: Size, Some(("1MiB", "64GiB")), Requests, Tenant,
        "Bytes of writes that may wait for the plugin";
    "limits.queue_depth" .limits.queue_depth: usize, Some(("1", "1000000")), Requests, Tenant,
        "How many writes may wait for the plugin";
    "limits.log_bytes" .limits.log_bytes: Size, Some(("0B", "1GiB")), Plugin, Tenant,
        "Bytes of log that the plugin may write in a second; the rest is dropped and counted";
    "limits.spans_per_second" .limits.spans_per_second: Option<u64>, Some(("1", "1000000000")), Requests, Tenant,
        "Spans that each tenant may write in a second, and in a burst; a larger request passes, and is paid off before the next one";
    "limits.concurrent_queries" .limits.concurrent_queries: usize, Some(("1", "256")), Requests, Tenant,
        "Queries of each tenant at a time; more wait for half of `limits.query_timeout`";
    "limits.query_queue_bytes" .limits.query_queue_bytes: Size, Some(("64KiB", "1GiB")), Requests, Tenant,
        "Bytes of each tenant's queries that wait, 16 KiB at least for each";
    "limits.max_search_depth" .limits.max_search_depth: u32, Some(("1", "1000000")), Requests, Server,
        "The largest `search_depth`, and the largest page if below 10,000; a larger one counts as this, and an answer that is cut by it says so";
    "limits.connections" .limits.connections: usize, Some(("1", "1000000")), Requests, Server,
        "Connections at a time, on each port, as far as the system's limit of open files allows; one more closes the one that has sent nothing for longest, or waits until another ends";
    "limits.request_timeout" .limits.request_timeout: Duration, Some(("10ms", "1h")), Requests, Server,
        "How long a client may take to send a request";
    "limits.drain_timeout" .limits.drain_timeout: Duration, Some(("0s", "1h")), Requests, Server,
        "How long a stop waits for calls that are under way";
    "kv.driver" .kv.driver: KvDriver, None, AtStart, Server,
        "What keeps the data of plugins that use `kv`: `embedded` in `data_dir` (also read as `fjall`), `memory`, or `cassandra`, which several hosts may share";
    "kv.durability" .kv.durability: Durability, None, AtStart, Server,
        "When `embedded` acknowledges a write: `sync` once it is on disk; `periodic` at once, and a crash loses what came since the last sync";
    "kv.sync_interval" .kv.sync_interval: Duration, Some(("10ms", "1m")), AtStart, Server,
        "How often `periodic` durability syncs";
    "kv.quota" .kv.quota: Option<Size>, Some(("1MiB", "1024TiB")), Requests, Tenant,
        "The most that a tenant may store, compressed";
    "kv.min_free" .kv.min_free: Size, Some(("0B", "1024TiB")), Requests, Server,
        "Writes are refused while the disk has less free space than this; reads and retention go on";
    "kv.snapshot_dir" .kv.snapshot_dir: Option<PathBuf>, None, Requests, Server,
        "The folder below which `larder snapshot` and `POST /snapshot` may write copies of the store; unset refuses them";
    "kv.cassandra.contact_points" .kv.cassandra.contact_points: ContactPoints, None, AtStart, Server,
        "Nodes of Cassandra to begin with, as a list of host or host:port (9042 unless given; in a variable: with commas); the others are found by themselves. `kv.driver: cassandra` needs one at least, and several so that a start needs no single one";
    "kv.cassandra.keyspace" .kv.cassandra.keyspace: Keyspace, None, AtStart, Server,
        "The keyspace of all hosts that share the store";
    "kv.cassandra.datacenter" .kv.cassandra.datacenter: Option<String>, None, AtStart, Server,
        "The datacentre whose nodes are used, the same for all hosts; unset means that of a contact point";
    "kv.cassandra.replication" .kv.cassandra.replication: Option<Replication>, None, AtStart, Server,
        "Copies of everything, for a keyspace that is made: a number, in `kv.cassandra.datacenter`, or one for each datacentre, as `{ dc1: 3 }` (in a variable: `dc1:3`); unset means 3 in the datacentre that is used";
    "kv.cassandra.create_schema" .kv.cassandra.create_schema: bool, None, AtStart, Server,
        "Whether a start makes the keyspace and its tables where they are missing; off, a DBA runs what `larder kv schema` prints";
    "kv.cassandra.username" .kv.cassandra.username: Option<String>, None, AtStart, Server,
        "The role to log in to Cassandra as";
    "kv.cassandra.password" .kv.cassandra.password: Option<Secret>, None, AtStart, Server,
        "Its password; `larder config print` leaves it out";
    "kv.cassandra.password_file" .kv.cassandra.password_file: Option<PathBuf>, None, AtStart, Server,
        "A file with that password, in place of `kv.cassandra.password`";
    "kv.cassandra.tls.ca" .kv.cassandra.tls.ca: Option<PathBuf>, None, AtStart, Server,
        "PEM file with the CAs of the nodes' certificates; set, TLS is spoken to all nodes";
    "kv.cassandra.tls.cert" .kv.cassandra.tls.cert: Option<PathBuf>, None, AtStart, Server,
        "PEM file with the certificate of this host, for nodes that ask for one";
    "kv.cassandra.tls.key" .kv.cassandra.tls.key: Option<PathBuf>, None, AtStart, Server,
        "PEM file with that certificate's private key";
    "kv.cassandra.tls.verify_hostname" .kv.cassandra.tls.verify_hostname: bool, None, AtStart, Server,
        "Whether a node's certificate has to name the IP address at which the node is reached; else any of those CAs is accepted";
    "kv.cassandra.timeout" .kv.cassandra.timeout: Duration, Some(("100ms", "1m")), AtStart, Server,
        "How long a statement may take, with its repetitions";
    "kv.cassandra.speculative_after" .kv.cassandra.speculative_after: Option<Duration>, Some(("1ms", "1m")), AtStart, Server,
        "When a read that has no answer is sent to a second node as well; unset means never";
    "kv.cassandra.max_in_flight" .kv.cassandra.max_in_flight: usize, Some(("1", "32768")), AtStart, Server,
        "Statements of this host that are under way at a time; more wait";
    "kv.cassandra.host" .kv.cassandra.host: Option<HostId>, None, AtStart, Server,
        "The id under which this host writes: no other host may have it, and it has to stay the same after a restart. Unset means the machine's host name";
    "kv.cassandra.address" .kv.cassandra.address: Option<String>, None, AtStart, Server,
        "What other hosts and `GET /cluster` tell people of this host; unset means the machine's host name and the process";
    "kv.cassandra.cache" .kv.cassandra.cache: Size, Some(("0B", "1TiB")), AtStart, Server,
        "Memory for what has been read of Cassandra and never changes";
    "dependencies.kept" .dependencies.kept: bool, None, AtStart, Server,
        "Whether the calls of traces are kept as the traces come, so that `GetDependencies` reads only what is new; off, it reads all traces of its window, and turned on again, all calls are counted anew";
    "dependencies.settle_after" .dependencies.settle_after: Duration, Some(("10ms", "1h")), AtStart, Server,
        "How long no span may have come for a stretch of five minutes before the calls of its traces are kept; what comes later is right too, but costs more";
    "tenancy.enabled" .tenancy.enabled: bool, None, AtStart, Server,
        "Whether each request names its tenant in a header, and finds that tenant's data alone";
    "tenancy.header" .tenancy.header: Header, None, Requests, Server,
        "The header that names the tenant";
    "tenancy.tenants" .tenancy.tenants: TenantNames, None, Requests, Server,
        "The only tenants, as a list (in a variable: with commas); without it, any name of 1 to 63 ASCII letters, digits, `-`, `_` and `.` that begins with a letter or a digit";
    "tenancy.max_tenants" .tenancy.max_tenants: usize, Some(("1", "1000000")), Requests, Server,
        "The most tenants, where there is no list; one that is purged counts no more";
    "tenancy.idle_timeout" .tenancy.idle_timeout: Duration, Some(("10ms", "8760h")), Requests, Server,
        "A tenant that is idle for so long is evicted until its next call, if its plugin keeps its data in `kv`";
    "tenancy.max_open" .tenancy.max_open: usize, Some(("1", "1000000")), Requests, Server,
        "The most tenants whose plugin is open at a time; before one more is opened, the one that was called least recently is evicted";
    "tenancy.open_memory" .tenancy.open_memory: Size, Some(("16MiB", "1024TiB")), Requests, Server,
        "Memory of the open tenants, of their plugins and of their listed values, from which on one is evicted before another is opened";
    "tenancy.default" .tenancy.default: Option<TenantName>, None, Requests, Server,
        "The tenant of requests without the header; unset refuses them";
    "tenancy.writer_default" .tenancy.writer_default: Option<TenantName>, None, Requests, Server,
        "The same on `grpc.writer_endpoint`, where it differs";
    "tenancy.resource_attribute" .tenancy.resource_attribute: Option<String>, None, Requests, Server,
        "A resource attribute that names the tenant of each resource in an Export without the header; without it there, the default";
}

/// A setting of a bundled plugin's own, for the table and for suggestions. The plugin reads and checks it.
pub(super) struct PluginSetting {
    /// The plugin's name.
    pub(super) plugin: &'static str,
    /// The setting's path, below [`PLUGIN_SETTINGS`].
    pub(super) path: &'static str,
    default: &'static str,
    meaning: &'static str,
}

/// The settings of the bundled plugins.
pub(super) const OF_BUNDLED: &[PluginSetting] = &[
    PluginSetting {
        plugin: "kv",
        path: "plugin.settings.retention",
        default: "`168h`",
        meaning: "How long data is kept after its write (24s or more)",
    },
    PluginSetting {
        plugin: "kv",
        path: "plugin.settings.max_bytes",
        default: "unset",
        meaning: "The most bytes that a tenant may store; the oldest writes are dropped first",
    },
    PluginSetting {
        plugin: "memory",
        path: "plugin.settings.max_traces",
        default: "`100000`",
        meaning: "The most traces; the one that was written first is dropped first",
    },
    PluginSetting {
        plugin: "memory",
        path: "plugin.settings.max_bytes",
        default: "60 % of `limits.memory`",
        meaning: "The most bytes of spans; the trace that was written first is dropped first, and one trace keeps a quarter at most",
    },
    PluginSetting {
        plugin: "memory",
        path: "plugin.settings.unpacked_bytes",
        default: "`max_bytes`",
        meaning: "Spans beyond these bytes are packed with LZ4",
    },
];

/// A reload applies overrides to the requests that follow, so a setting that is read at start cannot be overridden.
const _: () = {
    let mut rows = SETTINGS;
    while let [row, rest @ ..] = rows {
        assert!(!matches!(
            (row.scope, row.reload),
            (Scope::Tenant, Reload::AtStart)
        ));
        rows = rest;
    }
};

/// The paths of the settings that a tenant can override.
pub(super) fn overridable() -> impl Iterator<Item = &'static str> {
    let rows = SETTINGS.iter().filter(|row| row.scope == Scope::Tenant);
    rows.map(|row| row.path)
}

/// The same paths for a message or a page: each in backticks, separated by commas.
pub(super) fn overridable_in_words() -> String {
    let quoted: Vec<String> = overridable().map(|path| format!("`{path}`")).collect();
    quoted.join(", ")
}

// === impl Setting ===

impl Setting {
    /// The setting at a path.
    pub fn at(path: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.path == path)
    }

    /// Its environment variable, such as `LARDER_LIMITS_MEMORY`.
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    /// The text of its value in `config`; `None` if it is unset.
    pub fn show(&self, config: &Config) -> Option<String> {
        (self.show)(config)
    }

    /// Sets it from a text. The error says what is wrong with the text and does not name the setting.
    pub(super) fn read(&self, text: &str, config: &mut Config) -> Result<(), String> {
        (self.read)(self, text, config)
    }

    fn checked<T: Value>(&self, text: &str) -> Result<T, String> {
        let value = T::read(text).ok_or_else(|| {
            let got = if T::MAY_BE_SECRET {
                String::new()
            } else {
                format!(", got `{text}`")
            };
            format!("expected {}{got}", T::KIND)
        })?;
        if value.show().is_empty() {
            // An unset value is in every range.
            return Ok(value);
        }
        let (least, most) = self.range.unzip();
        if let Some(least) = least.filter(|least| T::read(least).is_some_and(|it| value < it)) {
            return Err(format!("must be at least {least}, got {}", value.show()));
        }
        if let Some(most) = most.filter(|most| T::read(most).is_some_and(|it| value > it)) {
            return Err(format!("must be at most {most}, got {}", value.show()));
        }
        Ok(value)
    }
}

/// The environment variable of a path.
pub(super) fn variable(path: &str) -> String {
    format!("LARDER_{}", path.replace('.', "_").to_uppercase())
}

/// True for a section of settings: `grpc`, `plugin`, `plugin.settings`, `tenancy.overrides`, ...
pub(super) fn is_section(path: &str) -> bool {
    path == PLUGIN_SETTINGS
        || path == OVERRIDES
        || SETTINGS.iter().any(|setting| {
            setting
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
}

/// Checks the rules between settings, after all sources are read. The result is the path and the text of an error.
pub(super) fn contradiction(config: &Config) -> Option<(&'static str, String)> {
    let Grpc {
        endpoint,
        writer_endpoint,
        ..
    } = &config.grpc;
    let same = |one: &Endpoint, other: &Endpoint| one == other && one.port() != 0;
    if writer_endpoint
        .as_ref()
        .is_some_and(|writer| same(writer, endpoint))
    {
        let why = format!(
            "{endpoint} is `grpc.endpoint`, which takes OTLP writes as well; leave this unset"
        );
        return Some(("grpc.writer_endpoint", why));
    }
    for (path, taken) in [
        ("grpc.endpoint", Some(endpoint)),
        ("grpc.writer_endpoint", writer_endpoint.as_ref()),
    ] {
        if taken.is_some_and(|taken| same(taken, &config.admin.endpoint)) {
            let why = format!("{} is `{path}` already", config.admin.endpoint);
            return Some(("admin.endpoint", why));
        }
    }
    let Tenancy {
        tenants,
        default,
        writer_default,
        ..
    } = &config.tenancy;
    for (path, tenant) in [
        ("tenancy.default", default),
        ("tenancy.writer_default", writer_default),
    ] {
        if let Some(tenant) = tenant
            && !tenants.0.is_empty()
            && !tenants.0.contains(tenant)
        {
            return Some((path, format!("`{tenant}` is not in `tenancy.tenants`")));
        }
    }
    let data_dir = &config.data_dir;
    if let Some(dir) = &config.kv.snapshot_dir
        && (is_same(dir, data_dir) || is_within(dir, &data_dir.join("kv")))
    {
        let other = data_dir.join("snapshots");
        let why = format!(
            "`{}` has the store itself; a folder of its own will do, such as `{}`",
            dir.display(),
            other.display()
        );
        return Some(("kv.snapshot_dir", why));
    }
    if config.kv.driver == KvDriver::Cassandra
        && let Some(found) = config.kv.cassandra.contradiction()
    {
        return Some(found);
    }
    incomplete_tls(config)
}

fn is_same(one: &Path, other: &Path) -> bool {
    is_within(one, other) && is_within(other, one)
}

/// Finds a port with a certificate but no key, a key but no certificate, or a client CA without TLS.
fn incomplete_tls(config: &Config) -> Option<(&'static str, String)> {
    let ports = [
        (
            &config.grpc.tls,
            ["grpc.tls.cert", "grpc.tls.key", "grpc.tls.client_ca"],
        ),
        (
            &config.admin.tls,
            ["admin.tls.cert", "admin.tls.key", "admin.tls.client_ca"],
        ),
    ];
    ports.into_iter().find_map(|(tls, [cert, key, client_ca])| {
        let (given, missing) = match (&tls.cert, &tls.key) {
            (Some(_), None) => (cert, key),
            (None, Some(_)) => (key, cert),
            (None, None) if tls.client_ca.is_some() => (client_ca, cert),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        let why = format!("TLS needs `{missing}` as well; set both, or neither");
        Some((given, why))
    })
}

/// The table in Markdown, as `host/docs/configuration.md` has it.
pub fn markdown() -> String {
    let defaults = Config::default();
    let mut table = String::from("| setting | default | meaning |\n|---|---|---|\n");
    for setting in SETTINGS {
        let default = setting
            .show(&defaults)
            .map_or("unset".to_owned(), |text| format!("`{text}`"));
        let range = setting
            .range
            .map(|(least, most)| format!(" ({least} to {most})"))
            .unwrap_or_default();
        let Setting { path, meaning, .. } = setting;
        // Writing to a string cannot fail.
        writeln!(table, "| `{path}` | {default} | {meaning}{range} |").unwrap_or_default();
    }
    for setting in OF_BUNDLED {
        let PluginSetting {
            plugin,
            path,
            default,
            meaning,
        } = setting;
        writeln!(table, "| `{path}` (`{plugin}`) | {default} | {meaning} |").unwrap_or_default();
    }
    writeln!(
        table,
        "| `{PLUGIN_SETTINGS}.NAME` | | Settings of the plugin's own; it refuses those that it does not know |"
    )
    .unwrap_or_default();
    writeln!(
        table,
        "| `{OVERRIDES}.TENANT.SETTING` | | What one tenant has of its own, in the file alone: {}, and `{PLUGIN_SETTINGS}.NAME`, which are added to those of all if the plugin is the same |",
        overridable_in_words()
    )
    .unwrap_or_default();
    table
}
