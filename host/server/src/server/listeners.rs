//! Binds the ports of a configuration, with their certificates and the tokens of callers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use larder_core::Permits;
use larder_edge::access::Access;
use larder_edge::files::WatchedFiles;
use larder_edge::listeners::{Listener, Protocol, Tls, TlsFiles};
use tokio::net::TcpListener;

use super::Error;
use super::hangups::Hangups;
use super::open_files::{OpenFiles, Shares};
use super::ports::Bound;
use crate::config::{self, Config, Endpoint};

/// The bound ports, and the files that authenticate their clients.
pub(super) struct Listeners {
    pub(super) ports: Bound,
    /// True if other machines can reach the admin port and it requires no authentication (`admin.allow_anonymous`).
    pub(super) anonymous_admin: bool,
    pub(super) access: Arc<Access>,
    /// Certificates and tokens, which are read again when their files change.
    pub(super) files: Vec<Arc<dyn WatchedFiles>>,
    /// The certificates among them.
    pub(super) certificates: Vec<Arc<Tls>>,
    shares: Shares,
    /// SIGHUP, caught before the server announces itself.
    pub(super) hangups: Hangups,
}

/// The files that authenticate clients, as read.
struct Guards {
    access: Arc<Access>,
    grpc_tls: Option<Arc<Tls>>,
    admin_tls: Option<Arc<Tls>>,
}

/// The connection permits of a port.
#[derive(Clone)]
pub(super) struct PortConnections {
    permits: Arc<Permits>,
    /// The most that the limit of open files leaves to the port.
    most: usize,
}

/// The protection of a port, for the warning about one that has too little.
#[derive(Clone, Copy)]
struct Protection {
    tls: bool,
    client_certs: bool,
    tokens: bool,
}

// === impl Listeners ===

impl Listeners {
    /// Reads certificates and tokens, and binds every port.
    pub(super) async fn bind(config: &Config) -> Result<Self, Error> {
        let Guards {
            access,
            grpc_tls,
            admin_tls,
        } = Guards::read(config)?;
        let tls = [&grpc_tls, &admin_tls].into_iter().flatten();
        let certificates: Vec<Arc<Tls>> = tls.cloned().collect();
        let files: Vec<Arc<dyn WatchedFiles>> = access
            .file()
            .into_iter()
            .chain(certificates.iter().map(|tls| tls.files()))
            .collect();
        let shares = OpenFiles::current().shares(config.grpc.writer_endpoint.is_some());
        shares.warn(config.limits.connections);
        let bind = async |setting, endpoint, tls: &Option<Arc<Tls>>, client_ca: bool| {
            let connections = Permits::new(config.limits.connections);
            let listener = bind(setting, endpoint, tls.clone(), connections).await?;
            let protection = Protection {
                tls: tls.is_some(),
                client_certs: client_ca,
                tokens: access.requires_token(),
            };
            if !listener.address.ip().is_loopback() {
                protection.warn(&listener);
            }
            Ok::<_, Error>((listener, protection))
        };
        let (grpc, admin) = (&config.grpc, &config.admin);
        let client_ca = grpc.tls.client_ca.is_some();
        let (main, _) = bind("grpc.endpoint", &grpc.endpoint, &grpc_tls, client_ca).await?;
        let writer = match &grpc.writer_endpoint {
            Some(endpoint) => {
                let setting = "grpc.writer_endpoint";
                Some(bind(setting, endpoint, &grpc_tls, client_ca).await?.0)
            }
            None => None,
        };
        let client_ca = admin.tls.client_ca.is_some();
        let (admin_listener, protection) =
            bind("admin.endpoint", &admin.endpoint, &admin_tls, client_ca).await?;
        let anonymous_admin = is_anonymous(config, admin_listener.address, protection)?;
        if anonymous_admin {
            let (address, may) = (admin_listener.address, anonymous_callers_may(config));
            tracing::warn!(%address, "admin.allow_anonymous: anyone who reaches the admin port {may}");
        }
        let bound = Self {
            ports: Bound {
                main,
                writer,
                admin: admin_listener,
            },
            anonymous_admin,
            access,
            files,
            certificates,
            shares,
            hangups: Hangups::catch(),
        };
        for port in bound.connections() {
            port.set_limit(config.limits.connections);
        }
        Ok(bound)
    }

    /// The connection permits of each port.
    pub(super) fn connections(&self) -> Vec<PortConnections> {
        let of = |listener: &Listener, most| PortConnections {
            permits: Arc::clone(&listener.connections),
            most,
        };
        let shares = self.shares;
        let ports = &self.ports;
        let grpc = [Some(&ports.main), ports.writer.as_ref()];
        let grpc = grpc
            .into_iter()
            .flatten()
            .map(|port| of(port, shares.grpc_port));
        grpc.chain([of(&ports.admin, shares.admin_port)]).collect()
    }
}

// === impl PortConnections ===

impl PortConnections {
    /// Sets the limit of connections, as far as the limit of open files allows it.
    pub(super) fn set_limit(&self, connections: usize) {
        self.permits.set_limit(connections.min(self.most));
    }
}

/// Does what [`Listeners::bind`] does but for binding: reads certificates and tokens, resolves the addresses, and checks that the admin
/// port may be reached there. Returns the ports as settings with their addresses.
pub(super) async fn check(config: &Config) -> Result<Vec<(&'static str, SocketAddr)>, Error> {
    let guards = Guards::read(config)?;
    let (grpc, admin) = (&config.grpc, &config.admin);
    let writer = grpc.writer_endpoint.as_ref();
    let ports = [
        Some(("grpc.endpoint", &grpc.endpoint)),
        writer.map(|endpoint| ("grpc.writer_endpoint", endpoint)),
        Some(("admin.endpoint", &admin.endpoint)),
    ];
    let mut resolved = Vec::new();
    for (setting, endpoint) in ports.into_iter().flatten() {
        let found = tokio::net::lookup_host(endpoint.to_bind()).await;
        let first = found.and_then(|mut found| {
            let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            found.next().ok_or_else(none)
        });
        let address = first.map_err(|source| Error::Bind {
            setting,
            endpoint: endpoint.to_string(),
            source,
        })?;
        resolved.push((setting, address));
    }
    if let Some((_, address)) = resolved.last() {
        let protection = Protection {
            tls: guards.admin_tls.is_some(),
            client_certs: admin.tls.client_ca.is_some(),
            tokens: guards.access.requires_token(),
        };
        is_anonymous(config, *address, protection)?;
    }
    Ok(resolved)
}

/// True if other machines can reach the admin port and it requires no authentication, which is an error unless it is allowed.
fn is_anonymous(
    config: &Config,
    address: SocketAddr,
    protection: Protection,
) -> Result<bool, Error> {
    if !protection.is_anonymous() || address.ip().is_loopback() {
        return Ok(false);
    }
    if !config.admin.allow_anonymous {
        let may = anonymous_callers_may(config);
        return Err(Error::Exposed { address, may });
    }
    Ok(true)
}

/// The actions that an admin port without authentication offers to everyone, for messages.
pub(super) fn anonymous_callers_may(config: &Config) -> &'static str {
    match (config.admin.purge, config.kv.snapshot_dir.is_some()) {
        (true, true) => {
            "may destroy all data (`admin.purge` is on), make copies of it (`kv.snapshot_dir` is set), list tenants and read metrics"
        }
        (true, false) => {
            "may destroy all data (`admin.purge` is on), list tenants and read metrics"
        }
        (false, true) => {
            "may make copies of all data (`kv.snapshot_dir` is set), run searches, list tenants and read metrics"
        }
        (false, false) => "may run searches, list tenants and read metrics",
    }
}

fn open_tls(protocol: Protocol, tls: &config::Tls) -> Result<Option<Arc<Tls>>, Error> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else {
        // A configuration with only one of them does not load.
        return Ok(None);
    };
    let files = TlsFiles {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: tls.client_ca.clone(),
        protocol,
    };
    let opened = Tls::open(files).map_err(Error::Tls)?;
    Ok(Some(Arc::new(opened)))
}

async fn bind(
    setting: &'static str,
    endpoint: &Endpoint,
    tls: Option<Arc<Tls>>,
    connections: Arc<Permits>,
) -> Result<Listener, Error> {
    let bound = async {
        let listener = TcpListener::bind(endpoint.to_bind()).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let (listener, address) = bound.await.map_err(|source| Error::Bind {
        setting,
        endpoint: endpoint.to_string(),
        source,
    })?;
    Ok(Listener {
        setting,
        socket: listener,
        address,
        tls,
        connections,
    })
}

// === impl Guards ===

impl Guards {
    fn read(config: &Config) -> Result<Self, Error> {
        let access = match &config.access.tokens {
            Some(path) => Access::from_file(path).map_err(Error::Access)?,
            None => Access::anonymous(),
        };
        Ok(Self {
            access: Arc::new(access),
            grpc_tls: open_tls(Protocol::Grpc, &config.grpc.tls)?,
            admin_tls: open_tls(Protocol::Admin, &config.admin.tls)?,
        })
    }
}

// === impl Protection ===

impl Protection {
    /// True if clients need neither a certificate nor a token.
    fn is_anonymous(self) -> bool {
        !self.client_certs && !self.tokens
    }

    /// Warns about a port that other machines can reach.
    fn warn(self, listener: &Listener) {
        let lacks = match (self.tls, self.is_anonymous()) {
            (true, false) => return,
            (false, true) => "listening beyond this machine, without TLS and for everybody",
            (true, true) => {
                "listening beyond this machine, for everybody: set access.tokens, or a client_ca"
            }
            (false, false) => {
                "listening beyond this machine without TLS: tokens can be read on their way"
            }
        };
        tracing::warn!(address = %listener.address, setting = listener.setting, "{lacks}");
    }
}
