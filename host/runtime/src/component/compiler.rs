//! Compiles an untrusted component in a process of its own first, within limits of time and memory.
//!
//! Compiled code is never taken from that process over a pipe, as loading it would be unsafe: it puts it into the cache of compiled
//! code, from where this process loads it under the same key. Where there is no cache, or its entry is gone again, this process
//! compiles the same bytes with the same compiler, which has just been seen to stay within the bounds.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Error;

mod child;

pub use child::CompileJob;

/// Threads that compile at a time: memory is bounded for all of them together.
const MOST_THREADS: usize = 4;
/// The most bytes that are kept of the process's stderr.
const MAX_TEXT_BYTES: u64 = 8 << 10;
/// Exit code for bytes that are not a component. The process's stderr has the reason.
const REFUSED: u8 = 3;

/// Starts a process for each component that is compiled.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// A binary with the command `plugin compile`.
    pub program: PathBuf,
    /// Time limit of a compilation. It bounds the processor time of each thread too.
    pub timeout: Duration,
    /// Its address space, in bytes.
    pub memory: u64,
}

/// A process that is killed when this is dropped.
struct Process(Child);

/// The end of the process.
enum Ended {
    Late,
    Status(ExitStatus, String),
}

// === impl Compiler ===

impl Compiler {
    /// The running binary, even if its file was replaced meanwhile: another build has other cache keys.
    pub fn this_binary(timeout: Duration, memory: u64) -> Self {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            // If it is unknown, spawning the process fails with an error.
            std::env::current_exe().unwrap_or_default()
        };
        Self {
            program,
            timeout,
            memory,
        }
    }

    /// Compiles the component into the cache, where there is one.
    ///
    /// # Errors
    /// [`Error::Load`] for what is no component, [`Error::Compile`] for one that takes too much, naming the limit.
    pub(crate) async fn compile(
        &self,
        plugin: &str,
        bytes: Arc<[u8]>,
        cache_dir: Option<&Path>,
    ) -> Result<(), Error> {
        let compile_error = |reason: String| Error::Compile {
            plugin: plugin.to_owned(),
            reason,
        };
        let ended = self.run(bytes, cache_dir).await;
        let ended = ended.map_err(|error| {
            compile_error(format!(
                "the process that compiles it cannot be started: {error}"
            ))
        })?;
        match ended {
            Ended::Late => Err(compile_error(self.too_slow())),
            Ended::Status(status, _) if status.success() => Ok(()),
            Ended::Status(status, text) if status.code() == Some(REFUSED.into()) => {
                let text = text.trim();
                Err(Error::Load {
                    plugin: plugin.to_owned(),
                    reason: format!("{text}; is the file whole, and built for wasm32-wasip2?"),
                })
            }
            Ended::Status(status, text) => Err(compile_error(self.abnormal_exit(status, &text))),
        }
    }

    async fn run(&self, bytes: Arc<[u8]>, cache_dir: Option<&Path>) -> io::Result<Ended> {
        let mut process = Process(self.command(cache_dir).spawn()?);
        let (stdin, stderr) = (process.0.stdin.take(), process.0.stderr.take());
        let exchange = spawn_blocking(move || exchange(stdin, stderr, &bytes));
        match tokio::time::timeout(self.timeout, exchange).await {
            // Dropping the process kills it, which closes its pipes.
            Err(_) => Ok(Ended::Late),
            Ok(text) => {
                let text = text.map_err(io::Error::other)?;
                // stderr is closed, so the process is exiting.
                Ok(Ended::Status(process.0.wait()?, text))
            }
        }
    }

    fn command(&self, cache_dir: Option<&Path>) -> Command {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MOST_THREADS);
        let seconds = self.timeout.as_secs().saturating_add(1);
        let processor_seconds = seconds.saturating_mul(threads as u64);
        let mut command = Command::new(&self.program);
        command
            .args(["plugin", "compile"])
            .args(["--memory", &self.memory.to_string()])
            .args(["--processor-seconds", &processor_seconds.to_string()])
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            // Each arena of glibc's reserves address space, used or not.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(folder) = cache_dir {
            command.arg("--cache-dir").arg(folder);
        }
        command
    }

    fn too_slow(&self) -> String {
        let timeout = humantime::format_duration(self.timeout);
        format!(
            "that takes longer than limits.compile_timeout ({timeout}); build it with fewer and smaller functions, or raise the limit if you trust the file"
        )
    }

    fn too_large(&self) -> String {
        let memory = self.memory >> 20;
        format!(
            "that takes more memory than limits.compile_memory ({memory} MiB); build it with fewer and smaller functions, or raise the limit if you trust the file"
        )
    }

    /// The error for a process that did not exit with a code of its own.
    fn abnormal_exit(&self, status: ExitStatus, text: &str) -> String {
        let signs = [
            "memory allocation of",
            "out of memory",
            "Cannot allocate memory",
            "Resource temporarily unavailable",
        ];
        if signs.iter().any(|sign| text.contains(sign)) {
            return self.too_large();
        }
        match signal(status) {
            Some(child::SIGXCPU) => self.too_slow(),
            // The kernel's OOM killer: nothing else knows the process id.
            Some(child::SIGKILL) => self.too_large(),
            _ => format!("the compiler failed on it ({status}): {}", text.trim()),
        }
    }
}

/// Writes the component to stdin, and returns what the process writes to stderr until it ends.
fn exchange(stdin: Option<ChildStdin>, stderr: Option<ChildStderr>, bytes: &[u8]) -> String {
    if let Some(mut stdin) = stdin {
        // A process that exits early gives the reason on stderr.
        drop(stdin.write_all(bytes));
    }
    let mut text = Vec::new();
    if let Some(mut stderr) = stderr {
        drop((&mut stderr).take(MAX_TEXT_BYTES).read_to_end(&mut text));
        drop(io::copy(&mut stderr, &mut io::sink()));
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

// === impl Process ===

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests;
