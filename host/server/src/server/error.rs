//! Errors that keep the server from starting, or end it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use larder_edge::access;
use larder_edge::listeners;
use larder_grpc as grpc;
use larder_runtime::plugin;
use larder_runtime::tenants;
use larder_store as kv;
use tokio::task::JoinError;

/// An error of the server. The text says what to change; the cause is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be bound.
    #[error("cannot listen on {endpoint}: set `{setting}` to an address that is free")]
    Bind {
        /// The setting that names the port.
        setting: &'static str,
        /// Its value.
        endpoint: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A port's certificates cannot be used.
    #[error("cannot serve TLS")]
    Tls(#[source] listeners::TlsError),
    /// Other machines can reach the admin port, and it requires no authentication.
    #[error(
        "`admin.endpoint` is {address}, which other machines reach, and anyone who does {may}: set `access.tokens` (`larder token` makes one) or `admin.tls.client_ca`, or listen on 127.0.0.1; `admin.allow_anonymous: true` starts all the same, for a port that something else guards"
    )]
    Exposed {
        /// Its address.
        address: SocketAddr,
        /// The actions that it would offer to everyone.
        may: &'static str,
    },
    /// The file of tokens cannot be used.
    #[error("cannot ask for tokens")]
    Access(#[source] access::Error),
    /// The data directory could not be made or written to.
    #[error(
        "cannot use the data directory `{}`: it cannot be made, or no file can be written there; set `data_dir` to a folder on a disk that this user may write to",
        path.display()
    )]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The storage behind the plugins cannot be opened.
    #[error("cannot open the storage of `kv`")]
    Kv(#[source] kv::Error),
    /// A file that is needed to connect to the storage behind the plugins cannot be read.
    #[error("cannot read `{}` of `{setting}`: name a file that this user may read", path.display())]
    StoreFile {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The machine's host name cannot be the id under which this host writes.
    #[error(
        "this machine's host name is `{name}`, which is no id that no other host has: set `kv.cassandra.host` to one of letters, digits, `-`, `_` and `.` that stays the same after a restart"
    )]
    HostName {
        /// The host name.
        name: String,
    },
    /// The storage behind the plugins could not be brought to disk.
    #[error(
        "the last sync of `kv` failed: writes since the one before may be lost if they were acknowledged before they were on disk (`kv.durability: periodic`)"
    )]
    LastSync(#[source] kv::Error),
    /// The wasm engine cannot be set up.
    #[error("cannot start the plugin")]
    Runtime(#[source] plugin::Error),
    /// The plugin of one tenant, or of all, cannot be used.
    #[error(transparent)]
    Plugin(tenants::LoadError),
    /// A gRPC port failed.
    #[error("a gRPC port failed")]
    Grpc(#[source] grpc::Error),
    /// A port's task panicked, which is a bug of Larder.
    #[error("a port's task failed")]
    Task(#[source] JoinError),
}

// === impl Error ===

impl Error {
    /// True if a start may succeed later without anybody changing what is configured: what it needs of the store is not there yet.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Kv(source) => source.may_pass(),
            Self::Plugin(error) => error.source.may_pass(),
            _ => false,
        }
    }
}
