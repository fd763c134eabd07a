//! A component that was loaded and asked what it is: what a [`Tenant`](super::Tenant) and a [`Checkup`](super::Checkup) begin with.

use std::sync::Arc;

use super::bindings::exports::larder::storage::lifecycle;
use super::component::{self, Loaded};
use super::factory::{Factory, NotOpened};
use super::guest::{Failure, Gauge, Opening};
use super::{Error, Instancing, Runtime, Settings};
use crate::kv;

/// The one tenant of this version.
const TENANT: &str = "default";
/// What a plugin may call itself.
const MAX_NAME_BYTES: usize = 64;

/// See the module.
pub(super) struct Described {
    pub(super) factory: Factory,
    pub(super) facts: Facts,
}

/// What never changes about a loaded plugin.
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) source: String,
    pub(super) hash: String,
    pub(super) imports: Vec<String>,
    pub(super) instancing: Instancing,
    pub(super) memory_limit: u64,
}

/// Loads the component, asks it what it is, and names it so.
///
/// # Errors
/// A component that cannot be loaded, fails at once or has no proper name.
pub(super) async fn describe(
    runtime: &Runtime,
    settings: Settings,
    kv: Arc<dyn kv::Driver>,
) -> Result<Described, Error> {
    let source = settings.source.to_string();
    let Loaded { pre, hash, imports } = load(runtime, &settings).await?;
    let limits = settings.limits;
    let opening = Opening {
        pre,
        name: source.as_str().into(),
        memory: limits.memory,
        timeout: limits.call_timeout,
        log_bytes: limits.log_bytes,
        gauge: Gauge::default(),
        settings: settings.settings.into(),
    };
    let opened = Factory::new(opening, kv, TENANT).await;
    let mut factory = opened.map_err(|error| NotOpened::Kv(error).into_error(&source))?;
    let described = factory.describe().await;
    let info = described.map_err(|failure| start_error(&source, &failure))?;
    for (what, text) in [("name", &info.name), ("version", &info.version)] {
        let well_formed = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && text.chars().all(|c| c.is_ascii_graphic());
        if !well_formed {
            return Err(Error::World {
                plugin: source,
                reason: format!(
                    "`describe` gives a {what} that is not 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces"
                ),
            });
        }
    }
    factory.opening.name = info.name.as_str().into();
    let facts = Facts {
        version: info.version,
        source,
        hash,
        imports,
        instancing: match info.instancing {
            lifecycle::Instancing::Exclusive => Instancing::Exclusive,
            lifecycle::Instancing::Replicated => Instancing::Replicated,
        },
        memory_limit: limits.memory,
    };
    Ok(Described { factory, facts })
}

/// Compiling takes its time, away from the tasks that serve.
async fn load(runtime: &Runtime, settings: &Settings) -> Result<Loaded, Error> {
    let (runtime, source) = (runtime.clone(), settings.source.clone());
    let loaded = tokio::task::spawn_blocking(move || component::load(&runtime, &source)).await;
    loaded.unwrap_or_else(|error| {
        Err(Error::Runtime {
            reason: format!("the compiler ended early: {error}"),
        })
    })
}

fn start_error(plugin: &str, failure: &Failure) -> Error {
    Error::Start {
        plugin: plugin.to_owned(),
        reason: format!("{}: {}", failure.cause, failure.detail),
    }
}

// === impl NotOpened ===

impl NotOpened {
    /// As the error of a plugin that cannot be used at all.
    pub(super) fn into_error(self, plugin: &str) -> Error {
        let plugin = plugin.to_owned();
        match self {
            Self::Failed(failure) => start_error(&plugin, &failure),
            Self::Refused(reason) => Error::Refused { plugin, reason },
            Self::Kv(source) => Error::Kv { plugin, source },
        }
    }
}
