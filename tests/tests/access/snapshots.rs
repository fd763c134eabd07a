//! `larder snapshot` at a server that asks for tokens, or speaks TLS, and at a port that is no admin port.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::path::Path;

use larder_tests::{Exit, Home, Larder, Options, Plugin, Tokens, http, token};

use crate::authority::Authority;

/// Adds the folder of snapshots.
fn options(home: &Home) -> Options {
    let folder = home.path().join("snapshots").display().to_string();
    Options::new(Plugin::Kv).environment("LARDER_KV_SNAPSHOT_DIR", &folder)
}

/// Runs `larder snapshot` with these further arguments.
fn ask(larder: &Larder, options: Options, name: &str, arguments: &[&str]) -> Exit {
    let admin = larder.admin().to_string();
    options
        .without_port_flags()
        .arguments(["snapshot", "--to", name, "--admin-endpoint", &admin])
        .arguments(arguments.iter().copied())
        .run()
}

#[track_caller]
fn refused(exit: &Exit, home: &Home, why: &str) {
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.error().contains(why), "no {why:?} in {exit:?}");
    assert!(!home.path().join("snapshots").exists());
}

#[test]
fn a_snapshot_needs_a_token_with_the_right_admin_for_all_tenants() {
    let home = Home::new();
    let (read, read_line) = token("reader", None, "read,write,metrics");
    let (admin, admin_line) = token("operator", None, "admin");
    let (of_one, of_one_line) = token("operator of one", Some("acme"), "admin");
    let larder = options(&home)
        .tokens(&Tokens::new(
            &home,
            &[&read_line, &admin_line, &of_one_line],
        ))
        .environment("LARDER_TENANCY_ENABLED", "true")
        .start_in(&home);
    let file = home.path().join("token");
    let with = |token: &str| {
        fs::write(&file, token).unwrap();
        let file = file.display().to_string();
        ask(&larder, Options::bare(), "s", &["--token-file", &file])
    };
    refused(&ask(&larder, Options::bare(), "s", &[]), &home, "(401)");
    for (token, why) in [
        ("larder_wrong\n", "(401)"),
        (&*read, "(403)"),
        (&*of_one, "(403)"),
        ("two\nlines", "is not a token"),
        ("", "is not a token"),
    ] {
        refused(&with(token), &home, why);
    }
    for token in [None, Some("larder_wrong"), Some(&*read), Some(&*of_one)] {
        let answer = http::request(larder.admin(), ("POST", "/snapshot?to=s"), token, "");
        assert!([401, 403].contains(&answer.status), "{answer:?}");
    }
    assert!(!home.path().join("snapshots").exists());

    let exit = with(&admin);
    assert!(exit.status.success(), "{exit:?}");
    assert!(home.path().join("snapshots/s/SNAPSHOT").is_file());
    let line = larder.line("a snapshot was made");
    assert!(line.contains("operator"), "{line}");
    assert!(!larder.lines().iter().any(|line| line.contains(&admin)));
}

fn tls(options: Options, cert: &Path, clients: Option<&Path>) -> Options {
    let text = |path: &Path| path.display().to_string();
    let options = options
        .environment("LARDER_ADMIN_TLS_CERT", &text(cert))
        .environment(
            "LARDER_ADMIN_TLS_KEY",
            &text(&cert.with_file_name("key.pem")),
        );
    match clients {
        Some(ca) => options.environment("LARDER_ADMIN_TLS_CLIENT_CA", &text(ca)),
        None => options,
    }
}

/// A folder with a certificate of this CA.
fn signed(authority: &Authority) -> Home {
    let home = Home::new();
    authority.sign().write(home.path());
    home
}

/// The command trusts the certificate that its configuration names, and no other.
#[test]
fn with_tls_the_server_is_known_by_its_certificate() {
    let authority = Authority::new();
    let (home, other) = (signed(&authority), signed(&authority));
    let cert = |home: &Home| home.path().join("cert.pem");
    let larder = tls(options(&home), &cert(&home), None).start_in(&home);
    let plain = ask(&larder, Options::bare(), "s", &[]);
    refused(&plain, &home, "`admin.tls`");
    let pinned = tls(Options::bare(), &cert(&other), None);
    refused(&ask(&larder, pinned, "s", &[]), &home, "cannot be asked");
    let exit = ask(&larder, tls(Options::bare(), &cert(&home), None), "s", &[]);
    assert!(exit.status.success(), "{exit:?}");
    assert!(home.path().join("snapshots/s/SNAPSHOT").is_file());
}

#[test]
fn a_port_that_asks_for_client_certificates_gets_the_one_of_the_command() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let home = signed(&authority);
    let (cert, ca) = (
        home.path().join("cert.pem"),
        home.path().join("clients.pem"),
    );
    fs::write(&ca, clients.pem()).unwrap();
    let larder = tls(options(&home), &cert, Some(&ca)).start_in(&home);
    let with = |client: Option<&Home>| {
        let file = |name| client.map(|home| home.path().join(name).display().to_string());
        let files = file("cert.pem").zip(file("key.pem"));
        let arguments: Vec<&str> = match &files {
            Some((cert, key)) => vec!["--cert", cert, "--key", key],
            None => Vec::new(),
        };
        ask(&larder, tls(Options::bare(), &cert, None), "s", &arguments)
    };
    for client in [None, Some(&signed(&strangers))] {
        refused(&with(client), &home, "the server");
    }
    let exit = with(Some(&signed(&clients)));
    assert!(exit.status.success(), "{exit:?}");
    assert!(home.path().join("snapshots/s/SNAPSHOT").is_file());
}

/// Listens for one request, and answers it with these bytes. Only an answer of HTTP ends there; other servers wait for their client.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        (&stream).write_all(answer).unwrap();
        if answer.starts_with(b"HTTP/1") {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        // Until the command is gone.
        drop(reader.read_to_end(&mut Vec::new()));
    });
    address
}

#[test]
fn a_port_that_is_no_admin_port_is_told_with_what_it_answers() {
    let asked = |address: SocketAddr, met: &str| {
        let address = address.to_string();
        let options = Options::bare().without_port_flags();
        let arguments = ["snapshot", "--to", "s", "--admin-endpoint", &address];
        let exit = options.arguments(arguments).run();
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        let told = exit.error();
        for part in [met, &address, "admin port", "`admin.tls`"] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    };
    for (answer, met) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], "`SSH-2.0-OpenSSH_9.6"),
        (b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0", "HTTP/2"),
        (b"\x15\x03\x03\0\x02\x02\x0a", "TLS"),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
            "has no `POST /snapshot` (404)",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "is no Larder",
        ),
        (b"HTTP/1.1 200 OK\r\nConte", "before it answered"),
    ] {
        asked(answering(answer), met);
    }
    let larder = Options::new(Plugin::Memory).start();
    asked(larder.grpc(), "no snapshot was made by");
}
