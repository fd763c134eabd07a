//! Requests.

use larder_tests::Home;

use super::peer::Peer;
use super::{attempt, granted, refused};

#[tokio::test]
async fn a_granted_host_is_asked_and_no_other_one() {
    let (peer, other) = (Peer::http("200 OK", "found"), Peer::http("200 OK", "other"));
    let grants = [
        format!("http={}", peer.address),
        format!("http=localhost:{}", peer.port()),
    ];
    let larder = granted(grants.iter().map(String::as_str)).start();
    let client = larder.client().await;
    let (address, port) = (peer.address, peer.port());
    for authority in [
        address.to_string(),
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
    ] {
        let found = attempt(&client, &format!("get http://{authority}/a?b=c")).await;
        assert_eq!(found, "200 found", "{authority}");
    }
    let lines = peer.lines();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(
        lines.contains(&"get /a?b=c http/1.1".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&format!("host: localhost:{port}")),
        "{lines:?}"
    );
    for authority in [
        other.address.to_string(),
        "localhost".to_owned(),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.2]:{port}"),
        format!("2130706433:{port}"),
        format!("user@{address}"),
        format!("{address}@{}", other.address),
        format!("a.localhost:{port}"),
        larder.admin().to_string(),
    ] {
        let outcome = attempt(&client, &format!("get http://{authority}/")).await;
        let is_refused = outcome.contains("HttpRequestDenied") || outcome == "no request";
        assert!(is_refused, "{authority}: {outcome}");
    }
    assert_eq!((peer.lines().len(), other.lines().len()), (6, 0));
    assert!(refused(&larder, "authority") >= 8, "{}", larder.metrics());
    // An address of HTTP is none for TCP.
    let what = format!("tcp {address} hello");
    super::assert_failed(&attempt(&client, &what).await, &what);
}

#[tokio::test]
async fn a_redirect_leads_to_granted_hosts_alone() {
    let secret = Peer::http("200 OK", "secret");
    let leading = |to: &Peer| {
        let head = format!("302 Found\r\nlocation: http://{}/there", to.address);
        Peer::http(&head, "")
    };
    let target = Peer::http("200 OK", "found");
    let (astray, right) = (leading(&secret), leading(&target));
    let grants = [&astray, &right, &target].map(|it| format!("http={}", it.address));
    let larder = granted(grants.iter().map(String::as_str)).start();
    let client = larder.client().await;
    let found = attempt(&client, &format!("get http://{}/", right.address)).await;
    assert_eq!(found, "200 found");
    let outcome = attempt(&client, &format!("get http://{}/", astray.address)).await;
    assert!(outcome.contains("HttpRequestDenied"), "{outcome}");
    assert_eq!((astray.lines().len(), secret.lines().len()), (2, 0));
}

/// What is on the other side speaks no TLS, which is found out, and nothing is sent in the clear.
#[tokio::test]
async fn https_is_spoken_to_who_speaks_it() {
    let peer = Peer::http("200 OK", "found");
    let grant = format!("http={}", peer.address);
    let larder = granted([&*grant]).start();
    let client = larder.client().await;
    let outcome = attempt(&client, &format!("get https://{}/", peer.address)).await;
    assert!(outcome.contains("Tls"), "{outcome}");
    assert_eq!(peer.lines(), [""; 0]);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let peer = Peer::http("200 OK", &"x".repeat(300_000));
    let grant = format!("http={}", peer.address);
    let larder = granted([&*grant])
        .environment("LARDER_PLUGIN_GRANTS_MAX_CALL_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    let outcome = attempt(&client, &format!("get http://{}/", peer.address)).await;
    assert!(outcome.len() < 65_536, "{}", outcome.len());
    assert!(refused(&larder, "bytes") >= 1, "{}", larder.metrics());
}

/// A server with a certificate of a private CA, which the operator names as any program has it.
#[tokio::test]
async fn https_is_checked_against_the_ca_that_the_operator_names() {
    let peer = Peer::https("localhost");
    let home = Home::new();
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, &peer.ca).unwrap();
    let port = peer.peer.port();
    let grants = [
        format!("http=localhost:{port}"),
        format!("http=127.0.0.1:{port}"),
    ];
    for (is_known, expected) in [(true, "200 found"), (false, "TlsProtocolError")] {
        let mut options = granted(grants.iter().map(String::as_str));
        if is_known {
            options = options.environment("SSL_CERT_FILE", ca.to_str().unwrap());
        }
        let larder = options.start();
        let client = larder.client().await;
        let found = attempt(&client, &format!("get https://localhost:{port}/")).await;
        assert!(found.contains(expected), "{is_known}: {found}");
        // The certificate is for the name.
        let other = attempt(&client, &format!("get https://127.0.0.1:{port}/")).await;
        assert!(other.contains("TlsProtocolError"), "{other}");
    }
    assert_eq!(peer.peer.lines().len(), 2);
}

/// Nothing of a request stays in the host: an instance has a thousand handles.
#[tokio::test]
async fn an_instance_sends_any_number_of_requests() {
    let peer = Peer::http("200 OK", "found");
    let grant = format!("http={}", peer.address);
    let larder = granted([&*grant])
        .environment("LARDER_PLUGIN_GRANTS_MAX_CONNECTIONS", "1024")
        .start();
    let client = larder.client().await;
    let answered = attempt(&client, &format!("gets 1500 http://{}/", peer.address)).await;
    assert_eq!(answered, "1500");
}
