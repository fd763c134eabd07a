//! Starts the real binary on ports of its own and in a directory of its own, and takes both away again.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::client::Client;
use crate::home::Home;
use crate::http::{self, Response};
use crate::process::{self, Log, Reaper, wait, watch};
use crate::{Plugin, binary, eventually};

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    plugin: Option<Plugin>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    ports: bool,
    file_limits: bool,
    own_cache: bool,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Exit {
    /// Its code or signal.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
    /// The most memory that was resident (`VmHWM`), as last seen a moment before its end, in bytes.
    pub memory: u64,
}

impl Options {
    /// A server with this plugin, with deadlines that a loaded machine keeps, and with what is left of the machine's disk.
    pub fn new(plugin: Plugin) -> Self {
        let bare = Self {
            plugin: Some(plugin),
            ..Self::bare()
        };
        bare.patient().environment("LARDER_KV_MIN_FREE", "0B")
    }

    /// A server whose plugin is up to its configuration.
    pub fn bare() -> Self {
        Self {
            plugin: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            config: None,
            ports: true,
            file_limits: false,
            own_cache: false,
        }
    }

    /// With deadlines that a loaded machine keeps.
    #[must_use]
    pub fn patient(self) -> Self {
        self.environment("LARDER_LIMITS_CALL_TIMEOUT", "60s")
            .environment("LARDER_LIMITS_QUERY_TIMEOUT", "60s")
    }

    /// More arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A `--plugin-setting`.
    #[must_use]
    pub fn setting(self, key: &str, value: &str) -> Self {
        self.arguments(["--plugin-setting".to_owned(), format!("{key}={value}")])
    }

    /// An environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The text of the file that `--config` names.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Without the flags that put every port to 0.
    #[must_use]
    pub fn without_port_flags(mut self) -> Self {
        self.ports = false;
        self
    }

    /// Also serves OTLP on a port of its own.
    #[must_use]
    pub fn writer_port(self) -> Self {
        self.arguments(["--writer-endpoint", "127.0.0.1:0"])
    }

    /// With `POST /purge`.
    #[must_use]
    pub fn purge(self) -> Self {
        self.arguments(["--enable-purge"])
    }

    /// Outlives the signal that a write beyond [`Larder::limit_files`] brings: such a write is an error then, as on a full disk.
    #[must_use]
    pub fn survives_file_limits(mut self) -> Self {
        self.file_limits = true;
        self
    }

    /// Has to compile its plugin, as a server does that starts for the first time. Others find it compiled by a server before them.
    #[must_use]
    pub fn own_cache(mut self) -> Self {
        self.own_cache = true;
        self
    }

    /// Compiling a plugin takes longer than most servers of tests live. The key of compiled code is made of the plugin, the
    /// compiler and the binary, so it can be shared.
    fn share_cache(&self, data: &Path) {
        let (own, shared) = (
            data.join("cache"),
            binary::path().with_file_name("tests-cache"),
        );
        if self.own_cache || own.symlink_metadata().is_ok() {
            return;
        }
        for folder in [data, &shared] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::os::unix::fs::symlink(shared, own).expect("a link to the shared cache");
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(binary::path());
        if self.file_limits {
            command = Command::new("sh");
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            command.arg(binary::path());
        }
        command.current_dir(directory);
        let ours = |name: &str| name.starts_with("LARDER_") || name == "RUST_LOG";
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(text) = &self.config {
            let path = directory.join("larder.yaml");
            std::fs::write(&path, text).expect("a configuration file");
            command.arg("--config").arg(path);
        }
        if let Some(plugin) = self.plugin {
            command.arg("--plugin").arg(plugin.argument());
        }
        if self.ports {
            command.args(["--grpc-endpoint", "127.0.0.1:0"]);
            command.args(["--admin-endpoint", "127.0.0.1:0"]);
        }
        command
    }

    /// Starts a server and waits until it says where it listens.
    ///
    /// # Panics
    /// With what it logged, when it ends instead.
    pub fn start(self) -> Larder {
        self.start_in(&Home::new())
    }

    /// As [`Options::start`], on what an earlier server has left there.
    pub fn start_in(self, home: &Home) -> Larder {
        let mut larder = self.spawn_in(home);
        larder.admin = Some(larder.address("Serving admin HTTP on "));
        larder.grpc = Some(larder.address("Serving Jaeger storage on "));
        larder
    }

    /// As [`Options::start_in`], without waiting for anything: where it listens is not known.
    pub fn spawn_in(self, home: &Home) -> Larder {
        self.share_cache(&home.data());
        let mut command = self.command(home.path());
        command.arg("--data-dir").arg(home.data());
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::follow(child.stderr.take().expect("piped"));
        drop(Log::follow(child.stdout.take().expect("piped")));
        Larder {
            reaper: Some(Reaper::new(&child, home.path())),
            child: Some(child),
            log,
            home: home.clone(),
            grpc: None,
            admin: None,
        }
    }

    /// Runs the binary until it ends by itself.
    pub fn run(self) -> Exit {
        let home = Home::new();
        self.share_cache(&home.path().join("larder-data"));
        let command = self.command(home.path());
        run(command, &home)
    }

    /// As [`Options::run`], on what an earlier server has left there, or another one is using.
    pub fn run_in(self, home: &Home) -> Exit {
        self.share_cache(&home.data());
        let mut command = self.command(home.path());
        command.arg("--data-dir").arg(home.data());
        run(command, home)
    }
}

fn run(mut command: Command, home: &Home) -> Exit {
    let mut child = command.spawn().expect("the binary starts");
    let reaper = Reaper::new(&child, home.path());
    let stdout = Log::follow(child.stdout.take().expect("piped"));
    let stderr = Log::follow(child.stderr.take().expect("piped"));
    let (id, mut memory) = (child.id(), 0);
    let status = watch(&mut child, &stderr, || {
        memory = process::memory(id, "VmHWM").unwrap_or(memory);
    });
    drop(reaper);
    Exit {
        status,
        stdout: stdout.text(),
        stderr: stderr.text(),
        memory,
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Larder {
    reaper: Option<Reaper>,
    child: Option<Child>,
    log: Log,
    home: Home,
    grpc: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Larder {
    /// Where the gRPC services are.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.expect("known once started")
    }

    /// Where the admin HTTP is.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("known once started")
    }

    /// Where the OTLP service of its own is; only with [`Options::writer_port`].
    pub fn writer(&self) -> SocketAddr {
        self.address("Serving OTLP traces on ")
    }

    /// The directory of the data and whatever else it writes.
    pub fn data_dir(&self) -> PathBuf {
        self.home.data()
    }

    /// Ends it as a loss of power would, and returns once it is gone; its folder stays as long as the [`Home`] does.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("still running");
        // It may have ended already, which is as good.
        drop(child.kill());
        child.wait().expect("a child to wait for");
        self.reaper = None;
    }

    /// Returns once the signal "STOP" has taken effect: nothing of it runs.
    pub fn is_stopped(&self) {
        let id = self.child.as_ref().expect("still running").id();
        let tasks = || std::fs::read_dir(format!("/proc/{id}/task")).expect("its threads");
        let runs = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let state = stat
                .rsplit_once(") ")
                .map(|(_, rest)| rest.starts_with('T'));
            state == Some(false)
        };
        while tasks().map_while(Result::ok).any(runs) {
            std::thread::yield_now();
        }
    }

    /// From now on no file may grow beyond so many bytes: writes there fail. Only with [`Options::survives_file_limits`].
    pub fn limit_files(&self, bytes: Option<u64>) {
        let id = self.child.as_ref().expect("still running").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(pid), Resource::Fsize, limit).expect("a limit that may be set");
    }

    /// A connection.
    pub async fn client(&self) -> Client {
        Client::connect(self.grpc()).await
    }

    /// `GET` on the admin port.
    pub fn get(&self, path: &str) -> Response {
        http::get(self.admin(), path)
    }

    /// `POST` on the admin port.
    pub fn post(&self, path: &str) -> Response {
        http::post(self.admin(), path)
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200);
        response.body
    }

    /// What it logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line that holds `text`.
    pub fn line(&self, text: &str) -> String {
        self.line_of(&[text])
    }

    /// Waits for a log line that holds all of these: what is logged comes by another way than answers do.
    pub fn line_of(&self, parts: &[&str]) -> String {
        self.log
            .wait(parts)
            .unwrap_or_else(|why| panic!("{why}:\n{}", self.lines().join("\n")))
    }

    /// As [`Larder::line`], while the test's other tasks go on.
    pub async fn told(&self, text: &str) {
        let lines = || self.lines().iter().any(|line| line.contains(text));
        eventually(text, async || lines().then_some(())).await;
    }

    fn address(&self, before: &str) -> SocketAddr {
        let line = self.line(before);
        let rest = &line[line.find(before).expect("just found") + before.len()..];
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '"' || c == '\\')
            .unwrap_or(rest.len());
        rest[..end]
            .parse()
            .unwrap_or_else(|error| panic!("no address in {line:?}: {error}"))
    }

    /// Sends a signal, as "TERM".
    pub fn signal(&self, name: &str) {
        send(self.child.as_ref().expect("still running"), name);
    }

    /// Sends a signal again and again until it ends.
    pub async fn insist(mut self, name: &str) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("still running");
        let status = eventually("larder's end", async || {
            send(&child, name);
            child.try_wait().expect("a child to wait for")
        })
        .await;
        self.reaper = None;
        (status, self.log.to_the_end())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("still running");
        let status = wait(&mut child, &self.log);
        self.reaper = None;
        (status, self.log.to_the_end())
    }

    /// A line of `/proc/self/status` of the server, in bytes: `VmRSS` or `VmHWM`.
    pub fn memory(&self, name: &str) -> u64 {
        let id = self.child.as_ref().expect("still running").id();
        process::memory(id, name).unwrap_or_else(|| panic!("{name} of a running server"))
    }

    /// Prints what it logged from a line on, where a failing test shows it.
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failure")]
    pub fn show(&self, from: usize) {
        eprintln!("--- what larder logged");
        for line in self.lines().iter().skip(from) {
            eprintln!("{line}");
        }
        eprintln!("---");
    }
}

/// Sends a signal to a child that has not been waited for.
fn send(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success(), "kill -{name} {}", child.id());
}

impl Drop for Larder {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                self.show(0);
            }
            // It may have ended already, which is as good.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
