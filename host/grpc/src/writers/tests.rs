#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use http::{HeaderMap, HeaderName};
use larder_edge::access::Access;
use larder_edge::tenant::{Resolver, Rules};
use larder_tests::otlp::{ResourceBuilder, request, resource, span};
use prost::Message as _;

use super::*;

/// The example of the standard that defines SHA-256.
const TOKEN: &str = "abc";
const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn writers(default: Option<&str>, caller: Caller) -> Writers {
    writers_of(&[], default, caller)
}

fn writers_of(tenants: &[&str], default: Option<&str>, caller: Caller) -> Writers {
    let resolver = Resolver::on(Rules {
        header: HeaderName::from_static("x-tenant"),
        tenants: tenants.iter().map(|name| name.parse().unwrap()).collect(),
        default: default.map(|name| name.parse().unwrap()),
        attribute: Some("tenant".into()),
    });
    Writers::new(resolver.by_resource(&HeaderMap::new()).unwrap(), caller)
}

fn anybody() -> Caller {
    Access::open().caller(&HeaderMap::new()).unwrap()
}

fn bound_to(tenants: &str) -> Caller {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens.yaml");
    let line = format!("- {{ name: it, sha256: {HASH}, tenants: [{tenants}], rights: [write] }}");
    std::fs::write(&file, line).unwrap();
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {TOKEN}");
    headers.insert("authorization", bearer.parse().unwrap());
    Access::from_file(&file).unwrap().caller(&headers).unwrap()
}

fn of(tenant: &str) -> ResourceBuilder {
    resource()
        .attribute("tenant", tenant)
        .span(span([1; 16], 1))
}

/// Each owner, by name or by reason, with how many resources are its.
fn owners(writers: &Writers, resources: Vec<ResourceBuilder>) -> Vec<(String, usize)> {
    let request = request(resources).encode_to_vec();
    let shares = writers.split(&request).unwrap();
    let told = |owner| match owner {
        Owner::Tenant(tenant) => tenant.to_string(),
        Owner::Nobody(denied) => denied.reason.to_owned(),
    };
    let shares = shares.into_iter();
    shares
        .map(|(owner, share)| (told(owner), share.resource_spans().len()))
        .collect()
}

fn list(owners: &[(&str, usize)]) -> Vec<(String, usize)> {
    owners
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn each_resource_goes_to_the_tenant_that_it_names() {
    let resources = || {
        vec![
            of("a"),
            resource(),
            of("b"),
            of("a"),
            of("no name"),
            resource().attribute("tenant", 7),
            resource().attribute("tenant", "a").attribute("tenant", "a"),
        ]
    };
    let refused = [("tenant_unknown", 2), ("tenant_extra", 1)];
    let strict = [&[("a", 2), ("tenant_missing", 1), ("b", 1)], &refused[..]].concat();
    assert_eq!(
        owners(&writers(None, anybody()), resources()),
        list(&strict)
    );
    let lenient = [&[("a", 2), ("c", 1), ("b", 1)], &refused[..]].concat();
    assert_eq!(
        owners(&writers(Some("c"), anybody()), resources()),
        list(&lenient)
    );
    let joined = [&[("a", 3), ("b", 1)], &refused[..]].concat();
    assert_eq!(
        owners(&writers(Some("a"), anybody()), resources()),
        list(&joined)
    );
}

#[test]
fn a_token_is_asked_about_each_tenant_and_the_default_one_too() {
    let bound = |default| writers(default, bound_to("a, c"));
    let resources = || vec![of("a"), of("b"), resource(), of("d"), of("c")];
    let wanted = [
        ("a", 1),
        ("tenant_denied", 2),
        ("tenant_missing", 1),
        ("c", 1),
    ];
    assert_eq!(owners(&bound(None), resources()), list(&wanted));
    let wanted = [("a", 1), ("tenant_denied", 3), ("c", 1)];
    assert_eq!(owners(&bound(Some("e")), resources()), list(&wanted));
}

#[test]
fn a_request_names_so_many_tenants_and_no_more() {
    let names = (0..MAX_TENANTS + 2).map(|number| format!("t{number}"));
    let mut resources: Vec<ResourceBuilder> = names.map(|name| of(&name)).collect();
    // Those that were named in time are so to the end.
    resources.extend([of("t0"), of("t65")]);
    let shares = owners(&writers(None, anybody()), resources);
    assert_eq!(shares.len(), MAX_TENANTS + 1);
    assert_eq!(shares[0], ("t0".to_owned(), 2));
    assert_eq!(shares[MAX_TENANTS], ("tenant_too_many".to_owned(), 3));

    // Names that are refused take nobody's place.
    let names = (0..200).map(|number| format!("t{number}"));
    let resources = names.map(|name| of(&name)).chain([of("a")]).collect();
    let shares = owners(&writers(None, bound_to("a")), resources);
    assert_eq!(shares, list(&[("tenant_denied", 200), ("a", 1)]));
}

/// Where there is a list: a token for some learns nothing of it, and one for all is told who is not in it.
#[test]
fn who_may_not_write_for_a_name_is_not_told_whether_it_is_listed() {
    let listed = |caller| writers_of(&["a", "b"], None, caller);
    let resources = || vec![of("a"), of("b"), of("x")];
    let some = owners(&listed(bound_to("a")), resources());
    assert_eq!(some, list(&[("a", 1), ("tenant_denied", 2)]));
    let all = owners(&listed(anybody()), resources());
    assert_eq!(all, list(&[("a", 1), ("b", 1), ("tenant_unknown", 1)]));
    let of_x = owners(&listed(bound_to("a, x")), resources());
    let told = [("a", 1), ("tenant_denied", 1), ("tenant_unknown", 1)];
    assert_eq!(of_x, list(&told), "it may ask about that name");
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let told = |writers: &Writers, resource| {
        let request = request([resource]).encode_to_vec();
        match writers.split(&request).unwrap().remove(0).0 {
            Owner::Nobody(denied) => denied.text,
            Owner::Tenant(tenant) => panic!("{tenant} was let in"),
        }
    };
    let open = writers(None, anybody());
    for (resource, says) in [
        (
            resource(),
            ["missing tenant attribute", "\"tenant\"", "tenancy.default"],
        ),
        (of("x y"), ["unknown tenant", "\"tenant\"", "\"x y\""]),
        (
            of("a").attribute("tenant", "a"),
            ["extra tenant attribute", "\"tenant\"", "more than once"],
        ),
        (
            resource().attribute("tenant", true),
            ["unknown tenant", "\"tenant\"", "something else"],
        ),
    ] {
        let text = told(&open, resource);
        assert!(says.iter().all(|says| text.contains(says)), "{text}");
    }
    let long = told(&open, of(&"\u{1}x".repeat(500)));
    assert!(long.len() < 600 && !long.contains('\u{1}'), "{long}");
    let denied = told(&writers(None, bound_to("a")), of("b"));
    assert!(denied.contains("not for tenant \"b\""), "{denied}");
}
