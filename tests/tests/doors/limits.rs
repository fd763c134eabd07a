//! Connections and slow clients.

use larder_tests::{Client, Options, Plugin, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_CONNECTIONS", "1")
        .start();
    let first = larder.client().await;
    assert!(first.services().await.unwrap().is_empty());
    larder.told("limits.connections").await;
    let port = larder.grpc();
    let second = tokio::spawn(async move { Client::connect(port).await.services().await });
    // The first goes on, and is the only one that does.
    for _ in 0..20 {
        assert!(first.services().await.unwrap().is_empty());
        assert!(!second.is_finished());
    }
    drop(first);
    let answer = patiently("the second connection", second).await.unwrap();
    assert!(answer.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
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
