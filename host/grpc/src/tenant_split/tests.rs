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

/// The example of the SHA-256 standard.
const TOKEN: &str = "abc";
const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn splitter(default: Option<&str>, caller: Caller) -> TenantSplitter {
    splitter_of(&[], default, caller)
}

fn splitter_of(tenants: &[&str], default: Option<&str>, caller: Caller) -> TenantSplitter {
    let resolver = Resolver::on(Rules {
        header: HeaderName::from_static("x-tenant"),
        tenants: tenants.iter().map(|name| name.parse().unwrap()).collect(),
        default: default.map(|name| name.parse().unwrap()),
        attribute: Some("tenant".into()),
    });
    TenantSplitter::new(
        resolver.attribute_resolver(&HeaderMap::new()).unwrap(),
        caller,
    )
}

fn anonymous() -> Caller {
    Access::anonymous().caller(&HeaderMap::new()).unwrap()
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

/// Each destination by name or reason, with its number of resources.
fn destinations(
    splitter: &TenantSplitter,
    resources: Vec<ResourceBuilder>,
) -> Vec<(String, usize)> {
    let request = request(resources).encode_to_vec();
    let shares = splitter.split(&request).unwrap();
    let name = |destination| match destination {
        Destination::Tenant(tenant) => tenant.to_string(),
        Destination::Refused(denied) => denied.reason.to_owned(),
    };
    let shares = shares.into_iter();
    shares
        .map(|(destination, share)| (name(destination), share.resource_spans().len()))
        .collect()
}

fn list(destinations: &[(&str, usize)]) -> Vec<(String, usize)> {
    destinations
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
        destinations(&splitter(None, anonymous()), resources()),
        list(&strict)
    );
    let lenient = [&[("a", 2), ("c", 1), ("b", 1)], &refused[..]].concat();
    assert_eq!(
        destinations(&splitter(Some("c"), anonymous()), resources()),
        list(&lenient)
    );
    let joined = [&[("a", 3), ("b", 1)], &refused[..]].concat();
    assert_eq!(
        destinations(&splitter(Some("a"), anonymous()), resources()),
        list(&joined)
    );
}

#[test]
fn the_right_to_each_tenant_is_checked_including_the_default() {
    let bound = |default| splitter(default, bound_to("a, c"));
    let resources = || vec![of("a"), of("b"), resource(), of("d"), of("c")];
    let wanted = [
        ("a", 1),
        ("tenant_denied", 2),
        ("tenant_missing", 1),
        ("c", 1),
    ];
    assert_eq!(destinations(&bound(None), resources()), list(&wanted));
    let wanted = [("a", 1), ("tenant_denied", 3), ("c", 1)];
    assert_eq!(destinations(&bound(Some("e")), resources()), list(&wanted));
}

#[test]
fn tenants_over_the_maximum_of_a_request_are_refused() {
    let names = (0..MAX_TENANTS + 2).map(|number| format!("t{number}"));
    let mut resources: Vec<ResourceBuilder> = names.map(|name| of(&name)).collect();
    // Tenants within the maximum stay accepted.
    resources.extend([of("t0"), of("t65")]);
    let shares = destinations(&splitter(None, anonymous()), resources);
    assert_eq!(shares.len(), MAX_TENANTS + 1);
    assert_eq!(shares[0], ("t0".to_owned(), 2));
    assert_eq!(shares[MAX_TENANTS], ("tenant_too_many".to_owned(), 3));

    // Refused names do not count.
    let names = (0..200).map(|number| format!("t{number}"));
    let resources = names.map(|name| of(&name)).chain([of("a")]).collect();
    let shares = destinations(&splitter(None, bound_to("a")), resources);
    assert_eq!(shares, list(&[("tenant_denied", 200), ("a", 1)]));
}

/// With a list of tenants: a token for some tenants learns nothing of it, and one for all learns which names are unknown.
#[test]
fn a_caller_without_the_right_does_not_learn_which_tenants_are_listed() {
    let listed = |caller| splitter_of(&["a", "b"], None, caller);
    let resources = || vec![of("a"), of("b"), of("x")];
    let some = destinations(&listed(bound_to("a")), resources());
    assert_eq!(some, list(&[("a", 1), ("tenant_denied", 2)]));
    let all = destinations(&listed(anonymous()), resources());
    assert_eq!(all, list(&[("a", 1), ("b", 1), ("tenant_unknown", 1)]));
    let of_x = destinations(&listed(bound_to("a, x")), resources());
    let wanted = [("a", 1), ("tenant_denied", 1), ("tenant_unknown", 1)];
    assert_eq!(of_x, list(&wanted), "it has the right to that name");
}

#[test]
fn a_refusal_names_the_problem_and_the_remedy() {
    let refusal = |splitter: &TenantSplitter, resource| {
        let request = request([resource]).encode_to_vec();
        match splitter.split(&request).unwrap().remove(0).0 {
            Destination::Refused(denied) => denied.text,
            Destination::Tenant(tenant) => panic!("{tenant} was let in"),
        }
    };
    let open = splitter(None, anonymous());
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
        let text = refusal(&open, resource);
        assert!(says.iter().all(|says| text.contains(says)), "{text}");
    }
    let long = refusal(&open, of(&"\u{1}x".repeat(500)));
    assert!(long.len() < 600 && !long.contains('\u{1}'), "{long}");
    let denied = refusal(&splitter(None, bound_to("a")), of("b"));
    assert!(denied.contains("not for tenant \"b\""), "{denied}");
}
