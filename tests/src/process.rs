//! Child processes: reading their output, waiting for their exit, and killing them when this process ends.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Waits for a child's exit, which must come.
pub(crate) fn wait(child: &mut Child, log: &Log) -> ExitStatus {
    watch(child, log, || ())
}

/// Like [`wait`], and calls `look` periodically.
pub(crate) fn watch(child: &mut Child, log: &Log, mut look: impl FnMut()) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        look();
        if let Some(status) = child.try_wait().expect("a child to wait for") {
            return status;
        }
        if Instant::now() >= deadline {
            drop(child.kill());
            let log = log.text();
            panic!("larder did not end within {PATIENCE:?}:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads a line of `/proc/ID/status`, such as `VmRSS` or `VmHWM`, in bytes. `None` if the process has no such line, as when it exits.
pub(crate) fn memory(id: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib = line.trim().trim_end_matches(" kB");
    Some(kib.parse::<u64>().expect("a number") * 1024)
}

/// The lines of a child's stderr, read by a thread.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    pub(crate) fn follow(output: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                writer.change(|lines| lines.lines.push(line));
            }
            writer.change(|lines| lines.ended = true);
        });
        log
    }

    /// Returns the lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    /// Waits for a line that contains all of these.
    pub(crate) fn wait(&self, parts: &[&str]) -> Result<String, String> {
        let told = |line: &&String| parts.iter().all(|part| line.contains(part));
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.lines.iter().find(told) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended {
                return Err(format!("larder ended without the line {parts:?}"));
            }
            if left.is_zero() {
                return Err(format!(
                    "waited {PATIENCE:?} in vain for the line {parts:?}"
                ));
            }
            (lines, _) = self
                .0
                .1
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns all lines, once stderr is closed.
    pub(crate) fn to_the_end(&self) -> Vec<String> {
        let mut lines = self.lock();
        while !lines.ended {
            lines = self.0.1.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        lines.lines.clone()
    }

    pub(crate) fn text(&self) -> String {
        self.to_the_end().join("\n")
    }
}

/// A shell that waits for its standard input to close, which happens however this process ends, and then kills the server and
/// removes its directory. It is needed because servers in statics are never dropped, and an aborted test drops nothing.
#[derive(Debug)]
pub(crate) struct Reaper {
    shell: Child,
    lifeline: Option<ChildStdin>,
}

impl Reaper {
    pub(crate) fn new(child: &Child, directory: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", "read order && exit; kill -9 $0; rm -rf \"$1\""])
            .arg(child.id().to_string())
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let lifeline = shell.stdin.take();
        Self { shell, lifeline }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The child has exited, and its id may have been reused: the shell must not kill it.
        if let Some(mut lifeline) = self.lifeline.take() {
            drop(lifeline.write_all(b"stand down\n"));
        }
        drop(self.shell.wait());
    }
}
