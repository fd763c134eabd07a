//! Why the server could not start, or had to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use larder_edge::access;
use larder_edge::doors;
use larder_grpc as grpc;
use larder_runtime::plugin;
use larder_runtime::tenants;
use larder_store as kv;
use tokio::task::JoinError;

/// Each says what to change; the system's own words are its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be bound.
    #[error("cannot listen on {endpoint}: set `{setting}` to an address that is free")]
    Bind {
        /// The setting that names the port.
        setting: &'static str,
        /// What it says.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// A port's certificates cannot be used.
    #[error("cannot serve TLS")]
    Tls(#[source] doors::TlsError),
    /// The admin port would serve whoever reaches it, and others than this machine do.
    #[error(
        "`admin.endpoint` is {address}, which other machines reach, and whoever does {may}: set `access.tokens` (`larder token` makes one) or `admin.tls.client_ca`, or listen on 127.0.0.1; `admin.allow_anonymous: true` starts all the same, for a port that something else guards"
    )]
    Exposed {
        /// Where it listens.
        address: SocketAddr,
        /// What a stranger may do there.
        may: &'static str,
    },
    /// The tokens cannot be used.
    #[error("cannot ask for tokens")]
    Access(#[source] access::Error),
    /// The data directory could not be made or written to.
    #[error(
        "cannot use the data directory `{}`: give this user the right to write there, or set `data_dir` to another",
        path.display()
    )]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage behind the plugins cannot be opened.
    #[error("cannot open the storage of `kv`")]
    Kv(#[source] kv::Error),
    /// The wasm engine cannot be set up.
    #[error("cannot start the plugin")]
    Runtime(#[source] plugin::Error),
    /// The plugin cannot be used, of all tenants or of one.
    #[error(transparent)]
    Plugin(tenants::LoadError),
    /// A gRPC port failed while it was served.
    #[error("a gRPC port failed")]
    Grpc(#[source] grpc::Error),
    /// A port's task panicked: our own bug.
    #[error("a port's task failed")]
    Task(#[source] JoinError),
}
