//! `grpc.health.v1`: SERVING while the plugin is ready and the server is not shutting down.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::status::{self, Failure};

/// Names that can be checked: the empty one for the whole server, and those that Jaeger checks. Jaeger asks for a `TraceWriter`, though
/// the service that writes is OTLP's.
const NAMES: [&str; 5] = [
    "",
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.TraceWriter",
    "jaeger.storage.v2.Capabilities",
];

/// The service. All names share one state, as all services share one plugin.
#[derive(Clone)]
pub(super) struct Health {
    ready: watch::Receiver<bool>,
    draining: CancellationToken,
}

impl Health {
    /// `ready` is the plugin's state. Once `draining` is cancelled the state is `NOT_SERVING`, and watches end so that they do not delay
    /// the drain.
    pub(super) fn server(
        ready: watch::Receiver<bool>,
        draining: CancellationToken,
    ) -> HealthServer<Self> {
        HealthServer::new(Self { ready, draining })
    }

    fn state(&self) -> ServingStatus {
        if *self.ready.borrow() && !self.draining.is_cancelled() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// Waits until the state may have changed.
    async fn changed(&mut self) {
        tokio::select! {
            () = self.draining.cancelled() => {}
            changed = self.ready.changed() => {
                if changed.is_err() {
                    // The plugin will not return, so only the drain can change the state.
                    self.draining.cancelled().await;
                }
            }
        }
    }

    /// The current state, then each change, until the server drains.
    fn watch(self) -> impl Stream<Item = ServingStatus> + Send {
        stream::unfold((self, None), |(mut health, last)| async move {
            loop {
                let ended = health.draining.is_cancelled();
                health.ready.mark_unchanged();
                let state = health.state();
                if last != Some(state) {
                    return Some((state, (health, Some(state))));
                }
                if ended {
                    return None;
                }
                health.changed().await;
            }
        })
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = &*request.get_ref().service;
        if !NAMES.contains(&name) {
            return Err(status::read(&Failure::UnknownService(name)));
        }
        Ok(Response::new(response(self.state())))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    /// An unknown name is watched as `SERVICE_UNKNOWN`, as the protocol requires.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = NAMES.contains(&&*request.get_ref().service);
        let states: Pin<Box<dyn Stream<Item = ServingStatus> + Send>> = if known {
            Box::pin(self.clone().watch())
        } else {
            let draining = self.draining.clone();
            Box::pin(
                stream::once(async { ServingStatus::ServiceUnknown })
                    .chain(stream::pending())
                    .take_until(draining.cancelled_owned()),
            )
        };
        Ok(Response::new(Box::pin(
            states.map(|state| Ok(response(state))),
        )))
    }
}

fn response(state: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: state.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_watch_sends_each_change_once_and_ends_with_the_server() {
        let (set_ready, ready) = watch::channel(false);
        let draining = CancellationToken::new();
        let health = Health {
            ready,
            draining: draining.clone(),
        };
        let mut states = Box::pin(health.watch());
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
        set_ready.send(true).unwrap();
        assert_eq!(states.next().await, Some(ServingStatus::Serving));
        draining.cancel();
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
        assert_eq!(states.next().await, None);
    }
}
