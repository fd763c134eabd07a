//! Names and connections.

use larder_tests::{Options, Plugin};

use super::peer::Peer;
use super::{assert_failed, attempt, granted, refused};

#[tokio::test]
async fn without_grants_everything_is_refused_counted_and_told() {
    let peer = Peer::echoing();
    let larder = Options::new(Plugin::Reaching)
        .environment("REACHED", "a secret")
        .start();
    let client = larder.client().await;
    let to = peer.address;
    for what in [
        format!("tcp {to} hello"),
        format!("tcp localhost:{} hello", peer.port()),
        "lookup localhost".to_owned(),
        "listen 127.0.0.1:0".to_owned(),
        "udp 127.0.0.1:0".to_owned(),
    ] {
        assert_failed(&attempt(&client, &what).await, &what);
    }
    let denied = attempt(&client, &format!("get http://{to}/")).await;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    assert_eq!(attempt(&client, "env REACHED").await, "unset");
    assert_eq!(attempt(&client, "clock").await, "stands");
    assert_eq!(peer.lines(), [""; 0]);
    assert!(refused(&larder, "authority") >= 2, "{}", larder.metrics());
    assert!(refused(&larder, "name") >= 2, "{}", larder.metrics());
    assert!(refused(&larder, "kind") >= 1, "{}", larder.metrics());
    larder.line_of(&["the plugin is refused the network", "plugin.grants.http"]);
}

#[tokio::test]
async fn a_granted_address_is_reached_and_no_other_port_or_form_of_it() {
    let (peer, other) = (Peer::echoing(), Peer::echoing());
    let grant = format!("tcp={}", peer.address);
    let larder = granted([&*grant]).start();
    let client = larder.client().await;
    let heard = attempt(&client, &format!("tcp {} hello", peer.address)).await;
    assert_eq!(heard, "heard hello");
    for to in [
        other.address.to_string(),
        format!("localhost:{}", peer.port()),
        format!("127.0.0.2:{}", peer.port()),
        format!("0.0.0.0:{}", peer.port()),
        format!("[::1]:{}", peer.port()),
        format!("[::]:{}", peer.port()),
        format!("[::127.0.0.1]:{}", peer.port()),
        format!("[64:ff9b::7f00:1]:{}", peer.port()),
        format!("[::ffff:127.0.0.2]:{}", peer.port()),
        "169.254.169.254:80".to_owned(),
        larder.grpc().to_string(),
        larder.admin().to_string(),
    ] {
        let what = format!("tcp {to} hello");
        assert_failed(&attempt(&client, &what).await, &what);
    }
    // An address of TCP is none for HTTP.
    let denied = attempt(&client, &format!("get http://{}/", peer.address)).await;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    for what in ["listen 127.0.0.1:0", "listen 0.0.0.0:0", "udp 127.0.0.1:0"] {
        assert_failed(&attempt(&client, what).await, what);
    }
    assert_eq!(
        (peer.lines(), other.lines()),
        (vec!["hello".to_owned()], vec![])
    );
    assert!(refused(&larder, "authority") >= 8, "{}", larder.metrics());
    let metrics = larder.metrics();
    for series in [
        "larder_plugin_connections_total{tenant=\"default\",plugin=\"reaching\"} 1\n",
        "larder_plugin_network_bytes_total{tenant=\"default\",plugin=\"reaching\",network_io_direction=\"transmit\"} 6\n",
        "larder_plugin_network_bytes_total{tenant=\"default\",plugin=\"reaching\",network_io_direction=\"receive\"} 12\n",
    ] {
        assert!(metrics.contains(series), "{series}{metrics}");
    }
}

#[tokio::test]
async fn a_granted_name_is_resolved_by_the_host_and_no_other_name() {
    let peer = Peer::echoing();
    let grant = format!("tcp=localhost:{}", peer.port());
    let larder = granted([&*grant]).start();
    let client = larder.client().await;
    let early = format!("tcp {} early", peer.address);
    assert_failed(&attempt(&client, &early).await, &early);
    let what = format!("tcp localhost:{} hello", peer.port());
    assert_eq!(attempt(&client, &what).await, "heard hello");
    let found = attempt(&client, "lookup LOCALHOST.").await;
    assert!(found.contains("127.0.0.1"), "{found}");
    for name in [
        "example.com",
        "a.localhost",
        "127.1",
        "0x7f000001",
        "metadata",
        "",
    ] {
        let what = format!("lookup {name}");
        assert_failed(&attempt(&client, &what).await, &what);
    }
    assert!(refused(&larder, "name") >= 3, "{}", larder.metrics());
    larder.line_of(&["the plugin is refused the network", "example.com"]);
}
