//! The system's limit of open files: the soft one is raised, and connections leave the store its files.

use std::net::TcpStream;

use larder_tests::otlp::{noise, service, span};
use larder_tests::{Options, Plugin};

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let larder = Options::new(Plugin::Kv).open_files(64, 600).start();
    let mut clients = Vec::new();
    for _ in 0..120 {
        let client = larder.client().await;
        assert!(client.services().await.unwrap().is_empty());
        clients.push(client);
    }
    for client in &clients {
        assert!(client.services().await.unwrap().is_empty());
    }
}

/// More idle connections than files: the store goes on, and a client that speaks gets a place of one that does not.
#[tokio::test]
async fn connections_that_say_nothing_give_way_and_take_no_file_of_the_store() {
    let larder = Options::new(Plugin::Kv).open_files(64, 200).start();
    larder.line_of(&["limits.connections", "LimitNOFILE"]);
    let early = larder.client().await;
    assert!(early.services().await.unwrap().is_empty());
    let idle: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(larder.grpc()).unwrap())
        .collect();
    let late = larder.client().await;
    for number in 1..=40_u8 {
        let one = span([number; 16], 1).attribute("text", noise(number.into(), 100_000));
        late.store([service(format!("service-{number}")).span(one)])
            .await;
    }
    // It has said something, so it has kept its place.
    assert_eq!(early.services().await.unwrap().len(), 40);
    assert_eq!(early.get_trace([7; 16]).await.span_ids(), [1]);
    // The admin port has a share of its own.
    assert_eq!(larder.get("/livez").status, 200);
    drop(idle);
    let lines = larder.lines();
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("oo many open files"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}
