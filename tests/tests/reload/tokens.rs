//! Tokens: who may reload, and what a reload reads.

use bytes::Bytes;
use larder_tests::{Home, Larder, Options, Plugin, http, method};
use tonic::Code;

use super::{patient, put};

/// A new token and the line for the file, as the binary prints them.
fn token(name: &str, tenant: Option<&str>, right: &str) -> (String, String) {
    let mut options = Options::bare().without_port_flags();
    options = options.arguments(["token", "--name", name, "--right", right]);
    if let Some(tenant) = tenant {
        options = options.arguments(["--tenant", tenant]);
    }
    let exit = options.run();
    assert!(exit.status.success(), "{}", exit.stderr);
    let (token, line) = exit.stdout.trim_end().split_once('\n').unwrap();
    (token.to_owned(), line.to_owned())
}

fn start(home: &Home, options: Options, lines: &[&str]) -> Larder {
    let file = home.path().join("tokens.yaml");
    put(&file, lines.join("\n").as_bytes());
    patient(options)
        .arguments(["--plugin".into(), Plugin::Kv.argument()])
        .environment("LARDER_ACCESS_TOKENS", &file.display().to_string())
        .start_in(home)
}

#[tokio::test]
async fn tokens_come_and_go_by_a_reload_which_needs_the_right_admin() {
    let home = Home::new();
    let (admin, admin_line) = token("operator", None, "admin");
    let (reader, reader_line) = token("reader", None, "read");
    let (added, added_line) = token("added", None, "read");
    let larder = start(&home, Options::bare(), &[&admin_line, &reader_line]);
    assert_eq!(larder.post("/reload").status, 401);
    assert_eq!(
        http::post_as(larder.admin(), "/reload", &reader).status,
        403
    );
    assert_eq!(http::post_as(larder.admin(), "/reload", &added).status, 401);

    let plain = larder.client().await.call();
    let read = async |token: &str| {
        let call = plain
            .clone()
            .header("authorization", &format!("Bearer {token}"));
        let answer = call.unary(method::GET_SERVICES, Bytes::new()).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    assert_eq!(read(&reader).await, Code::Ok);
    let file = home.path().join("tokens.yaml");
    put(&file, b"- { name: broken }\n");
    let refused = http::post_as(larder.admin(), "/reload", &admin);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("access.tokens"), "{}", refused.body);
    assert_eq!(read(&reader).await, Code::Ok);

    put(&file, format!("{admin_line}\n{added_line}\n").as_bytes());
    let answer = http::post_as(larder.admin(), "/reload", &admin);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["files"][0], "access.tokens");
    // At once, and not at the next look at the file.
    assert_eq!(read(&added).await, Code::Ok);
    assert_eq!(read(&reader).await, Code::Unauthenticated);
    larder.told("POST /reload, token operator").await;
}

/// What it changes concerns every tenant.
#[tokio::test]
async fn an_admin_of_one_tenant_may_not_reload() {
    let home = Home::new();
    let (all, all_line) = token("operator", None, "admin");
    let (one, one_line) = token("one", Some("acme"), "admin");
    let options = Options::bare().environment("LARDER_TENANCY_ENABLED", "true");
    let larder = start(&home, options, &[&all_line, &one_line]);
    for path in ["/reload", "/reload?tenant=acme"] {
        assert_eq!(http::post_as(larder.admin(), path, &one).status, 403);
    }
    assert_eq!(http::post_as(larder.admin(), "/reload", &all).status, 200);
}
