//! Start, announcement and stop.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;

use super::support::Running;

/// An idle connection, which delays the drain.
fn silence(server: &Running) -> TcpStream {
    let silent = TcpStream::connect(server.address("Serving Jaeger storage on ")).unwrap();
    // Once this is answered, the connection before it has been accepted.
    server.get("/livez");
    silent
}

fn announcement(plugin: &str, data: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("Plugin {plugin} {version} (bundled), data in {data}\n")
}

#[test]
fn a_plugin_that_keeps_nothing_is_told() {
    let server = Running::start(&["--plugin=memory"]);
    let forgets = announcement("memory", "memory only");
    assert!(server.lines.contains(&forgets), "{:?}", server.lines);
}

#[test]
fn it_says_what_stores_and_where_everything_is() {
    let server = Running::start(&["--writer-endpoint=localhost:0"]);
    let kept = announcement("kv", "./larder-data/kv");
    assert!(server.lines.contains(&kept), "{:?}", server.lines);
    for before in [
        "Serving Jaeger storage on ",
        "Serving OTLP traces on ",
        "Serving admin HTTP on ",
    ] {
        let address = server.address(before);
        assert_ne!(address.port(), 0, "{before}");
        TcpStream::connect(address).unwrap();
    }
}

#[test]
fn it_serves_operators() {
    let server = Running::start(&[]);
    assert_eq!(server.get("/livez").0, 200);
    assert_eq!(server.get("/readyz").0, 200);
    assert!(server.get("/metrics").1.contains("larder_plugin_ready 1\n"));
    assert!(server.get("/plugin").1.contains(r#""name":"kv""#));
}

#[test]
fn without_a_writer_endpoint_no_writer_port_is_told() {
    let server = Running::start(&[]);
    assert!(
        !server.lines.concat().contains("Serving OTLP"),
        "{:?}",
        server.lines
    );
}

#[test]
fn a_first_signal_stops_it_in_order() {
    for signal in ["TERM", "INT"] {
        let server = Running::start(&[]);
        server.signal(signal);
        let (status, told) = server.wait();
        assert_eq!(status.code(), Some(0), "{told}");
        assert!(told.contains("stopped"), "{told}");
    }
}

#[test]
fn a_signal_that_is_sent_twice_at_once_is_one_request() {
    let server = Running::start_with(&[], &[("LARDER_LIMITS_DRAIN_TIMEOUT", "500ms")]);
    let silent = silence(&server);
    // As `timeout` does: to the process, and to its group.
    server.signal("TERM");
    server.signal("TERM");
    let (status, told) = server.wait();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(told.contains("limits.drain_timeout"), "{told}");
    drop(silent);
}

#[test]
fn a_later_signal_ends_it_at_once_with_the_code_of_the_signal() {
    let mut server = Running::start(&[]);
    let silent = silence(&server);
    server.signal("TERM");
    server.read_to("shutting down");
    while server.runs() {
        server.signal("TERM");
    }
    let (status, told) = server.wait();
    assert_eq!(
        (status.code(), status.signal()),
        (Some(143), None),
        "{told}"
    );
    assert!(told.contains("second signal"), "{told}");
    drop(silent);
}

#[test]
fn two_servers_cannot_have_one_port_and_the_second_says_which_setting_it_is() {
    let first = Running::start(&[]);
    let taken = first.address("Serving Jaeger storage on ").to_string();
    let second = super::support::run(
        &["--grpc-endpoint", &taken, "--admin-endpoint=localhost:0"],
        &[],
    );
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("grpc.endpoint") && second.stderr.contains(&taken),
        "{}",
        second.stderr
    );
}
