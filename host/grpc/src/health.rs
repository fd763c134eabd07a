//! `grpc.health.v1`, for each port: readers and writers are SERVING while the plugin takes their calls and the server is neither starting
//! nor shutting down. While the disk is full, writers alone are not. While calls do not reach a store on other machines, those alone are
//! not which do not reach it.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use larder_core::{Opening, Serving};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as HealthService;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Port;
use super::status::{self, Failure};

/// The services that read, on the main port.
const READERS: [&str; 3] = [
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.Capabilities",
];

/// The service that writes, on both ports. Jaeger asks for a `TraceWriter`, though it is OTLP's.
const WRITERS: [&str; 2] = [
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "jaeger.storage.v2.TraceWriter",
];

/// The service.
#[derive(Clone)]
pub(super) struct Health {
    port: Port,
    serving: Opening<Serving>,
    draining: CancellationToken,
}

/// The state of one name.
struct Named {
    serving: Opening<Serving>,
    /// The calls that it stands for.
    calls: Calls,
    /// True while they are taken. `None` while the server was starting when last looked at.
    serves: Option<watch::Receiver<bool>>,
    draining: CancellationToken,
}

/// The calls that a name stands for.
#[derive(Clone, Copy)]
enum Calls {
    All,
    Reads,
    Writes,
}

// === impl Health ===

impl Health {
    /// The health of a port. Once `draining` is cancelled every state is `NOT_SERVING`, and watches end so that they do not delay the
    /// drain.
    pub(super) fn new(port: Port, serving: Opening<Serving>, draining: CancellationToken) -> Self {
        Self {
            port,
            serving,
            draining,
        }
    }

    /// The state of a name; the empty one stands for the whole port. `None` for a name that the port does not serve.
    fn named(&self, name: &str) -> Option<Named> {
        let calls = match (self.port, name) {
            (Port::Main, "") => Calls::All,
            (Port::Writer, "") => Calls::Writes,
            (_, name) if WRITERS.contains(&name) => Calls::Writes,
            (Port::Main, name) if READERS.contains(&name) => Calls::Reads,
            _ => return None,
        };
        Some(Named {
            serving: self.serving.clone(),
            calls,
            serves: None,
            draining: self.draining.clone(),
        })
    }
}

// === impl Calls ===

impl Calls {
    /// Their part of what is served.
    fn among(self, serving: &Serving) -> &watch::Receiver<bool> {
        match self {
            Self::All => &serving.all,
            Self::Reads => &serving.reads,
            Self::Writes => &serving.writes,
        }
    }
}

// === impl Named ===

impl Named {
    /// The current state.
    fn state(&mut self) -> ServingStatus {
        if self.serves.is_none() {
            let serving = self.serving.opened();
            self.serves = serving
                .ok()
                .map(|serving| self.calls.among(serving).clone());
        }
        let serves = self.serves.as_mut();
        if serves.is_some_and(|serves| *serves.borrow_and_update()) && !self.draining.is_cancelled()
        {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// Waits until the state may be another than [`Self::state`] has returned.
    async fn changed(&mut self) {
        let Self {
            serving,
            serves,
            draining,
            ..
        } = self;
        let may_change = async {
            if let Some(serves) = serves {
                return serves.changed().await.is_ok();
            }
            serving.wait().await;
            true
        };
        tokio::select! {
            () = draining.cancelled() => {}
            may_change = may_change => {
                if !may_change {
                    // The plugin will not return, so only the drain can change the state.
                    draining.cancelled().await;
                }
            }
        }
    }

    /// The current state, then each change, until the server drains.
    fn watch(self) -> impl Stream<Item = ServingStatus> + Send {
        stream::unfold((self, None), |(mut named, last)| async move {
            loop {
                let ended = named.draining.is_cancelled();
                let state = named.state();
                if last != Some(state) {
                    return Some((state, (named, Some(state))));
                }
                if ended {
                    return None;
                }
                named.changed().await;
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
        let named = self.named(name);
        let mut named = named.ok_or_else(|| status::read(&Failure::UnknownService(name)))?;
        Ok(Response::new(response(named.state())))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    /// An unknown name is watched as `SERVICE_UNKNOWN`, as the protocol requires.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let named = self.named(&request.get_ref().service);
        let states: Pin<Box<dyn Stream<Item = ServingStatus> + Send>> = if let Some(named) = named {
            Box::pin(named.watch())
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

    fn serving(all: bool, reads: bool, writes: bool) -> (Serving, watch::Sender<bool>) {
        let (set_writes, writes) = watch::channel(writes);
        let serving = Serving {
            all: watch::channel(all).1,
            reads: watch::channel(reads).1,
            writes,
        };
        (serving, set_writes)
    }

    #[tokio::test]
    async fn a_watch_sends_each_change_once_and_ends_with_the_server() {
        let (serving, set_writes) = serving(false, false, false);
        let draining = CancellationToken::new();
        let health = Health::new(Port::Main, Opening::done(serving), draining.clone());
        let mut states = Box::pin(health.named(WRITERS[0]).unwrap().watch());
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
        set_writes.send(true).unwrap();
        assert_eq!(states.next().await, Some(ServingStatus::Serving));
        draining.cancel();
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
        assert_eq!(states.next().await, None);
    }

    #[tokio::test]
    async fn a_watch_that_began_during_the_start_follows_what_is_served_then() {
        let opening = Opening::new(larder_core::Live::new("opening".to_owned()));
        let health = Health::new(Port::Main, opening.clone(), CancellationToken::new());
        let mut states = Box::pin(health.named(WRITERS[0]).unwrap().watch());
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
        let (serving, set_writes) = serving(true, true, true);
        opening.finish(serving);
        assert_eq!(states.next().await, Some(ServingStatus::Serving));
        set_writes.send(false).unwrap();
        assert_eq!(states.next().await, Some(ServingStatus::NotServing));
    }

    #[test]
    fn each_port_knows_its_own_services_and_tells_readers_from_writers() {
        use ServingStatus::{NotServing, Serving as Serves};
        let (serving, _writes) = serving(true, true, false);
        let opened = Opening::done(serving);
        let health = |port| Health::new(port, opened.clone(), CancellationToken::new());
        let (main, writer) = (health(Port::Main), health(Port::Writer));
        let state = |health: &Health, name| health.named(name).map(|mut named| named.state());
        assert_eq!(state(&main, ""), Some(Serves));
        assert_eq!(state(&writer, ""), Some(NotServing));
        for name in READERS {
            assert_eq!(state(&main, name), Some(Serves), "{name}");
            assert_eq!(state(&writer, name), None, "{name}");
        }
        for name in WRITERS {
            assert_eq!(state(&main, name), Some(NotServing), "{name}");
            assert_eq!(state(&writer, name), Some(NotServing), "{name}");
        }
        assert_eq!(state(&main, "jaeger.storage.v1.SpanReaderPlugin"), None);
    }
}
