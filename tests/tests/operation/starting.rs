//! The ports while the store and the plugin are opened: they answer that the server is starting, and serve once it has started.
//!
//! Tests that wait for the end of a server have a thread beside, as their connections have to answer while it drains.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{
    Client, Home, Larder, Options, Plugin, Tokens, eventually, http, method, patiently, replace,
    token,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::stop::assert_stopping;

const STARTING: &str = "the server is starting: opening the store";

/// The id of the store's writer.
const ID: &str = "0123456789abcdef0123456789abcdef";

/// The calls that need what is opened.
const CALLS: [&str; 10] = [
    method::EXPORT,
    method::FIND_SPANS,
    method::FIND_TRACE_IDS,
    method::FIND_TRACE_SUMMARIES,
    method::FIND_TRACES,
    method::GET_CAPABILITIES,
    method::GET_DEPENDENCIES,
    method::GET_OPERATIONS,
    method::GET_SERVICES,
    method::GET_TRACES,
];

/// The routes that need it.
const ROUTES: [(&str, &str); 10] = [
    ("GET", "/attributes"),
    ("GET", "/attributes/k/values"),
    ("GET", "/plugin"),
    ("GET", "/cluster"),
    ("GET", "/tenants"),
    ("POST", "/clock"),
    ("POST", "/explain"),
    ("POST", "/purge"),
    ("POST", "/reload"),
    ("POST", "/snapshot?to=monday"),
];

/// A store whose opening ends when the test says so: its file `WRITER` is a pipe, which the server reads.
struct HeldStore {
    home: Home,
    writer: PathBuf,
}

impl HeldStore {
    fn new() -> Self {
        let home = Home::new();
        let kv = home.data().join("kv");
        std::fs::create_dir_all(&kv).unwrap();
        let writer = kv.join("WRITER");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &writer, FileType::Fifo, mode, 0).unwrap();
        Self { home, writer }
    }

    /// Lets the opening go on, with this id of the writer.
    async fn release(&self, id: &str) {
        // It can be opened once the server waits at its other end.
        let pipe = eventually("the server to read `WRITER`", async || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK;
            open(&self.writer, flags, Mode::empty()).ok()
        });
        let mut pipe = File::from(pipe.await);
        // What reads it again finds a file.
        replace(&self.writer, id);
        pipe.write_all(id.as_bytes()).unwrap();
    }
}

struct Health(HealthClient<Channel>);

impl Health {
    async fn connect(address: SocketAddr) -> Self {
        Self(HealthClient::new(Client::connect(address).await.channel()))
    }

    async fn of(&mut self, service: &str) -> ServingStatus {
        let service = service.to_owned();
        let check = self.0.check(HealthCheckRequest { service }).await;
        check.unwrap().into_inner().status()
    }

    async fn watch(&mut self, service: &str) -> Streaming<HealthCheckResponse> {
        let service = service.to_owned();
        let watch = self.0.watch(HealthCheckRequest { service }).await;
        watch.unwrap().into_inner()
    }
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let next = patiently("health", watch.message()).await.unwrap();
    next.expect("another state").status()
}

/// Asserts that a call is refused as while the store is opened. Clients retry this code.
#[track_caller]
fn assert_refused(method: &str, status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{method}: {status:?}");
    assert_eq!(status.message(), STARTING, "{method}");
    // As of every UNAVAILABLE.
    assert_eq!(retry_info(status), None, "{method}");
}

fn lines_of(larder: &Larder, part: &str) -> usize {
    let lines = larder.lines();
    lines.iter().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn the_ports_answer_while_the_store_is_opened_and_serve_once_it_is() {
    let store = HeldStore::new();
    let options = Options::new(Plugin::Kv).writer_port().purge();
    let larder = options.starting_in(&store.home);
    let writer = larder.answering("grpc.writer_endpoint");

    let mut main = Health::connect(larder.grpc()).await;
    let mut of_writer = Health::connect(writer).await;
    let names = [
        "",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        "jaeger.storage.v2.TraceWriter",
    ];
    for name in names {
        assert_eq!(main.of(name).await, NotServing, "{name:?}");
        assert_eq!(of_writer.of(name).await, NotServing, "{name:?}");
    }
    let reader = "jaeger.storage.v2.TraceReader";
    assert_eq!(main.of(reader).await, NotServing);
    let mut watches = [
        main.watch("").await,
        main.watch(reader).await,
        of_writer.watch("").await,
        of_writer.watch(names[1]).await,
    ];
    for watch in &mut watches {
        assert_eq!(next(watch).await, NotServing);
    }

    let client = larder.client().await;
    for method in CALLS {
        let refused = client.call().stream(method, Bytes::new()).await;
        assert_refused(method, &refused.end.unwrap_err());
    }
    // Without waiting for what the client sends.
    let on_writer = Client::connect(writer).await;
    for client in [&client, &on_writer] {
        let refused = client.call().unfinished(method::EXPORT).await;
        assert_refused(method::EXPORT, &refused);
    }

    let ready = larder.get("/readyz");
    assert_eq!(
        (ready.status, &*ready.body),
        (503, &*format!("{STARTING}\n"))
    );
    for (verb, path) in ROUTES {
        let refused = http::request(larder.admin(), (verb, path), None, "");
        let told = (refused.status, &*refused.body);
        assert_eq!(told, (503, &*format!("{STARTING}\n")), "{path}");
    }
    assert_eq!(larder.get("/livez").status, 200);
    assert_eq!(larder.get("/nothing").status, 404);
    let export = "rpc_method=\"opentelemetry.proto.collector.trace.v1.TraceService/Export\"";
    let refused = http::count(
        &larder.metrics(),
        "rpc_server_call_duration_seconds_count",
        &[export, "rpc_response_status_code=\"UNAVAILABLE\""],
    );
    assert_eq!(refused, 3);
    assert_eq!(lines_of(&larder, "Serving "), 0, "nothing is served yet");

    store.release(ID).await;
    for watch in &mut watches {
        assert_eq!(next(watch).await, Serving);
    }
    for name in names {
        assert_eq!(main.of(name).await, Serving, "{name:?}");
        assert_eq!(of_writer.of(name).await, Serving, "{name:?}");
    }
    on_writer
        .store([service("begun").span(span([1; 16], 1).at(5))])
        .await;
    assert_eq!(client.services().await.unwrap(), ["begun"]);
    assert_eq!(larder.get("/readyz").status, 200);
    assert_eq!(larder.get("/plugin").json()["name"], "kv");
    assert_eq!(larder.post("/reload").status, 200);
    larder.line(&format!("Serving Jaeger storage on {}", larder.grpc()));
    larder.line(&format!("Serving admin HTTP on {}", larder.admin()));
}

#[tokio::test]
async fn tokens_are_asked_for_as_ever() {
    let store = HeldStore::new();
    let (reader, reader_line) = token("reader", None, "read");
    let (operator, operator_line) = token("operator", None, "admin");
    let tokens = Tokens::new(&store.home, &[&reader_line, &operator_line]);
    let options = Options::new(Plugin::Kv).tokens(&tokens);
    let larder = options.starting_in(&store.home);

    let client = larder.client().await;
    assert_eq!(client.read_code().await, Code::Unauthenticated);
    let foreign = client.token(&operator);
    assert_eq!(foreign.read_code().await, Code::PermissionDenied);
    let allowed = client.token(&reader);
    let refused = allowed.services().await.unwrap_err();
    assert_refused(method::GET_SERVICES, &refused);
    let mut health = Health::connect(larder.grpc()).await;
    assert_eq!(health.of("").await, NotServing, "a probe has no token");

    let ask = |path, token| http::request(larder.admin(), ("GET", path), token, "").status;
    for (path, of_operator) in [("/plugin", 503), ("/metrics", 200)] {
        assert_eq!(ask(path, None), 401, "{path}");
        assert_eq!(ask(path, Some(&*reader)), 403, "{path}");
        assert_eq!(ask(path, Some(&*operator)), of_operator, "{path}");
    }
    assert_eq!(ask("/readyz", None), 503);
    assert_eq!(ask("/livez", None), 200);

    store.release(ID).await;
    eventually("the start", async || {
        (ask("/readyz", None) == 200).then_some(())
    })
    .await;
    assert_eq!(client.read_code().await, Code::Unauthenticated);
    assert_eq!(allowed.read_code().await, Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_opened_ends_the_process_with_its_error() {
    let store = HeldStore::new();
    let larder = Options::new(Plugin::Kv).starting_in(&store.home);
    let mut health = Health::connect(larder.grpc()).await;
    let mut watch = health.watch("").await;
    assert_eq!(next(&mut watch).await, NotServing);
    assert_eq!(larder.get("/readyz").status, 503);

    store.release("").await;
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(1), "{lines:?}");
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR", "{last}");
    let told = last["message"].as_str().unwrap();
    for part in ["cannot open the storage of `kv`", "is damaged"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert!(!lines.concat().contains("Serving "), "{lines:?}");
    let after = patiently("the end of the watch", watch.message()).await;
    assert!(!matches!(after, Ok(Some(_))), "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_during_a_start_waits_for_the_store_and_closes_it() {
    let store = HeldStore::new();
    let options = || Options::new(Plugin::Kv).environment("LARDER_LIMITS_DRAIN_TIMEOUT", "60s");
    let larder = options().starting_in(&store.home);
    let mut health = Health::connect(larder.grpc()).await;
    let mut watch = health.watch("").await;
    assert_eq!(next(&mut watch).await, NotServing);

    larder.signal("TERM");
    assert_stopping(&larder).await;
    let end = patiently("the end of the watch", watch.message()).await;
    assert!(end.unwrap().is_none());
    store.release(ID).await;
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let log = lines.concat();
    assert!(log.contains("\"stopped\""), "{lines:?}");
    for word in ["Serving ", "loading the plugin", "limits.drain_timeout"] {
        assert!(!log.contains(word), "{word} in {lines:?}");
    }

    let larder = options().start_in(&store.home);
    assert_eq!(larder.get("/readyz").status, 200);
}

#[tokio::test]
async fn a_second_signal_during_a_start_exits_at_once() {
    let store = HeldStore::new();
    let options = Options::new(Plugin::Kv).environment("LARDER_LIMITS_DRAIN_TIMEOUT", "1h");
    let larder = options.starting_in(&store.home);
    larder.signal("TERM");
    assert_stopping(&larder).await;
    let (status, lines) = larder.signal_until_exit("TERM").await;
    assert_eq!(status.code(), Some(143), "{lines:?}");
    assert!(lines.concat().contains("second signal"), "{lines:?}");
}

/// A store that takes long does not delay a stop for longer than the drain timeout.
#[test]
fn a_stop_ends_in_time_although_the_store_is_still_being_opened() {
    let store = HeldStore::new();
    let options = Options::new(Plugin::Kv).environment("LARDER_LIMITS_DRAIN_TIMEOUT", "200ms");
    let larder = options.starting_in(&store.home);
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let told = lines
        .iter()
        .any(|line| line.contains("limits.drain_timeout"));
    assert!(told, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_opens_for_ever_is_told_and_does_not_delay_a_stop() {
    let options = Options::new(Plugin::Hostile)
        .setting("attack", "spin at open")
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .environment("LARDER_LIMITS_DRAIN_TIMEOUT", "1h");
    let larder = options.starting_in(&Home::new());
    larder.wait_for_line("the guest is about to spin").await;
    let ready = larder.get("/readyz");
    assert_eq!(ready.status, 503);
    let told = ["loading the plugin\n", "opening the plugin\n"]
        .map(|step| format!("the server is starting: {step}"));
    assert!(told.contains(&ready.body), "{ready:?}");
    let refused = larder.client().await.services().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(format!("{}\n", refused.message()), ready.body);

    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    assert!(
        !lines.concat().contains("limits.drain_timeout"),
        "{lines:?}"
    );
}
