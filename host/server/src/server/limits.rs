//! Turns the configuration into the limits of the other crates.

use larder_core::quotas;
use larder_edge::tenant::{Resolver, Rules};
use larder_grpc::Port;
use larder_ingest as ingest;
use larder_runtime::plugin;
use larder_runtime::tenants;
use larder_runtime::tenants::{LoadError, TenantConfig};
use larder_search as search;

use crate::config::{Config, Size};

/// The largest fragment. Answers are cut between fragments, so it is well below `grpc.max_message_bytes`.
const MAX_FRAGMENT_BYTES: usize = 1 << 20;

/// The most bytes of the names of an operation that is listed. A plugin keeps all of them in memory, and returns a list in one call.
const MAX_LISTED: usize = 1 << 20;

/// The largest batch in one call of a plugin's `write`.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// The `search_depth` of a query without one (Q1).
const DEFAULT_DEPTH: u32 = 100;

pub(crate) fn ingest(config: &Config) -> ingest::Limits {
    ingest::Limits {
        max_fragment_bytes: MAX_FRAGMENT_BYTES,
        max_batch_bytes: MAX_BATCH_BYTES,
        max_span_bytes: config.effective_max_span_bytes().as_usize(),
        max_listed_bytes: config.grpc.max_message_bytes.as_usize().min(MAX_LISTED),
    }
}

pub(super) fn search(config: &Config) -> search::Limits {
    let limits = &config.limits;
    search::Limits {
        default_depth: DEFAULT_DEPTH.min(limits.max_search_depth),
        max_depth: limits.max_search_depth,
        timeout: limits.query_timeout,
        dependencies_timeout: limits.dependencies_timeout.unwrap_or(limits.query_timeout),
        judged_spans: limits.query_judged_spans,
        read_bytes: limits.query_read_bytes.bytes(),
        max_message_bytes: config.grpc.max_message_bytes.as_usize(),
        pagination: config.grpc.pagination,
    }
}

/// The compiler for components from files.
pub(crate) fn compiler(config: &Config) -> plugin::Compiler {
    let limits = &config.limits;
    plugin::Compiler::this_binary(limits.compile_timeout, limits.compile_memory.bytes())
}

/// The plugin and the quotas of each tenant. Without tenancy, overrides are ignored.
pub(super) fn tenant_configs(config: &Config) -> Result<tenants::Config, LoadError> {
    let all = config.of_all();
    let default = tenant_config(&all).map_err(|source| LoadError::new(None, source))?;
    let tenancy = &config.tenancy;
    let overrides = tenancy.overrides.iter().filter(|_| tenancy.enabled);
    let overrides = overrides.map(|(name, own)| {
        let tenant = tenant_config(&own.over(&all));
        let tenant = tenant.map_err(|source| LoadError::new(Some(name), source))?;
        Ok((name.clone(), tenant))
    });
    let overrides = overrides.collect::<Result<_, _>>()?;
    Ok(tenants::Config { default, overrides })
}

fn tenant_config(config: &Config) -> Result<TenantConfig, plugin::Error> {
    Ok(TenantConfig {
        plugin: plugin::PluginConfig {
            source: config.plugin.r#use.parse()?,
            settings: config.plugin.settings.clone().into_iter().collect(),
            limits: plugin(config),
            grants: (&config.plugin.grants).into(),
        },
        quotas: quotas::Limits {
            spans_per_second: config.limits.spans_per_second,
            concurrent_queries: config.limits.concurrent_queries,
            query_queue_bytes: config.limits.query_queue_bytes.as_usize(),
            kv_quota: config.kv.quota.map(Size::bytes),
        },
    })
}

fn plugin(config: &Config) -> plugin::Limits {
    let limits = &config.limits;
    plugin::Limits {
        memory: limits.memory.bytes(),
        call_timeout: limits.call_timeout,
        queue_bytes: limits.queue_bytes.as_usize(),
        queue_depth: limits.queue_depth,
        log_bytes: limits.log_bytes.bytes(),
        ..plugin::Limits::default()
    }
}

pub(super) fn resolver(config: &Config, port: Port) -> Resolver {
    if config.tenancy.enabled {
        Resolver::on(rules(config, port))
    } else {
        Resolver::off()
    }
}

/// The rules by which a port finds the tenant of a request.
pub(super) fn rules(config: &Config, port: Port) -> Rules {
    let tenancy = &config.tenancy;
    let default = match port {
        Port::Main => tenancy.default.clone(),
        Port::Writer => tenancy.writer_default.clone().or(tenancy.default.clone()),
    };
    Rules {
        header: tenancy.header.name().clone(),
        tenants: tenancy.tenants.0.clone(),
        default,
        attribute: tenancy.resource_attribute.as_deref().map(Into::into),
    }
}

pub(super) fn tenants(config: &Config) -> tenants::Options {
    let tenancy = &config.tenancy;
    let listed = tenancy.tenants.0.iter();
    let defaults = [&tenancy.default, &tenancy.writer_default];
    let overridden = tenancy.overrides.iter().map(|(name, _)| name);
    let known = listed
        .chain(defaults.into_iter().flatten())
        .chain(overridden);
    tenants::Options {
        enabled: tenancy.enabled,
        known: if tenancy.enabled {
            known.cloned().collect()
        } else {
            Vec::new()
        },
        default: tenancy.default.clone(),
        max_tenants: tenancy.max_tenants,
        idle_timeout: tenancy.idle_timeout,
        max_open: tenancy.max_open,
        open_memory: tenancy.open_memory.bytes(),
    }
}
