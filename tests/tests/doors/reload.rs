//! Certificates and tokens that change under load, without a failed call.

use bytes::Bytes;
use larder_tests::{Home, eventually, method};
use tokio::sync::watch;
use tonic::Code;

use crate::authority::{Authority, replace};
use crate::peer::export;
use crate::tls::options;
use crate::tokens::{start, token};

#[tokio::test]
async fn a_new_certificate_is_served_without_a_failed_call() {
    let home = Home::new();
    let (old, new) = (Authority::new(), Authority::new());
    old.sign().write(home.path());
    let larder = options(home.path(), None).start();
    let port = larder.grpc();

    // Whoever trusts both is served all the time, each time on a new connection.
    let (stop, stopped) = watch::channel(false);
    let clients = [old.client("h2", None), new.client("h2", None)];
    let load = tokio::spawn(async move {
        let mut served = [0, 0];
        while !*stopped.borrow() {
            let mut code = export(port, clients[0].clone()).await;
            let mut by = 0;
            if code.is_err() {
                code = export(port, clients[1].clone()).await;
                by = 1;
            }
            assert_eq!(code, Ok(Code::Ok));
            served[by] += 1;
        }
        served
    });

    replace(&home.path().join("cert.pem"), "half a certificate");
    larder.signal("HUP");
    larder.told("the last good ones stay in use").await;
    assert_eq!(export(port, old.client("h2", None)).await, Ok(Code::Ok));

    new.sign().write(home.path());
    larder.signal("HUP");
    eventually("the new certificate", async || {
        export(port, new.client("h2", None)).await.ok()
    })
    .await;
    assert!(export(port, old.client("h2", None)).await.is_err());
    stop.send(true).unwrap();
    assert!(load.await.unwrap()[0] > 0);
}

/// Without a signal: the files are looked at every few seconds.
#[tokio::test]
async fn tokens_come_and_go_with_their_file_without_a_failed_call() {
    let home = Home::new();
    let (kept, kept_line) = token("kept", None, "read");
    let (gone, gone_line) = token("gone", None, "read");
    let (added, added_line) = token("added", None, "read");
    let larder = start(&home, &[&kept_line, &gone_line]);
    let plain = larder.client().await.call();
    let read = async |token: &str| {
        let call = plain
            .clone()
            .header("authorization", &format!("Bearer {token}"));
        let answer = call.unary(method::GET_SERVICES, Bytes::new()).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let file = home.path().join("tokens.yaml");
    assert_eq!(read(&gone).await, Code::Ok);
    assert_eq!(read(&added).await, Code::Unauthenticated);

    replace(&file, "");
    larder.told("the last good ones stay in use").await;
    replace(&file, &format!("{kept_line}\n{added_line}\n"));
    eventually("the new token", async || {
        assert_eq!(read(&kept).await, Code::Ok);
        (read(&added).await == Code::Ok).then_some(())
    })
    .await;
    assert_eq!(read(&gone).await, Code::Unauthenticated);
    assert_eq!(read(&kept).await, Code::Ok);
}
