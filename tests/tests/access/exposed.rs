//! An admin port on a public address without authentication.

use larder_tests::{Exit, Home, Options, Plugin, Tokens, http, token};

use crate::authority::Authority;
use crate::tls::options as tls;

/// Binds the admin port to every interface.
fn exposed(options: Options) -> Options {
    let ports = ["--grpc-endpoint", "127.0.0.1:0", "--admin-endpoint", ":0"];
    options.without_port_flags().arguments(ports)
}

#[track_caller]
fn refused(exit: &Exit, says: &[&str]) {
    assert!(!exit.status.success(), "{exit:?}");
    let all = [
        "`admin.endpoint` is 0.0.0.0:",
        "`access.tokens`",
        "`admin.tls.client_ca`",
        "127.0.0.1",
        "`admin.allow_anonymous: true`",
    ];
    for says in all.iter().chain(says) {
        assert!(exit.stderr.contains(says), "{says} in {}", exit.stderr);
    }
    assert!(!exit.stderr.contains("Serving"), "{}", exit.stderr);
}

#[test]
fn a_start_is_refused() {
    let exit = exposed(Options::new(Plugin::Memory)).run();
    refused(&exit, &["read metrics"]);
    assert!(!exit.stderr.contains("purge"), "{}", exit.stderr);
    let exit = exposed(Options::new(Plugin::Memory).purge()).run();
    refused(&exit, &["destroy all data", "`admin.purge` is on"]);
}

/// TLS keeps others from reading the traffic, but not from calling.
#[test]
fn a_certificate_of_the_servers_own_is_not_enough() {
    let home = Home::new();
    Authority::new().sign().write(home.path());
    let exit = exposed(tls(home.path(), None)).run_in(&home);
    refused(&exit, &[]);
}

#[test]
fn tokens_or_client_certificates_allow_a_public_address() {
    let home = Home::new();
    let (_, line) = token("operator", None, "admin");
    let larder = exposed(Options::new(Plugin::Memory).purge())
        .tokens(&Tokens::new(&home, &[&line]))
        .start_in(&home);
    assert_eq!(larder.get("/livez").status, 200);
    assert_eq!(larder.post("/purge").status, 401);

    let home = Home::new();
    let authority = Authority::new();
    authority.sign().write(home.path());
    let larder = exposed(tls(home.path(), Some(&authority)).purge()).start_in(&home);
    assert!(http::try_request(larder.admin(), ("GET", "/livez"), None, "").is_err());
}

#[test]
fn an_operator_may_allow_anonymous_access_and_is_warned() {
    let larder = exposed(Options::new(Plugin::Memory).purge())
        .environment("LARDER_ADMIN_ALLOW_ANONYMOUS", "true")
        .start();
    let line = larder.line("admin.allow_anonymous: anyone who reaches");
    assert!(line.contains("destroy all data"), "{line}");
    assert_eq!(larder.post("/purge").status, 200);
}
