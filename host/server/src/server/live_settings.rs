//! The settings of requests, which a reload replaces while they are in use.

use std::path::PathBuf;
use std::time::Duration;

use larder_core::Live;
use larder_edge::tenant::Resolver;
use larder_grpc::Port;
use larder_search as search;

use super::limits;
use crate::config::Config;

/// See the module. Clones share the values.
#[derive(Clone)]
pub(super) struct LiveSettings {
    pub(super) resolver: Resolver,
    pub(super) writer_resolver: Resolver,
    pub(super) search: Live<search::Limits>,
    pub(super) drain_timeout: Live<Duration>,
    pub(super) request_timeout: Live<Duration>,
    pub(super) connection_age: Live<Option<Duration>>,
    pub(super) purge: Live<bool>,
    pub(super) snapshot_dir: Live<Option<PathBuf>>,
    pub(super) word_terms: Live<bool>,
    pub(super) dictionary: Live<bool>,
}

// === impl LiveSettings ===

impl LiveSettings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            resolver: limits::resolver(config, Port::Main),
            writer_resolver: limits::resolver(config, Port::Writer),
            search: Live::new(limits::search(config)),
            drain_timeout: Live::new(config.limits.drain_timeout),
            request_timeout: Live::new(config.limits.request_timeout),
            connection_age: Live::new(config.grpc.max_connection_age),
            purge: Live::new(config.admin.purge),
            snapshot_dir: Live::new(config.kv.snapshot_dir.clone()),
            word_terms: Live::new(config.ingest.word_terms),
            dictionary: Live::new(config.ingest.dictionary),
        }
    }

    /// Takes the values of another configuration.
    pub(super) fn set(&self, config: &Config) {
        for (port, resolver) in [
            (Port::Main, &self.resolver),
            (Port::Writer, &self.writer_resolver),
        ] {
            resolver.set(limits::rules(config, port));
        }
        self.search.set(limits::search(config));
        self.drain_timeout.set(config.limits.drain_timeout);
        self.request_timeout.set(config.limits.request_timeout);
        self.connection_age.set(config.grpc.max_connection_age);
        self.purge.set(config.admin.purge);
        self.snapshot_dir.set(config.kv.snapshot_dir.clone());
        self.word_terms.set(config.ingest.word_terms);
        self.dictionary.set(config.ingest.dictionary);
    }
}
