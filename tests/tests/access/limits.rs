//! Limits of connections, slow clients and long headers. Deadlines without a setting have unit tests with a paused clock.

use larder_tests::{Client, Options, Plugin, method, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_CONNECTIONS", "1")
        .start();
    let first = larder.client().await;
    assert!(first.services().await.unwrap().is_empty());
    let port = larder.grpc();
    let second = tokio::spawn(async move { Client::connect(port).await.services().await });
    larder.wait_for_line("limits.connections").await;
    // Only the first connection works.
    for _ in 0..20 {
        assert!(first.services().await.unwrap().is_empty());
        assert!(!second.is_finished());
    }
    drop(first);
    let answer = patiently("the second connection", second).await.unwrap();
    assert!(answer.unwrap().is_empty());
}

#[tokio::test]
async fn an_endless_body_times_out() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_REQUEST_TIMEOUT", "50ms")
        .start();
    let mut slow = TcpStream::connect(larder.admin()).await.unwrap();
    let head = "POST /explain HTTP/1.1\r\nHost: larder\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    patiently("an answer", slow.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("limits.request_timeout"), "{answer}");
}

#[tokio::test]
async fn endless_headers_time_out() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_REQUEST_TIMEOUT", "50ms")
        .start();
    let mut slow = TcpStream::connect(larder.admin()).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHo").await.unwrap();
    let mut answer = Vec::new();
    patiently("an end", slow.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, b"");
    assert_eq!(larder.get("/livez").status, 200);
}

#[tokio::test]
async fn a_call_without_a_request_times_out() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_REQUEST_TIMEOUT", "50ms")
        .writer_port()
        .start();
    let client = larder.client().await;
    let writer = Client::connect(larder.writer()).await;
    for (port, method) in [
        (&client, method::EXPORT),
        (&client, method::GET_SERVICES),
        (&client, method::FIND_TRACES),
        (&writer, method::EXPORT),
    ] {
        let status = port.call().unfinished(method).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method} {status:?}");
        let says = status.message();
        assert!(says.contains("limits.request_timeout"), "{status:?}");
    }
    // The connection stays usable.
    assert!(client.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn headers_of_a_call_have_a_bound() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let with = |bytes: usize| client.with_header("x-long", &"x".repeat(bytes));
    assert!(with(60 << 10).services().await.unwrap().is_empty());
    assert!(with(65 << 10).services().await.is_err());
    let other = larder.client().await;
    assert!(other.services().await.unwrap().is_empty());
}
