#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use http::HeaderValue;
use larder_model::TenantName;

use super::*;

const READER: &str = "larder_reader";
const WRITER: &str = "larder_writer";

fn hash(token: &str) -> String {
    TokenHash::of(token.as_bytes()).to_string()
}

fn from_yaml(yaml: &str) -> Result<Access, Error> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens.yaml");
    std::fs::write(&file, yaml).unwrap();
    Access::from_file(&file)
}

fn access() -> Access {
    from_yaml(&format!(
        "- {{ name: grafana, sha256: {}, tenants: [a, b], rights: [read] }}\n\
         - {{ name: collector, sha256: {}, tenants: '*', rights: [write, admin] }}\n",
        hash(READER),
        hash(WRITER).to_uppercase(),
    ))
    .unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn bearer_headers(token: &str) -> HeaderMap {
    headers(&[("authorization", &format!("Bearer {token}"))])
}

#[track_caller]
fn check_unauthenticated(headers: &HeaderMap, says: &str) {
    let refusal = access().check(headers, Right::Read, "a").unwrap_err();
    assert!(
        matches!(refusal, AuthError::Unauthenticated(_)),
        "{refusal}"
    );
    assert!(refusal.to_string().contains(says), "{refusal}");
}

#[track_caller]
fn check_denied(token: &str, right: Right, tenant: &str, says: &str) {
    let refusal = access()
        .check(&bearer_headers(token), right, tenant)
        .unwrap_err();
    assert!(
        matches!(refusal, AuthError::PermissionDenied(_)),
        "{refusal}"
    );
    let refusal = refusal.to_string();
    assert!(
        refusal.contains(says) && !refusal.contains(token),
        "{refusal}"
    );
}

#[test]
fn the_hash_is_that_of_sha256sum() {
    assert_eq!(
        hash("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        TokenHash::parse(&hash("abc").to_uppercase()),
        Some(TokenHash::of(b"abc"))
    );
    for wrong in ["", "ab", &hash("abc")[1..], &hash("abc").replace('b', "g")] {
        assert_eq!(TokenHash::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_token_may_do_what_its_entry_says() {
    let access = access();
    for tenant in ["a", "b"] {
        assert_eq!(
            access.check(&bearer_headers(READER), Right::Read, tenant),
            Ok(())
        );
    }
    for right in [Right::Write, Right::Admin] {
        assert_eq!(
            access.check(&bearer_headers(WRITER), right, "whatever"),
            Ok(())
        );
    }
    assert_eq!(
        access.caller(&bearer_headers(READER)).unwrap().name(),
        Some("grafana")
    );
}

#[test]
fn a_token_may_do_nothing_else() {
    check_denied(
        READER,
        Right::Write,
        "a",
        "\"grafana\" has no right to write",
    );
    check_denied(READER, Right::Admin, "a", "add `admin` to its `rights`");
    check_denied(
        READER,
        Right::Read,
        "c",
        "\"grafana\" is not for tenant \"c\"",
    );
    check_denied(READER, Right::Read, "", "not for tenant \"\"");
    check_denied(
        WRITER,
        Right::Read,
        "a",
        "\"collector\" has no right to read",
    );
}

#[test]
fn a_token_is_read_from_either_metadata_key() {
    let access = access();
    for sent in [
        headers(&[("authorization", &format!("Bearer {READER}"))]),
        headers(&[("authorization", &format!("bearer  {READER} "))]),
        headers(&[("bearer.token", READER)]),
        headers(&[
            ("authorization", &format!("Bearer {READER}")),
            ("bearer.token", "of jaeger's user"),
        ]),
    ] {
        assert_eq!(access.check(&sent, Right::Read, "a"), Ok(()), "{sent:?}");
    }
}

#[test]
fn a_missing_token_and_an_unknown_one_have_different_texts() {
    check_unauthenticated(&HeaderMap::new(), "a bearer token is needed");
    check_unauthenticated(&bearer_headers("larder_other"), "not known");
    check_unauthenticated(&bearer_headers(&hash(READER)), "not known");
    check_unauthenticated(&headers(&[("bearer.token", "")]), "not known");
    for form in ["Bearer", "Bearer ", "Basic bGFyZGVy", READER] {
        check_unauthenticated(&headers(&[("authorization", form)]), "`Bearer TOKEN`");
    }
    let both = headers(&[("authorization", "Bearer wrong"), ("bearer.token", READER)]);
    check_unauthenticated(&both, "not known");
    let twice = headers(&[("bearer.token", READER), ("bearer.token", READER)]);
    check_unauthenticated(&twice, "send one token");
}

#[test]
fn without_a_file_no_token_is_required() {
    let access = Access::anonymous();
    assert_eq!(access.check(&HeaderMap::new(), Right::Admin, "a"), Ok(()));
    assert_eq!(
        access.check(&bearer_headers("what"), Right::Admin, "a"),
        Ok(())
    );
}

#[test]
fn an_empty_list_refuses_every_token() {
    let access = from_yaml("[]").unwrap();
    assert!(access.requires_token());
    assert!(
        access
            .check(&bearer_headers(READER), Right::Read, "a")
            .is_err()
    );
}

#[test]
fn a_new_token_is_accepted_with_its_printed_line() {
    let token = generate().unwrap();
    assert_ne!(token, generate().unwrap());
    let tenants: [TenantName; 1] = ["acme-eu.1".parse().unwrap()];
    let line = NewEntry {
        name: "it's \"a\": b",
        token: &token,
        tenants: &tenants,
        rights: &[Right::Read, Right::Admin],
    };
    let line = line.to_string();
    assert!(!line.contains(&token), "{line}");
    let access = from_yaml(&line).unwrap();
    let caller = access.caller(&bearer_headers(&token)).unwrap();
    assert_eq!(caller.name(), Some("it's \"a\": b"));
    assert_eq!(caller.check(Right::Admin, "acme-eu.1"), Ok(()));
    assert!(caller.check(Right::Write, "acme-eu.1").is_err());
    assert!(caller.check(Right::Read, "other").is_err());
}

#[test]
fn an_invalid_file_is_refused_with_the_place_and_without_its_content() {
    let hash = hash("x");
    for (yaml, says) in [
        ("name: a".to_owned(), "not a list of entries at line 1"),
        (String::new(), "the file is empty"),
        ("# no entries\n".to_owned(), "the file is empty"),
        (
            "- larder_secret".to_owned(),
            "not a list of entries at line 1",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: '*', rights: [larder_secret] }}"),
            "not a list of entries at line 1",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: '*', right: [read] }}"),
            "not a list of entries at line 1",
        ),
        (
            "- { name: a, sha256: larder_secret, tenants: '*', rights: [read] }".to_owned(),
            "entry 1: `sha256` of \"a\" has to be the 64 hex digits",
        ),
        (
            format!("- {{ name: '', sha256: {hash}, tenants: '*', rights: [read] }}"),
            "entry 1: `name` has to be",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: b, rights: [read] }}"),
            "entry 1: `tenants` of \"a\"",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: [], rights: [read] }}"),
            "entry 1: `tenants` of \"a\"",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: ['*'], rights: [read] }}"),
            "entry 1: `tenants` of \"a\"",
        ),
        (
            format!("- {{ name: a, sha256: {hash}, tenants: '*', rights: [] }}"),
            "entry 1: `rights` of \"a\"",
        ),
        (
            format!("- &a {{ name: a, sha256: {hash}, tenants: '*', rights: [read] }}\n- *a"),
            "entry 2: the name \"a\" stands twice",
        ),
        (
            format!(
                "- {{ name: a, sha256: {hash}, tenants: '*', rights: [read] }}\n- {{ name: b, sha256: {hash}, tenants: '*', rights: [read] }}"
            ),
            "entry 2: \"a\" and \"b\" have the same sha256",
        ),
    ] {
        let error = from_yaml(&yaml).unwrap_err().to_string();
        assert!(error.contains(says), "{yaml}: {error}");
        assert!(error.contains("access.tokens"), "{error}");
        assert!(!error.contains("larder_secret"), "{error}");
    }
}
