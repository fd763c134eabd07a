//! Settings of ports, and of disk space, that change while the server runs.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, method, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use super::{configure, has, reload, start, store};

/// Makes a reload that applies this one setting.
fn take(larder: &Larder, home: &Home, (setting, yaml): (&str, &str)) {
    configure(home, yaml);
    let report = reload(larder);
    assert_eq!(report["outcome"], "taken", "{report}");
    assert_eq!(report["taken"][0], setting, "{report}");
    assert_eq!(report["taken"].as_array().unwrap().len(), 1, "{report}");
}

#[tokio::test]
async fn purge_is_turned_on_and_off() {
    let home = Home::new();
    let larder = start(&home, "");
    let client = larder.client().await;
    store(&client, 1).await;
    assert_eq!(larder.post("/purge").status, 403);
    take(&larder, &home, ("admin.purge", "admin: { purge: true }\n"));
    assert_eq!(larder.post("/purge").status, 200);
    assert!(!has(&client, 1).await);
    store(&client, 2).await;
    take(&larder, &home, ("admin.purge", "admin: { purge: false }\n"));
    assert_eq!(larder.post("/purge").status, 403);
    assert!(has(&client, 2).await);
}

#[tokio::test]
async fn more_connections_are_accepted_and_then_fewer() {
    let home = Home::new();
    let of = |number: u8| format!("limits: {{ connections: {number} }}\n");
    let larder = start(&home, &of(1));
    let first = larder.client().await;
    assert!(first.services().await.unwrap().is_empty());
    let port = larder.grpc();
    let connect = || {
        tokio::spawn(async move {
            let client = Client::connect(port).await;
            client.services().await.unwrap();
            client
        })
    };
    let second = connect();
    larder.wait_for_line("limits.connections").await;
    for _ in 0..20 {
        first.services().await.unwrap();
        assert!(!second.is_finished());
    }
    take(&larder, &home, ("limits.connections", &of(2)));
    let second = patiently("the second connection", second).await.unwrap();

    // Existing connections stay, and new ones are accepted only when both but one have ended.
    take(&larder, &home, ("limits.connections", &of(1)));
    let third = connect();
    for client in [&first, &second] {
        for _ in 0..20 {
            client.services().await.unwrap();
            assert!(!third.is_finished());
        }
    }
    drop((first, second));
    patiently("the third connection", third).await.unwrap();
}

#[tokio::test]
async fn the_time_for_a_request_is_taken() {
    let home = Home::new();
    let of = |time: &str| format!("limits: {{ request_timeout: {time} }}\n");
    let larder = start(&home, &of("1h"));
    let client = larder.client().await;
    take(&larder, &home, ("limits.request_timeout", &of("50ms")));
    // On the existing connection.
    let call = client.call();
    let given_up = call.unfinished(method::EXPORT);
    let status = patiently("the end of a call", given_up).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let says = status.message();
    assert!(says.contains("limits.request_timeout"), "{status:?}");

    for begun in [
        "GET /livez HTTP/1.1\r\nHo",
        "POST /explain HTTP/1.1\r\nHost: larder\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{",
    ] {
        let mut slow = TcpStream::connect(larder.admin()).await.unwrap();
        slow.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let ended = patiently("an end", slow.read_to_string(&mut answer)).await;
        ended.unwrap();
        let gave_up = answer.is_empty() || answer.starts_with("HTTP/1.1 408");
        assert!(gave_up, "{answer}");
    }
}

#[tokio::test]
async fn the_free_space_that_is_kept_is_taken() {
    let home = Home::new();
    let larder = start(&home, "kv: { min_free: 0B }\n");
    let client = larder.client().await;
    store(&client, 1).await;
    take(
        &larder,
        &home,
        ("kv.min_free", "kv: { min_free: 1024TiB }\n"),
    );
    let one = service("a").span(span([2; 16], 1).at(2));
    let refused = client.export([one]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("kv.min_free"), "{refused:?}");
    assert!(has(&client, 1).await);
    take(&larder, &home, ("kv.min_free", "kv: { min_free: 0B }\n"));
    store(&client, 2).await;
    assert!(has(&client, 2).await);
}
