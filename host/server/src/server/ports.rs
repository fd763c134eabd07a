//! The ports while they answer: from the moment at which they are bound to the end of the drain.

use std::net::SocketAddr;
use std::time::Duration;

use larder_core::Live;
use larder_edge::listeners::Listener;
use larder_grpc::{Grpc, Port};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::admin;

/// Time for the connections of the admin port to end, after all else has stopped.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// The bound ports.
pub(super) struct Bound {
    pub(super) main: Listener,
    pub(super) writer: Option<Listener>,
    pub(super) admin: Listener,
}

/// The addresses of the ports.
pub(super) struct Addresses {
    pub(super) main: SocketAddr,
    pub(super) writer: Option<SocketAddr>,
    pub(super) admin: SocketAddr,
}

/// What the ports answer with.
pub(super) struct Services {
    pub(super) grpc: Grpc,
    pub(super) admin: axum::Router,
    /// Timeout of the headers of a request to the admin port (`limits.request_timeout`).
    pub(super) header_timeout: Live<Duration>,
    /// Cancelled when the drain begins, so that readiness fails first. The services know it.
    pub(super) draining: CancellationToken,
}

/// The ports that answer. Dropped without a drain, they are closed.
pub(super) struct Ports {
    grpc: Grpc,
    serving: JoinSet<Result<(), Error>>,
    admin: JoinHandle<()>,
    draining: CancellationToken,
    /// Cancelled when the admin port has to end, after all else.
    last: CancellationToken,
}

// === impl Bound ===

impl Bound {
    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            main: self.main.address,
            writer: self.writer.as_ref().map(|writer| writer.address),
            admin: self.admin.address,
        }
    }

    /// Begins to answer on every port.
    pub(super) fn serve(self, services: Services) -> Ports {
        for listener in [Some(&self.main), self.writer.as_ref(), Some(&self.admin)]
            .into_iter()
            .flatten()
        {
            let Listener {
                setting, address, ..
            } = listener;
            tracing::info!(setting, %address, "the port answers; the server is starting");
        }
        let Services {
            grpc,
            admin,
            header_timeout,
            draining,
        } = services;
        let mut grpc_ports = JoinSet::new();
        serve(&mut grpc_ports, &grpc, Port::Main, self.main);
        if let Some(writer) = self.writer {
            serve(&mut grpc_ports, &grpc, Port::Writer, writer);
        }
        let last = CancellationToken::new();
        let admin = admin::serve(admin, self.admin, header_timeout, last.clone());
        Ports {
            grpc,
            serving: grpc_ports,
            admin: tokio::spawn(admin),
            draining,
            last,
        }
    }
}

fn serve(ports: &mut JoinSet<Result<(), Error>>, grpc: &Grpc, port: Port, listener: Listener) {
    let grpc = grpc.clone();
    ports.spawn(async move {
        let served = grpc.serve(port, listener).await;
        served.map_err(Error::Grpc)
    });
}

// === impl Ports ===

impl Ports {
    /// Cancelled when the admin port ends: what runs beside the ports ends with it.
    pub(super) fn last(&self) -> CancellationToken {
        self.last.clone()
    }

    /// Waits until a port ends by itself.
    pub(super) async fn ended(&mut self) -> Result<(), Error> {
        tokio::select! {
            Some(port) = self.serving.join_next() => {
                port.unwrap_or_else(|error| Err(Error::Task(error)))
            }
            served = &mut self.admin => served.map_err(Error::Task),
        }
    }

    /// Has readiness fail. No gRPC connection is accepted any more.
    pub(super) fn begin_drain(&self) {
        self.draining.cancel();
    }

    /// Waits until the calls under way have ended, for at most this time.
    pub(super) async fn drain(&mut self, drain_timeout: Duration) {
        let drained = timeout(drain_timeout, async {
            while self.serving.join_next().await.is_some() {}
            self.grpc.wait_for_writes().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                timeout = ?drain_timeout,
                "calls were still under way after limits.drain_timeout and are cut off"
            );
        }
    }

    /// Ends the admin port.
    pub(super) async fn close(mut self) {
        self.last.cancel();
        if !self.admin.is_finished() && timeout(ADMIN_DRAIN, &mut self.admin).await.is_err() {
            self.admin.abort();
        }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.last.cancel();
    }
}
