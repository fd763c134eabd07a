//! TLS and mutual TLS, on each port.

use std::path::Path;

use larder_tests::{Client, Home, Larder, Options, Plugin, http, replace};
use tonic::Code;

use crate::authority::Authority;
use crate::peer::{export, get};

/// Configures TLS on all ports with the files of this folder.
pub(crate) fn options(folder: &Path, client_ca: Option<&Authority>) -> Options {
    let mut options = Options::new(Plugin::Memory).writer_port();
    for port in ["GRPC", "ADMIN"] {
        let variable = |name| format!("LARDER_{port}_TLS_{name}");
        let file = |name: &str| folder.join(name).display().to_string();
        options = options
            .environment(&variable("CERT"), &file("cert.pem"))
            .environment(&variable("KEY"), &file("key.pem"));
        if let Some(ca) = client_ca {
            replace(&folder.join("clients.pem"), ca.pem());
            options = options.environment(&variable("CLIENT_CA"), &file("clients.pem"));
        }
    }
    options
}

fn start(authority: &Authority, client_ca: Option<&Authority>) -> (Larder, Home) {
    let home = Home::new();
    authority.sign().write(home.path());
    (options(home.path(), client_ca).start(), home)
}

#[tokio::test]
async fn every_port_speaks_tls_and_nothing_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (larder, _home) = start(&authority, None);
    for port in [larder.grpc(), larder.writer()] {
        assert_eq!(
            export(port, authority.client("h2", None)).await,
            Ok(Code::Ok)
        );
        assert!(export(port, other.client("h2", None)).await.is_err());
        assert!(export(port, authority.client("smtp", None)).await.is_err());
        let plain = Client::connect(port).await;
        assert!(plain.export([]).await.is_err());
    }
    let admin = larder.admin();
    let told = get(admin, authority.client("http/1.1", None), "/readyz").await;
    assert_eq!(told.unwrap(), "HTTP/1.1 200 OK");
    assert!(
        get(admin, other.client("http/1.1", None), "/readyz")
            .await
            .is_err()
    );
    assert!(http::try_request(admin, ("GET", "/readyz"), None, "").is_err());
}

#[tokio::test]
async fn mutual_tls_admits_certificates_of_its_ca() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    let (larder, _home) = start(&authority, Some(&clients));
    let (known, unknown) = (clients.sign(), other.sign());
    for port in [larder.grpc(), larder.writer()] {
        let code = export(port, authority.client("h2", Some(&known))).await;
        assert_eq!(code, Ok(Code::Ok));
        for refused in [None, Some(&unknown)] {
            let code = export(port, authority.client("h2", refused)).await;
            assert_ne!(code, Ok(Code::Ok));
        }
    }
    let admin = |own| get(larder.admin(), authority.client("http/1.1", own), "/livez");
    assert_eq!(admin(Some(&known)).await.unwrap(), "HTTP/1.1 200 OK");
    for refused in [None, Some(&unknown)] {
        assert!(admin(refused).await.is_err());
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_setting() {
    let authority = Authority::new();
    let check = |break_it: &dyn Fn(&Path), says: &[&str]| {
        let home = Home::new();
        authority.sign().write(home.path());
        let options = options(home.path(), Some(&authority));
        break_it(home.path());
        let exit = options.run_in(&home);
        assert!(!exit.status.success());
        for says in says {
            assert!(exit.stderr.contains(says), "{says} in {}", exit.stderr);
        }
    };
    check(
        &|folder| std::fs::remove_file(folder.join("cert.pem")).unwrap(),
        &["`grpc.tls.cert`", "cert.pem", "cannot read", "No such file"],
    );
    check(
        &|folder| replace(&folder.join("key.pem"), "no key"),
        &[
            "`grpc.tls.key`",
            "key.pem",
            "has no private key: it has to hold a private key",
        ],
    );
    check(
        &|folder| replace(&folder.join("key.pem"), &authority.sign().key),
        &[
            "`grpc.tls.cert`",
            "cert.pem",
            "cannot be used with",
            "key.pem",
        ],
    );
    check(
        &|folder| replace(&folder.join("clients.pem"), ""),
        &[
            "`grpc.tls.client_ca`",
            "clients.pem",
            "has no certificate: it has to hold certificates",
        ],
    );
}

/// A connected peer that sends nothing does not delay others.
#[tokio::test]
async fn a_stalled_handshake_delays_no_other() {
    let authority = Authority::new();
    let (larder, _home) = start(&authority, None);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(larder.grpc()).await.unwrap());
    }
    let code = export(larder.grpc(), authority.client("h2", None)).await;
    assert_eq!(code, Ok(Code::Ok));
    drop(silent);
}
