//! Starts the real binary on free ports and in its own directory, and cleans up both.

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

/// The options of a server.
#[derive(Clone, Debug)]
pub struct Options {
    plugin: Option<Plugin>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    ports: bool,
    file_limits: bool,
    own_cache: bool,
    open_files: Option<(u32, u32)>,
}

/// The result of a run of the binary.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its log.
    pub stderr: String,
    /// Peak resident memory (`VmHWM`), as last read shortly before its exit, bytes.
    pub memory: u64,
}

// === impl Exit ===

impl Exit {
    /// Returns the message of the error that ended it. A server logs it as JSON; the other commands print it as a line.
    ///
    /// # Panics
    /// If there is none.
    pub fn error(&self) -> String {
        let stderr = format!("\n{}", self.stderr);
        if let Some((_, error)) = stderr.split_once("\nerror: ") {
            return error.to_owned();
        }
        let last = self.stderr.lines().last();
        let event: serde_json::Value = last
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("no error in {self:?}"));
        assert_eq!(event["level"], "ERROR", "{event}");
        event["message"].as_str().expect("a message").to_owned()
    }
}

impl Options {
    /// A server with this plugin, with deadlines for a loaded machine, and without a minimum of free disk space.
    pub fn new(plugin: Plugin) -> Self {
        let bare = Self {
            plugin: Some(plugin),
            ..Self::bare()
        };
        let options = bare.patient().environment("LARDER_KV_MIN_FREE", "0B");
        if matches!(
            plugin,
            Plugin::Hostile | Plugin::HostileExclusive | Plugin::Reaching
        ) {
            // A misdeed is meant for the next call of the test, not for one of the host's own.
            options
                .environment("LARDER_DEPENDENCIES_KEPT", "false")
                .environment("LARDER_INGEST_DICTIONARY", "false")
        } else {
            options
        }
    }

    /// A server whose plugin comes from its configuration.
    pub fn bare() -> Self {
        Self {
            plugin: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            config: None,
            ports: true,
            file_limits: false,
            own_cache: false,
            open_files: None,
        }
    }

    /// Sets deadlines for a loaded machine.
    #[must_use]
    pub fn patient(self) -> Self {
        self.environment("LARDER_LIMITS_CALL_TIMEOUT", "60s")
            .environment("LARDER_LIMITS_QUERY_TIMEOUT", "60s")
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a `--plugin-setting`.
    #[must_use]
    pub fn setting(self, key: &str, value: &str) -> Self {
        self.arguments(["--plugin-setting".to_owned(), format!("{key}={value}")])
    }

    /// Adds a `--plugin-grant`.
    #[must_use]
    pub fn grant(self, grant: &str) -> Self {
        self.arguments(["--plugin-grant", grant])
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the text of the file that `--config` names.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Omits the flags that set every port to 0.
    #[must_use]
    pub fn without_port_flags(mut self) -> Self {
        self.ports = false;
        self
    }

    /// Also serves OTLP on a separate port.
    #[must_use]
    pub fn writer_port(self) -> Self {
        self.arguments(["--writer-endpoint", "127.0.0.1:0"])
    }

    /// Enables `POST /purge`.
    #[must_use]
    pub fn purge(self) -> Self {
        self.arguments(["--enable-purge"])
    }

    /// Ignores the signal for a write beyond [`Larder::limit_files`], so that such a write is an error, as on a full disk.
    #[must_use]
    pub fn survives_file_limits(mut self) -> Self {
        self.file_limits = true;
        self
    }

    /// Starts it with this soft and hard limit of open files.
    #[must_use]
    pub fn open_files(mut self, soft: u32, hard: u32) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    /// Compiles its plugin, as a server's first start does. Other servers use the compiled code of earlier ones.
    #[must_use]
    pub fn own_cache(mut self) -> Self {
        self.own_cache = true;
        self
    }

    /// Shares the cache of compiled code, because compiling a plugin takes longer than most servers of tests run. Its key consists of the
    /// plugin, the compiler and the binary.
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
        let mut prepare = Vec::new();
        if self.file_limits {
            prepare.push("trap '' XFSZ".to_owned());
        }
        if let Some((soft, hard)) = self.open_files {
            prepare.push(format!("ulimit -Sn {soft}; ulimit -Hn {hard}"));
        }
        if !prepare.is_empty() {
            prepare.push("exec \"$0\" \"$@\"".to_owned());
            command = Command::new("sh");
            command.args(["-c", &prepare.join("; ")]);
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
            command.args(plugin.arguments(directory));
        }
        if self.ports {
            command.args(["--grpc-endpoint", "127.0.0.1:0"]);
            command.args(["--admin-endpoint", "127.0.0.1:0"]);
        }
        command
    }

    /// Starts a server and waits until it logs its addresses.
    ///
    /// # Panics
    /// If it exits instead; the message has its log.
    pub fn start(self) -> Larder {
        self.start_in(&Home::new())
    }

    /// Like [`Options::start`], on the data of an earlier server.
    pub fn start_in(self, home: &Home) -> Larder {
        let mut larder = self.spawn_in(home);
        larder.admin = Some(larder.address("Serving admin HTTP on "));
        larder.grpc = Some(larder.address("Serving Jaeger storage on "));
        larder
    }

    /// Like [`Options::start_in`], but waits only until its ports answer: it is still starting.
    pub fn starting_in(self, home: &Home) -> Larder {
        let mut larder = self.spawn_in(home);
        larder.admin = Some(larder.answering("admin.endpoint"));
        larder.grpc = Some(larder.answering("grpc.endpoint"));
        larder
    }

    /// Like [`Options::start_in`], without waiting; its addresses are unknown.
    pub fn spawn_in(self, home: &Home) -> Larder {
        self.share_cache(&home.data());
        let mut command = self.command(home.path());
        command.arg("--data-dir").arg(home.data());
        spawn(command, home)
    }

    /// Starts a command that is no server, without waiting for its end. It is not told of a data directory.
    pub fn spawn(self) -> Larder {
        let home = Home::new();
        spawn(self.command(home.path()), &home)
    }

    /// Runs the binary until it exits by itself.
    pub fn run(self) -> Exit {
        let home = Home::new();
        self.share_cache(&home.path().join("larder-data"));
        let command = self.command(home.path());
        run(command, &home)
    }

    /// Like [`Options::run`], on the data of an earlier server, or of a running one.
    pub fn run_in(self, home: &Home) -> Exit {
        self.share_cache(&home.data());
        let mut command = self.command(home.path());
        command.arg("--data-dir").arg(home.data());
        run(command, home)
    }
}

fn spawn(mut command: Command, home: &Home) -> Larder {
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
    /// Returns the address of the gRPC services.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.expect("known once started")
    }

    /// Returns the address of the admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("known once started")
    }

    /// Returns the address of the separate OTLP port; requires [`Options::writer_port`].
    pub fn writer(&self) -> SocketAddr {
        self.address("Serving OTLP traces on ")
    }

    /// Waits until the port of this setting, such as `grpc.writer_endpoint`, answers, and returns its address.
    pub fn answering(&self, setting: &str) -> SocketAddr {
        let line = self.line_of(&["the port answers", &format!("\"{setting}\"")]);
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let address = event["address"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.data()
    }

    /// Kills it with SIGKILL, and waits for its exit; its folder remains as long as its [`Home`].
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("still running");
        // It may already have exited.
        drop(child.kill());
        child.wait().expect("a child to wait for");
        self.reaper = None;
    }

    /// Returns true once the signal "STOP" has stopped all of its threads.
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

    /// Limits the size of files from now on: writes beyond it fail. Requires [`Options::survives_file_limits`].
    pub fn limit_files(&self, bytes: Option<u64>) {
        let id = self.child.as_ref().expect("still running").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(pid), Resource::Fsize, limit).expect("a limit that may be set");
    }

    /// Connects a client.
    pub async fn client(&self) -> Client {
        Client::connect(self.grpc()).await
    }

    /// Sends `GET` to the admin port.
    pub fn get(&self, path: &str) -> Response {
        http::get(self.admin(), path)
    }

    /// Waits until values of attributes are listed: the first writes of a store need not be.
    pub async fn lists_values(&self) {
        let is_open = || self.get("/attributes").status == 200;
        eventually("listed values", async || is_open().then_some(())).await;
    }

    /// Sends `POST` to the admin port.
    pub fn post(&self, path: &str) -> Response {
        http::post(self.admin(), path)
    }

    /// Returns the text of `/metrics`.
    pub fn metrics(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200);
        response.body
    }

    /// Returns its log lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line that contains `text`.
    pub fn line(&self, text: &str) -> String {
        self.line_of(&[text])
    }

    /// Waits for a log line that contains all of these. Log lines and answers may arrive in any order.
    pub fn line_of(&self, parts: &[&str]) -> String {
        self.log
            .wait(parts)
            .unwrap_or_else(|why| panic!("{why}:\n{}", self.lines().join("\n")))
    }

    /// Like [`Larder::line`], without blocking the test's other tasks.
    pub async fn wait_for_line(&self, text: &str) {
        let lines = || self.lines().iter().any(|line| line.contains(text));
        eventually(text, async || lines().then_some(())).await;
    }

    /// Waits for an event whose message begins so, and returns the message.
    pub fn message(&self, start: &str) -> String {
        let line = self.line(&format!("\"message\":\"{start}"));
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        event["message"].as_str().expect("a message").to_owned()
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

    /// Sends a signal, such as "TERM".
    pub fn signal(&self, name: &str) {
        send(self.child.as_ref().expect("still running"), name);
    }

    /// Sends a signal repeatedly until it exits.
    pub async fn signal_until_exit(mut self, name: &str) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("still running");
        let status = eventually("larder's end", async || {
            send(&child, name);
            child.try_wait().expect("a child to wait for")
        })
        .await;
        self.reaper = None;
        (status, self.log.to_the_end())
    }

    /// Waits for its exit.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("still running");
        let status = wait(&mut child, &self.log);
        self.reaper = None;
        (status, self.log.to_the_end())
    }

    /// Returns a line of the server's `/proc/PID/status`, such as `VmRSS` or `VmHWM`, in bytes.
    pub fn memory(&self, name: &str) -> u64 {
        let id = self.child.as_ref().expect("still running").id();
        process::memory(id, name).unwrap_or_else(|| panic!("{name} of a running server"))
    }

    /// Returns the number of memory mappings of the server.
    pub fn mappings(&self) -> usize {
        let id = self.child.as_ref().expect("still running").id();
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps"));
        maps.expect("maps of a running server").lines().count()
    }

    /// Prints its log from a line on; libtest shows it if the test fails.
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
            // It may already have exited.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
