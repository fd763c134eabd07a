//! Accepts connections up to a limit, with TLS where it is configured, and closes idle ones. On a full port, connections whose peer has
//! sent nothing give way to new ones.
//!
//! Architecture invariant: this knows neither gRPC nor HTTP. Connections are handed over after their TLS handshake, and a slow handshake
//! delays no other connection.

mod accept;
mod connection;
mod silence;
mod tls;
mod validity;

use std::net::SocketAddr;
use std::time::Duration;

pub use accept::Incoming;
pub use connection::Connection;
pub use tls::{CertificateEnd, Error as TlsError, Protocol, Tls, TlsFiles};

/// Timeout of the TLS handshake, and then of the peer's first byte.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection without traffic in either direction is closed after this time. HTTP/2's keep-alive detects a dead peer earlier.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// A bound port with its TLS and its limit of connections.
pub struct Listener {
    /// The setting that names the port, for the log.
    pub setting: &'static str,
    /// The listening socket.
    pub socket: tokio::net::TcpListener,
    /// The bound address.
    pub address: SocketAddr,
    /// Certificates. `None` for plaintext.
    pub tls: Option<std::sync::Arc<Tls>>,
    /// Permits of open connections, those in their handshake included (`limits.connections`).
    pub connections: std::sync::Arc<larder_core::Permits>,
}

#[cfg(test)]
mod tests;
