//! Tokens: the right to reload, and tokens that a reload reads.

use larder_tests::http::{self, Response};
use larder_tests::{Home, Larder, Options, Plugin, Tokens, token};
use tonic::Code;

fn start(home: &Home, options: Options, tokens: &Tokens) -> Larder {
    options
        .patient()
        .arguments(["--plugin".into(), Plugin::Kv.argument()])
        .tokens(tokens)
        .start_in(home)
}

fn post_as(larder: &Larder, path: &str, token: &str) -> Response {
    http::request(larder.admin(), ("POST", path), Some(token), "")
}

#[tokio::test]
async fn a_reload_applies_tokens_and_needs_the_admin_right() {
    let home = Home::new();
    let (admin, admin_line) = token("operator", None, "admin");
    let (reader, reader_line) = token("reader", None, "read");
    let (added, added_line) = token("added", None, "read");
    let tokens = Tokens::new(&home, &[&admin_line, &reader_line]);
    let larder = start(&home, Options::bare(), &tokens);
    assert_eq!(larder.post("/reload").status, 401);
    assert_eq!(post_as(&larder, "/reload", &reader).status, 403);
    assert_eq!(post_as(&larder, "/reload", &added).status, 401);

    let client = larder.client().await;
    let read = async |token: &str| client.token(token).read_code().await;
    assert_eq!(read(&reader).await, Code::Ok);
    tokens.set(&["- { name: broken }"]);
    let refused = post_as(&larder, "/reload", &admin);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("access.tokens"), "{}", refused.body);
    assert_eq!(read(&reader).await, Code::Ok);

    tokens.set(&[&admin_line, &added_line]);
    let answer = post_as(&larder, "/reload", &admin);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["files"][0], "access.tokens");
    // At once, before the next poll of the file.
    assert_eq!(read(&added).await, Code::Ok);
    assert_eq!(read(&reader).await, Code::Unauthenticated);
    larder.wait_for_line("POST /reload, token operator").await;
}

/// A reload affects every tenant.
#[tokio::test]
async fn an_admin_of_one_tenant_may_not_reload() {
    let home = Home::new();
    let (all, all_line) = token("operator", None, "admin");
    let (one, one_line) = token("one", Some("acme"), "admin");
    let options = Options::bare().environment("LARDER_TENANCY_ENABLED", "true");
    let larder = start(&home, options, &Tokens::new(&home, &[&all_line, &one_line]));
    for path in ["/reload", "/reload?tenant=acme"] {
        assert_eq!(post_as(&larder, path, &one).status, 403);
    }
    assert_eq!(post_as(&larder, "/reload", &all).status, 200);
}
