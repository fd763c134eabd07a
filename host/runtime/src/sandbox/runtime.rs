//! The wasm engine of the process: its configuration and the cache of compiled code.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel, ProfilingStrategy};

use super::clock::Clock;
use super::instances::Instances;
use crate::component::{Compiler, Error};

/// The part of a fiber's stack that wasm frames may take, in bytes.
const MAX_WASM_STACK: usize = 1 << 20;
/// The stack of a fiber in bytes: the part for wasm, and as much for host calls.
const ASYNC_STACK: usize = 2 << 20;
/// The size of the cache in bytes. What was used least recently is removed first.
const CACHE_BYTES: u64 = 256 << 20;

/// Configuration of the engine.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    /// The folder of compiled code, usually `<data_dir>/cache/wasmtime`; created with mode 0700. Without it, every start
    /// compiles.
    pub cache_dir: Option<PathBuf>,
    /// Compiles the components of files first, in a bounded process. Without it they are compiled in this process, without a time limit.
    pub compiler: Option<Compiler>,
    /// Divides processor time among tenants.
    pub scheduler: Arc<Scheduler>,
    /// Writes the names of guests' functions to `/tmp/perf-PID.map`, where `perf` looks for them. For benches only.
    pub perf_map: bool,
    /// The most plugin instances at a time. Without it, as many as the system's limit of memory mappings allows.
    pub max_instances: Option<u64>,
    /// The time that retention goes by.
    pub trusted_clock: Arc<TrustedClock>,
}

/// One engine, shared by all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    clock: Arc<Clock>,
    instances: Arc<Instances>,
    config: Arc<RuntimeConfig>,
}

// === impl Runtime ===

impl Runtime {
    /// Builds the engine and starts its clock.
    ///
    /// A cache folder that cannot be used is logged as a warning; the engine then works without it.
    ///
    /// # Errors
    /// [`Error::Runtime`] if wasm cannot be compiled for this machine.
    pub fn new(config: &RuntimeConfig) -> Result<Self, Error> {
        let mut wasm = engine_config(config.cache_dir.as_deref());
        if config.perf_map {
            wasm.profiler(ProfilingStrategy::PerfMap);
        }
        let engine = build(&wasm)?;
        let clock = Clock::start(engine.weak())?;
        Ok(Self {
            engine,
            clock,
            instances: Instances::new(config.max_instances),
            config: Arc::new(config.clone()),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The instances of all plugins.
    pub(crate) fn instances(&self) -> &Arc<Instances> {
        &self.instances
    }

    pub(crate) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.config.scheduler
    }

    pub(crate) fn config(&self) -> &RuntimeConfig {
        &self.config
    }
}

/// An engine for another process that shares the cache. It has the same configuration, as that is part of the key of compiled code.
pub(crate) fn engine(cache_dir: Option<&Path>) -> Result<Engine, Error> {
    build(&engine_config(cache_dir))
}

fn build(wasm: &Config) -> Result<Engine, Error> {
    Engine::new(wasm).map_err(|error| Error::Runtime {
        reason: format!("{error:#}"),
    })
}

fn engine_config(cache_dir: Option<&Path>) -> Config {
    let mut wasm = Config::new();
    wasm.concurrency_support(false)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_memory64(false)
        .cranelift_opt_level(OptLevel::Speed)
        .cache(cache_dir.and_then(open_cache));
    wasm
}

fn open_cache(folder: &Path) -> Option<Cache> {
    let opened = create_private(folder)
        .map_err(|error| error.to_string())
        .and_then(|folder| {
            let mut config = CacheConfig::new();
            config
                .with_directory(folder)
                .with_files_total_size_soft_limit(CACHE_BYTES);
            Cache::new(config).map_err(|error| format!("{error:#}"))
        });
    opened
        .inspect_err(|error| {
            tracing::warn!(
                folder = %folder.display(),
                error,
                "cannot cache compiled plugins; every start compiles them again"
            );
        })
        .ok()
}

/// Creates the folder with mode 0700: a user who can write to it can have this process run any code.
fn create_private(folder: &Path) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    folder.canonicalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_use_the_cache_folder() {
        use std::os::unix::fs::PermissionsExt;

        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("cache/wasmtime");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let cache_dir = Some(folder.clone());
        Runtime::new(&RuntimeConfig {
            cache_dir,
            ..RuntimeConfig::default()
        })
        .unwrap();
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn an_engine_without_a_usable_cache_folder_is_built() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("file");
        std::fs::write(&file, "").unwrap();
        let cache_dir = Some(file.join("cache"));
        assert!(
            Runtime::new(&RuntimeConfig {
                cache_dir,
                ..RuntimeConfig::default()
            })
            .is_ok()
        );
    }
}
