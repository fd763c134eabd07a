//! Tenants that are added to and removed from the list, and their plugins.

use larder_tests::{Home, Plugin};
use tonic::Code;

use super::{configure, has, is_refused, of_file, reload, store, write_build};

fn listing(tenants: &str) -> String {
    format!("tenancy: {{ enabled: true, tenants: [{tenants}] }}\n")
}

#[tokio::test]
async fn a_new_tenant_is_served_and_a_removed_one_is_refused_and_keeps_its_data() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::Hostile, 0)
        .config(&listing("stays, goes"))
        .start_in(&home);
    let client = larder.client().await;
    let [stays, goes, comes] = ["stays", "goes", "comes"].map(|name| client.tenant(name));
    for tenant in [&stays, &goes] {
        store(tenant, 1).await;
    }
    let refused = comes.services().await.unwrap_err();
    assert_eq!(refused.message(), "unknown tenant");

    configure(&home, &listing("stays, comes"));
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "tenancy.tenants", "{report}");
    store(&comes, 2).await;
    assert!(has(&comes, 2).await && has(&stays, 1).await);
    for refused in [
        goes.services().await.unwrap_err(),
        goes.get_traces([[1; 16]]).await.unwrap_err(),
    ] {
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::PermissionDenied, "unknown tenant")
        );
    }
    let tenants = larder.get("/tenants").json();
    let gone = tenants.as_array().unwrap();
    let gone = gone.iter().find(|it| it["name"] == "goes").unwrap();
    assert_eq!(gone["state"], "away", "{tenants}");
    assert!(gone["stored_bytes"].as_u64().unwrap() > 0, "{tenants}");

    configure(&home, &listing("stays, comes, goes"));
    larder.signal("HUP");
    larder_tests::eventually("the tenant to come back", async || {
        goes.services().await.ok()
    })
    .await;
    assert!(has(&goes, 1).await);
}

#[tokio::test]
async fn open_tenants_run_the_new_build_and_idle_ones_open_with_it() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::Hostile, 0)
        .config(&listing("a, b, c"))
        .start_in(&home);
    let client = larder.client().await;
    for name in ["a", "b"] {
        store(&client.tenant(name), 1).await;
    }
    let hashes = || {
        let tenants = larder.get("/tenants").json();
        let hash = |it: &serde_json::Value| it["plugin"]["hash"].as_str().map(str::to_owned);
        tenants
            .as_array()
            .unwrap()
            .iter()
            .filter_map(hash)
            .collect::<Vec<_>>()
    };
    let before = hashes();
    write_build(&home, Plugin::Hostile, 1);
    let report = reload(&larder);
    let replaced = &report["tenants"]["replaced"];
    assert_eq!((&replaced[0], &replaced[1]), (&"a".into(), &"b".into()));
    store(&client.tenant("c"), 1).await;
    let after = hashes();
    assert_eq!(after.len(), 3);
    assert!(
        after
            .iter()
            .all(|hash| *hash == after[0] && !before.contains(hash))
    );
    for name in ["a", "b", "c"] {
        assert!(has(&client.tenant(name), 1).await);
    }
}

#[tokio::test]
async fn a_tenants_own_settings_are_applied_to_it_only() {
    let home = Home::new();
    let with = |own: &str| {
        format!(
            "tenancy: {{ enabled: true, overrides: {{ a: {{ {own} }}, b: {{ limits: {{ log_bytes: 1KiB }} }} }} }}\n"
        )
    };
    let larder = of_file(&home, Plugin::Hostile, 0)
        .config(&with(""))
        .start_in(&home);
    let client = larder.client().await;
    let [a, b] = ["a", "b"].map(|name| client.tenant(name));
    for tenant in [&a, &b] {
        store(tenant, 1).await;
    }
    configure(
        &home,
        &with("limits: { memory: 512MiB, spans_per_second: 1 }"),
    );
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "tenancy.overrides.a", "{report}");
    let replaced = report["tenants"]["replaced"].as_array().unwrap();
    assert_eq!(replaced, &["a"], "{report}");
    let tenants = larder.get("/tenants").json();
    let memory = |at: usize| tenants[at]["plugin"]["memory_limit"].as_u64();
    assert_eq!((memory(0), memory(1)), (Some(512 << 20), Some(1 << 30)));
    assert!(has(&a, 1).await);

    let spans = |from: u64| {
        let spans = (from..from + 1000).map(|id| larder_tests::otlp::span([2; 16], id));
        [larder_tests::otlp::service("a").spans(spans)]
    };
    b.store(spans(1)).await;
    b.store(spans(1001)).await;
    a.store(spans(1)).await;
    let refused = a.export(spans(1001)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("spans_per_second"),
        "{refused:?}"
    );

    configure(&home, &with("plugin: { settings: { nonsense: 1 } }"));
    let refused = is_refused(&larder, "refused to open");
    assert!(
        refused.body.contains("tenancy.overrides.a"),
        "{}",
        refused.body
    );
    configure(&home, &with(""));
    let report = reload(&larder);
    assert_eq!(report["tenants"]["replaced"].as_array().unwrap(), &["a"]);
    a.store(spans(2001)).await;
}
