//! Starts the binary without the configuration of the machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// The result of a run.
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command in this directory.
pub(crate) fn larder(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("LARDER_") || name_text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Exit {
    let directory = tempfile::tempdir().unwrap();
    run_in(directory.path(), arguments, environment)
}

/// Runs to the end, in a directory that may hold files.
pub(crate) fn run_in(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Exit {
    let output = larder(directory)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    Exit {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server on ports of its own; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// The lines of stderr so far.
    pub(crate) lines: Vec<String>,
    _directory: TempDir,
}

impl Running {
    /// Starts it and reads its lines up to the last of the announced addresses, which is the admin port's.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports = [
            "--grpc-endpoint=127.0.0.1:0",
            "--admin-endpoint=127.0.0.1:0",
        ];
        let mut child = larder(directory.path())
            .args(ports)
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self {
            child,
            stderr,
            lines: Vec::new(),
            _directory: directory,
        };
        running.read_to("Serving admin HTTP on ");
        running
    }

    /// Reads lines until one holds `text`.
    pub(crate) fn read_to(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "ended before {text}:\n{}", self.lines.concat());
            let found = line.contains(text);
            self.lines.push(line);
            if found {
                return;
            }
        }
    }

    /// The address that follows `before` on its line.
    pub(crate) fn address(&self, before: &str) -> SocketAddr {
        let address = self.lines.iter().find_map(|line| line.strip_prefix(before));
        address.unwrap().trim().parse().unwrap()
    }

    /// The status code and body of a `GET` on the admin port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address("Serving admin HTTP on ")).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    /// True until it has ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal, as "TERM".
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end, and returns the rest of its lines.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
