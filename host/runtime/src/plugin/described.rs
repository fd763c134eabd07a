//! A component that was loaded and asked what it is: what an [`Opener`](super::Opener) and a [`Checkup`](super::Checkup) begin with.

use std::sync::Arc;

use larder_store::{Driver as _, MemoryDriver};

use super::bindings::exports::larder::storage::lifecycle;
use super::component::{self, Loaded};
use super::factory::NotOpened;
use super::guest::{Failure, Gauge, Instance, KvAccess, Opening};
use super::{Error, Instancing, Runtime, RuntimeConfig, Settings, Source};

/// What a plugin may call itself.
const MAX_NAME_BYTES: usize = 64;

/// See the module. What instances are made of: where it is exchanged, it is exchanged as a whole.
#[derive(Clone)]
pub(super) struct Described {
    pub(super) opening: Opening,
    pub(super) facts: Facts,
}

/// What never changes about a loaded plugin.
#[derive(Clone)]
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
pub(super) async fn describe(runtime: &Runtime, settings: Settings) -> Result<Described, Error> {
    let source = settings.source.to_string();
    let Loaded { pre, hash, imports } = load(runtime, &settings).await?;
    let limits = settings.limits;
    let mut opening = Opening {
        pre,
        name: source.as_str().into(),
        memory: limits.memory,
        timeout: limits.call_timeout,
        log_bytes: limits.log_bytes,
        gauge: Gauge::default(),
        clock: Arc::clone(runtime.clock()),
        settings: settings.settings.into(),
    };
    let info = ask(&opening)
        .await
        .map_err(|error| error.into_error(&source))?;
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
    opening.name = info.name.as_str().into();
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
    Ok(Described { opening, facts })
}

/// What the component says it is, before it has anything to read or write.
async fn ask(opening: &Opening) -> Result<lifecycle::Info, NotOpened> {
    let namespace = MemoryDriver::new().open("").await.map_err(NotOpened::Kv)?;
    let kv = KvAccess {
        namespace,
        claim: None,
    };
    let started = Instance::start(opening, kv).await;
    let mut instance = started.map_err(NotOpened::Failed)?;
    instance.describe().await.map_err(NotOpened::Failed)
}

/// Compiling takes its time, away from the tasks that serve; what is not part of the binary is compiled by another process first.
async fn load(runtime: &Runtime, settings: &Settings) -> Result<Loaded, Error> {
    let source = settings.source.clone();
    let bytes = blocking(move || component::read(&source)).await?;
    let RuntimeConfig {
        cache_dir,
        compiler,
        ..
    } = runtime.config();
    if let (Source::File(_), Some(compiler)) = (&settings.source, compiler) {
        let plugin = settings.source.to_string();
        let compiled = compiler.compile(&plugin, Arc::clone(&bytes), cache_dir.as_deref());
        compiled.await?;
    }
    let (runtime, source) = (runtime.clone(), settings.source.clone());
    blocking(move || component::load(&runtime, &source, &bytes)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::Runtime {
            reason: format!("the compiler ended early: {error}"),
        })
    })
}

fn start_error(plugin: &str, failure: &Failure) -> Error {
    Error::Start {
        plugin: plugin.to_owned(),
        cause: failure.cause.to_string(),
        error_type: failure.cause.as_str(),
        detail: failure.detail.clone(),
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
