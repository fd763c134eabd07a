//! Certificates and tokens that change under load, without failed calls.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use larder_tests::{
    Background, Call, Home, Options, Plugin, Tokens, eventually, method, replace, token,
};
use tokio_rustls::rustls::ClientConfig;
use tonic::Code;

use crate::authority::Authority;
use crate::peer::{ask, channel, connect, export, served};
use crate::tls::options;

/// Existing connections stay open, and new ones get the new certificate, on every port and without a failed call.
#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_and_old_ones_stay() {
    let home = Home::new();
    let authority = Authority::new();
    let (old, new) = (authority.sign(), authority.sign());
    old.write(home.path());
    let larder = options(home.path(), None).start();
    let ports = [
        (larder.grpc(), "h2"),
        (larder.writer(), "h2"),
        (larder.admin(), "http/1.1"),
    ];
    let client = |protocol| authority.client(protocol, None);
    for (port, protocol) in ports {
        assert_eq!(served(port, client(protocol)).await, old.der());
    }
    let kept = channel(larder.grpc(), client("h2")).await.unwrap();
    let mut kept_admin = connect(larder.admin(), client("http/1.1")).await.unwrap();
    let load = load(larder.grpc(), client("h2"));

    new.write(home.path());
    larder.signal("HUP");
    for (port, protocol) in ports {
        eventually("the new certificate", async || {
            let served = served(port, client(protocol)).await;
            assert!(served == old.der() || served == new.der());
            (served == new.der()).then_some(())
        })
        .await;
    }
    let answer = Call::new(kept).unary(method::EXPORT, Bytes::new()).await;
    assert!(answer.is_ok(), "{answer:?}");
    ask(&mut kept_admin).await;
    load.calls(1).await;
    load.stop().await;
}

#[tokio::test]
async fn a_broken_certificate_is_logged_and_the_last_good_one_stays() {
    let home = Home::new();
    let authority = Authority::new();
    let (old, new) = (authority.sign(), authority.sign());
    old.write(home.path());
    let larder = options(home.path(), None).start();
    let client = || authority.client("h2", None);
    let load = load(larder.grpc(), client());

    for (number, broken) in ["half a certificate", "", &new.cert]
        .into_iter()
        .enumerate()
    {
        // The last one is a valid certificate, but for another key.
        replace(&home.path().join("cert.pem"), broken);
        larder.signal("HUP");
        eventually("the log to tell", async || {
            let lines = larder.lines();
            let told = lines.iter().filter(|line| {
                [
                    "the last good ones stay in use",
                    "grpc.tls.cert",
                    "cert.pem",
                ]
                .iter()
                .all(|words| line.contains(words))
            });
            (told.count() > number).then_some(())
        })
        .await;
        assert_eq!(served(larder.grpc(), client()).await, old.der());
    }
    // Repaired, without a signal: the files are polled.
    new.write(home.path());
    eventually("the new certificate", async || {
        (served(larder.grpc(), client()).await == new.der()).then_some(())
    })
    .await;
    load.calls(1).await;
    load.stop().await;
}

/// Makes calls continuously, each on a new connection. None may fail.
fn load(port: SocketAddr, client: Arc<ClientConfig>) -> Background<()> {
    Background::spawn(|progress| async move {
        while progress.is_running() {
            assert_eq!(export(port, client.clone()).await, Ok(Code::Ok));
            progress.count();
        }
    })
}

/// Without a signal: the files are polled every few seconds.
#[tokio::test]
async fn tokens_follow_their_file_without_a_failed_call() {
    let home = Home::new();
    let (kept, kept_line) = token("kept", None, "read");
    let (gone, gone_line) = token("gone", None, "read");
    let (added, added_line) = token("added", None, "read");
    let tokens = Tokens::new(&home, &[&kept_line, &gone_line]);
    let larder = Options::new(Plugin::Memory).tokens(&tokens).start_in(&home);
    let client = larder.client().await;
    let read = async |token: &str| client.token(token).read_code().await;
    assert_eq!(read(&gone).await, Code::Ok);
    assert_eq!(read(&added).await, Code::Unauthenticated);

    tokens.set(&[]);
    larder.wait_for_line("the last good ones stay in use").await;
    tokens.set(&[&kept_line, &added_line]);
    eventually("the new token", async || {
        assert_eq!(read(&kept).await, Code::Ok);
        (read(&added).await == Code::Ok).then_some(())
    })
    .await;
    assert_eq!(read(&gone).await, Code::Unauthenticated);
    assert_eq!(read(&kept).await, Code::Ok);
}
