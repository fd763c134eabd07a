//! The one wasm engine of the process: its configuration and the cache of compiled code.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::fair::Scheduler;
use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel, ProfilingStrategy};

use super::clock::Clock;
use crate::component::{Compiler, Error};

/// Wasm frames may take this much of a fiber's stack.
const MAX_WASM_STACK: usize = 1 << 20;
/// A fiber's stack: what wasm may take, and as much for host calls below it.
const ASYNC_STACK: usize = 2 << 20;
/// Compiled code beyond this is removed from the cache, least recently used first.
const CACHE_BYTES: u64 = 256 << 20;

/// Configuration of the engine.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    /// Where compiled code is kept between starts, usually `<data_dir>/cache/wasmtime`; made with mode 0700. Without it, every
    /// start compiles.
    pub cache_dir: Option<PathBuf>,
    /// Compiles the components of files first, in a bounded process. Without it they are compiled in this process, without a time limit.
    pub compiler: Option<Compiler>,
    /// Divides processor time among tenants.
    pub scheduler: Arc<Scheduler>,
    /// Writes the names of guests' functions to `/tmp/perf-PID.map`, where `perf` looks for them. For benches: it keeps nothing secret.
    pub perf_map: bool,
}

/// One engine, shared by all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    clock: Arc<Clock>,
    config: Arc<RuntimeConfig>,
}

// === impl Runtime ===

impl Runtime {
    /// Sets the engine up and starts its clock.
    ///
    /// A cache directory that cannot be used is warned about, and done without.
    ///
    /// # Errors
    /// [`Error::Runtime`] where wasm cannot be compiled for this machine.
    pub fn new(config: &RuntimeConfig) -> Result<Self, Error> {
        let mut wasm = wasm(config.cache_dir.as_deref());
        if config.perf_map {
            wasm.profiler(ProfilingStrategy::PerfMap);
        }
        let engine = made(&wasm)?;
        let clock = Clock::start(engine.weak())?;
        Ok(Self {
            engine,
            clock,
            config: Arc::new(config.clone()),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    pub(crate) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.config.scheduler
    }

    pub(crate) fn config(&self) -> &RuntimeConfig {
        &self.config
    }
}

/// The engine of every process that works on one cache: the key of compiled code is made of all that is set here.
pub(crate) fn engine(cache_dir: Option<&Path>) -> Result<Engine, Error> {
    made(&wasm(cache_dir))
}

fn made(wasm: &Config) -> Result<Engine, Error> {
    Engine::new(wasm).map_err(|error| Error::Runtime {
        reason: format!("{error:#}"),
    })
}

fn wasm(cache_dir: Option<&Path>) -> Config {
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
    let opened = make_private(folder)
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

/// Makes the folder, for its owner only: who can write to it decides what code runs here.
fn make_private(folder: &Path) -> io::Result<PathBuf> {
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
    fn the_cache_is_for_its_owner_only() {
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
    fn a_cache_that_cannot_be_made_is_done_without() {
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
