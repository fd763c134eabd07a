//! The compiler process. It limits its own resources before it reads the component, and exits once that is compiled.

use std::fmt::Display;
use std::io::{Read as _, Write as _, stderr, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use wasmtime::component::Component;

use super::REFUSED;
use crate::sandbox::runtime::engine;

/// The limit of CPU time is exceeded.
pub(super) const SIGXCPU: i32 = 24;
/// Killed from outside.
pub(super) const SIGKILL: i32 = 9;

/// A component on standard input to compile; the command that a server gives to a process of its own.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct CompileJob {
    /// Where compiled code is kept
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Bytes of address space
    #[arg(long, value_name = "BYTES")]
    memory: u64,
    /// Seconds of processor time, of all threads together
    #[arg(long, value_name = "SECONDS")]
    processor_seconds: u64,
}

// === impl CompileJob ===

impl CompileJob {
    /// Compiles the component. Errors go to stderr.
    pub fn run(&self) -> ExitCode {
        if let Err(error) = self.bound() {
            say(&format!("cannot bound the compiler: {error}"));
            return ExitCode::FAILURE;
        }
        let mut bytes = Vec::new();
        if let Err(error) = stdin().lock().read_to_end(&mut bytes) {
            say(&format!("cannot read the component: {error}"));
            return ExitCode::FAILURE;
        }
        let engine = match engine(self.cache_dir.as_deref()) {
            Ok(engine) => engine,
            Err(error) => {
                say(&error);
                return ExitCode::FAILURE;
            }
        };
        match Component::from_binary(&engine, &bytes) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) if error.is::<wasmtime::OutOfMemory>() => {
                say(&format!("out of memory: {error:#}"));
                ExitCode::FAILURE
            }
            Err(error) => {
                say(&format!("{error:#}"));
                ExitCode::from(REFUSED)
            }
        }
    }

    /// Sets limits that a compiler which a component has taken over cannot raise again.
    #[cfg(target_os = "linux")]
    fn bound(&self) -> std::io::Result<()> {
        use rustix::process::{Resource, Rlimit, nice, setrlimit};

        let limits = [
            (Resource::As, self.memory),
            (Resource::Cpu, self.processor_seconds),
            // Compiled code in the cache.
            (Resource::Fsize, self.memory),
            (Resource::Core, 0),
        ];
        for (resource, most) in limits {
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            setrlimit(resource, limit)?;
        }
        // The server gets the processor first, and when memory runs out this process is killed first. The limits do not depend on it.
        nice(10).ok();
        std::fs::write("/proc/self/oom_score_adj", "1000").ok();
        Ok(())
    }

    /// On other systems only the server's deadline applies.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
    fn bound(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Ignores a stderr that is closed.
fn say(what: &dyn Display) {
    drop(writeln!(stderr().lock(), "{what}"));
}
