//! Connections, bytes and time.

use std::net::SocketAddr;

use larder_tests::http;
use larder_tests::otlp::{service, span};
use tonic::Code;

use super::peer::Peer;
use super::{attempt, granted, refused};

#[tokio::test]
async fn a_flood_of_connections_is_cut() {
    let peer = Peer::silent();
    let grant = format!("tcp={}", peer.address);
    let larder = granted([&*grant])
        .environment("LARDER_PLUGIN_GRANTS_MAX_CONNECTIONS", "3")
        .start();
    let client = larder.client().await;
    let open = attempt(&client, &format!("connections 100 {}", peer.address)).await;
    assert_eq!(open, "3");
    assert_eq!(refused(&larder, "connections"), 1);
    let made = attempt(&client, &format!("reconnect 2000 {}", peer.address)).await;
    let made: u64 = made.parse().unwrap();
    assert!(made < 2000, "{made}");
    assert_eq!(refused(&larder, "rate"), 2000 - made);
    larder.line_of(&[
        "the plugin is refused the network",
        "plugin.grants.max_connections",
    ]);
}

#[tokio::test]
async fn a_call_that_moves_too_much_is_cut_and_the_next_one_is_not() {
    let (silent, endless) = (Peer::silent(), Peer::endless());
    let grants = [silent.address, endless.address].map(|it| format!("tcp={it}"));
    let larder = granted(grants.iter().map(String::as_str))
        .environment("LARDER_PLUGIN_GRANTS_MAX_CALL_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    for (what, peer) in [("send", &silent), ("receive", &endless)] {
        for bytes in [1_000_000, 999_999] {
            let moved = attempt(&client, &format!("{what} {bytes} {}", peer.address)).await;
            assert_eq!(moved, "65536", "{what}");
        }
    }
    assert_eq!(refused(&larder, "bytes"), 4);
    larder.line_of(&[
        "the plugin is refused the network",
        "plugin.grants.max_call_bytes",
    ]);
}

/// The batch is not to blame for what is slow outside, so it is never refused for good.
#[tokio::test]
async fn a_server_that_does_not_answer_costs_the_call_and_not_the_batch() {
    check_a_silent_server(|to| format!("tcp {to} hello")).await;
}

/// The call is stopped between two waits then, as one that computes for too long is.
#[tokio::test]
async fn a_wait_in_slices_costs_the_call_and_not_the_batch() {
    check_a_silent_server(|to| format!("slices {to}")).await;
}

async fn check_a_silent_server(waiting: impl Fn(SocketAddr) -> String) {
    let (silent, echoing) = (Peer::silent(), Peer::echoing());
    let grants = [silent.address, echoing.address].map(|it| format!("tcp={it}"));
    let larder = granted(grants.iter().map(String::as_str))
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "300ms")
        .start();
    let client = larder.client().await;
    let waits = waiting(silent.address);
    let ended = || {
        let labels = [
            "tenant=\"default\"",
            "plugin=\"reaching\"",
            "error_type=\"network\"",
        ];
        http::count(&larder.metrics(), "larder_plugin_restarts_total", &labels)
    };
    // A batch that fails three calls by itself is to blame.
    while ended() < 5 {
        let one = span([7; 16], 1).at(5);
        let answer = client.export([service(&*waits).span(one)]).await;
        let refused = answer.expect_err("not stored, and not refused for good");
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }
    let answers = format!("tcp {} hello", echoing.address);
    let one = || service(&*answers).span(span([7; 16], 1).at(5));
    while client.export([one()]).await.is_err() {}
    assert_eq!(super::outcome(&client, &answers).await, "heard hello");
}
