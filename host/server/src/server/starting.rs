//! The start: the ports are bound and answer, and then the store and the plugin are opened.

use std::sync::Arc;

use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_core::{Live, Opening, Serving, Stores};
use larder_edge::files::WatchedFiles;
use larder_grpc::{Grpc, KeptOfTenants, Parts};
use larder_model::dictionary::Dictionaries;
use larder_runtime::tenants::{self, Tenants};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::graphs::KeptGraphs;
use super::hangups::Hangups;
use super::listeners::{Listeners, PortConnections};
use super::live_settings::LiveSettings;
use super::ports::{Addresses, Ports, Services};
use super::reload::{self, Reloader};
use super::{Error, PLUGIN_DRAIN, Server, clock, limits, make_data_dir, opening, tenant_configs};
use crate::admin;
use crate::config::{Config, Sources};

/// A server whose ports answer that it is starting. Its store and its plugin are not open yet.
pub struct StartingServer {
    config: Config,
    sources: Sources,
    tenants: tenants::Config,
    metrics: Arc<Metrics>,
    scheduler: Arc<Scheduler>,
    clock: Arc<TrustedClock>,
    settings: LiveSettings,
    dictionaries: Dictionaries,
    graphs: Option<Arc<KeptGraphs>>,
    files: Vec<Arc<dyn WatchedFiles>>,
    connections: Vec<PortConnections>,
    anonymous_admin: bool,
    hangups: Hangups,
    addresses: Addresses,
    ports: Ports,
    openings: Openings,
}

/// What the services get once it is open.
struct Openings {
    /// What the start does now.
    step: Live<String>,
    stores: Opening<Arc<dyn Stores>>,
    serving: Opening<Serving>,
    admin: Opening<admin::Opened>,
}

// === impl StartingServer ===

impl StartingServer {
    /// Binds every port and creates the data directory. From then on the ports answer: health is `NOT_SERVING`, and calls that need the store
    /// are refused. A reload reads `sources` again.
    ///
    /// # Errors
    /// A port in use, a directory without permission, an unknown plugin. The text names the setting to change.
    pub async fn bind(config: Config, sources: Sources) -> Result<Self, Error> {
        let listeners = Listeners::bind(&config).await?;
        make_data_dir(&config.data_dir)?;
        let tenants = tenant_configs(&config).map_err(Error::Plugin)?;
        // Before the store is opened, which changes the times of its files.
        let clock = clock::open(&config);
        let metrics = Arc::new(Metrics::new());
        let scheduler = Arc::<Scheduler>::default();
        let settings = LiveSettings::new(&config);
        let graphs = KeptGraphs::new(&config, &clock, &metrics, &scheduler);
        let kept = graphs.clone().map(|it| it as Arc<dyn KeptOfTenants>);
        let measured = graphs.clone().map(|it| it as Arc<dyn admin::Graphs>);
        let openings = Openings::new();
        let dictionaries = Dictionaries::default();
        let draining = CancellationToken::new();
        let grpc = Grpc::new(
            Parts {
                stores: openings.stores.clone(),
                resolver: settings.resolver.clone(),
                writer_resolver: settings.writer_resolver.clone(),
                search: settings.search.clone(),
                scheduler: Arc::clone(&scheduler),
                metrics: Arc::clone(&metrics),
                serving: openings.serving.clone(),
                max_request_bytes: config.grpc.max_request_bytes.as_usize(),
                request_timeout: settings.request_timeout.clone(),
                connection_age: settings.connection_age.clone(),
                access: Arc::clone(&listeners.access),
                ingest: limits::ingest(&config),
                word_terms: settings.word_terms.clone(),
                dictionary: settings.dictionary.clone(),
                dictionaries: dictionaries.clone(),
                kept,
            },
            draining.clone(),
        );
        let admin = admin::router(admin::AdminState {
            metrics: Arc::clone(&metrics),
            opening: openings.admin.clone(),
            stopping: draining.clone(),
            purge: settings.purge.clone(),
            clock: Arc::clone(&clock),
            snapshot_dir: settings.snapshot_dir.clone(),
            tenancy: config.tenancy.enabled,
            access: Arc::clone(&listeners.access),
            certificates: listeners.certificates.clone(),
            request_timeout: settings.request_timeout.clone(),
            graphs: measured,
        });
        let connections = listeners.connections();
        let addresses = listeners.ports.addresses();
        let ports = listeners.ports.serve(Services {
            grpc,
            admin,
            header_timeout: settings.request_timeout.clone(),
            draining,
        });
        let files = larder_edge::files::watch(listeners.files.clone(), ports.last());
        tokio::spawn(files);
        Ok(Self {
            config,
            sources,
            tenants,
            metrics,
            scheduler,
            clock,
            settings,
            dictionaries,
            graphs,
            files: listeners.files,
            connections,
            anonymous_admin: listeners.anonymous_admin,
            hangups: listeners.hangups,
            addresses,
            ports,
            openings,
        })
    }

    /// Opens the store and the plugin, and serves them. A store on other machines that is not there is waited for. `None` if `stop` was cancelled meanwhile: the start has ended in order then. A store
    /// that is being opened has `limits.drain_timeout` for it, and is closed.
    ///
    /// # Errors
    /// A store or a plugin that cannot be used. The text names the setting to change.
    pub async fn open(self, stop: &CancellationToken) -> Result<Option<Server>, Error> {
        let parts = opening::Parts {
            config: &self.config,
            metrics: &self.metrics,
            scheduler: &self.scheduler,
            clock: &self.clock,
            graphs: self.graphs.as_deref(),
            dictionaries: &self.dictionaries,
            step: &self.openings.step,
        };
        let mut opening = Box::pin(parts.open(self.tenants.clone(), stop));
        let drain_timeout = self.config.limits.drain_timeout;
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => {
                tracing::info!("shutting down before the start has ended");
                self.ports.begin_drain();
                let most = drain_timeout.max(PLUGIN_DRAIN);
                timeout(most, &mut opening).await.unwrap_or_else(|_| {
                    tracing::warn!(
                        timeout = ?most,
                        "the store was still being opened after limits.drain_timeout, and is cut off"
                    );
                    Ok(None)
                })
            }
            opened = &mut opening => opened,
        };
        drop(opening);
        let Some(tenants) = opened? else {
            let mut ports = self.ports;
            ports.begin_drain();
            ports.drain(drain_timeout).await;
            ports.close().await;
            return Ok(None);
        };
        Ok(Some(self.serve(tenants)))
    }

    /// Has the ports serve what is open.
    fn serve(self, tenants: Arc<Tenants>) -> Server {
        let last = self.ports.last();
        let clock = clock::Kept::new(&self.config, Arc::clone(&self.clock));
        let explainer = admin::Explainer {
            tenants: Arc::clone(&tenants),
            limits: self.settings.search.clone(),
            metrics: Arc::clone(&self.metrics),
            dictionaries: self.dictionaries,
            kept: self.graphs.map(|it| it as Arc<dyn KeptOfTenants>),
        };
        let drain_timeout = self.settings.drain_timeout.clone();
        let reloader = Reloader::new(reload::Parts {
            sources: self.sources,
            config: tokio::sync::Mutex::new(self.config),
            files: self.files,
            tenants: Arc::clone(&tenants),
            settings: self.settings,
            connections: self.connections,
            anonymous_admin: self.anonymous_admin,
            metrics: self.metrics,
        });
        tokio::spawn(reloader.clone().follow(self.hangups, last.clone()));
        let clock = tokio::spawn(clock.keep(last));
        let openings = self.openings;
        openings
            .stores
            .finish(Arc::clone(&tenants) as Arc<dyn Stores>);
        openings.admin.finish(admin::Opened {
            backend: Arc::clone(&tenants) as Arc<dyn admin::Backend>,
            explainer: Arc::new(explainer),
            reloader: Arc::new(reloader),
        });
        // Last: a client whose health watch turns may call at once.
        openings.serving.finish(tenants.health());
        Server {
            addresses: self.addresses,
            ports: self.ports,
            tenants,
            drain_timeout,
            clock,
        }
    }
}

// === impl Openings ===

impl Openings {
    fn new() -> Self {
        let step = Live::new(opening::STORE.to_owned());
        Self {
            stores: Opening::new(step.clone()),
            serving: Opening::new(step.clone()),
            admin: Opening::new(step.clone()),
            step,
        }
    }
}
