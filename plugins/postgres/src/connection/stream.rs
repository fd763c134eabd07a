//! The bytes of a connection: TCP, or TLS over it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::failure::Failure;
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::settings::Config;

/// Beyond the time that a statement may take, until its connection counts as lost.
const GRACE: Duration = Duration::from_secs(2);

/// An open connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
}

// === impl Stream ===

impl Stream {
    /// Connects to the first of the host's addresses that answers.
    pub(super) fn connect(config: &Config) -> Result<Self, Failure> {
        let Config { host, port, .. } = config;
        let addresses = (host.as_str(), *port).to_socket_addrs();
        let addresses = addresses
            .map_err(|error| Failure::Lost(format!("the name {host} has no address: {error}")))?;
        let mut last = Failure::Lost(format!("the name {host} has no address"));
        for address in addresses {
            match TcpStream::connect_timeout(&address, config.connect_timeout) {
                Ok(stream) => {
                    let timeout = Some(config.statement_timeout + GRACE);
                    // A statement has a deadline on the server, and a call has one on the host: this one is for a network that is gone.
                    stream.set_read_timeout(timeout)?;
                    stream.set_write_timeout(timeout)?;
                    stream.set_nodelay(true)?;
                    return Ok(Self::Plain(stream));
                }
                Err(error) => {
                    last = Failure::Lost(format!("connecting to {address}: {error}"));
                }
            }
        }
        Err(last)
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.tcp(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(),
        }
    }
}
