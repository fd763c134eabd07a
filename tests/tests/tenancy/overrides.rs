//! A tenant with its own plugin, settings and limits.

use larder_tests::otlp::{noise, service, span};
use larder_tests::{Home, Larder, Options, Plugin};

use super::{store, tenancy, traces};

/// Returns a tenant's entry of `/tenants`.
fn tenant_status(larder: &Larder, tenant: &str) -> serde_json::Value {
    let tenants = larder.get("/tenants").json();
    let mut tenants = tenants.as_array().unwrap().iter();
    let of = tenants.find(|told| told["name"] == tenant);
    of.unwrap_or_else(|| panic!("no {tenant}")).clone()
}

const OF_ACME: &str = "
tenancy:
  overrides:
    acme: { plugin: { use: memory, settings: { max_traces: 2 } } }
";

#[tokio::test]
async fn one_tenant_has_another_plugin_with_settings_of_its_own() {
    let home = Home::new();
    let larder = tenancy(Plugin::Kv)
        .setting("retention", "24h")
        .config(OF_ACME)
        .start_in(&home);
    assert_eq!(tenant_status(&larder, "acme")["state"], "away");
    assert_eq!(tenant_status(&larder, "acme")["limits"]["plugin"], "memory");
    let client = larder.client().await;
    for number in 1..=3 {
        for tenant in ["acme", "globex"] {
            store(&client, tenant, number).await;
        }
    }
    assert_eq!(traces(&client, "acme").await, [3, 2], "max_traces is 2");
    assert_eq!(traces(&client, "globex").await, [3, 2, 1]);
    assert_eq!(tenant_status(&larder, "acme")["plugin"]["name"], "memory");
    assert_eq!(tenant_status(&larder, "globex")["plugin"]["name"], "kv");
    larder.signal("TERM");
    assert!(larder.wait().0.success());

    let check = || tenancy(Plugin::Kv).arguments(["check"]);
    let checked = check().config(OF_ACME).run_in(&home);
    assert!(checked.status.success(), "{checked:?}");
    for line in ["memory 0.1.0, tenant acme", "kv 0.1.0, tenant globex"] {
        assert!(checked.stdout.contains(line), "{checked:?}");
    }

    let larder = tenancy(Plugin::Kv).config(OF_ACME).start_in(&home);
    let client = larder.client().await;
    assert!(traces(&client, "acme").await.is_empty(), "it was in memory");
    assert_eq!(traces(&client, "globex").await, [3, 2, 1]);
}

#[test]
fn a_refused_setting_of_a_tenants_plugin_fails_the_start_and_names_the_tenant() {
    let refused = |config: &str| {
        let exit = tenancy(Plugin::Kv).config(config).run();
        assert!(!exit.status.success(), "{exit:?}");
        exit.stderr
    };
    let told =
        refused("tenancy: { overrides: { acme: { plugin: { settings: { retantion: 1h } } } } }");
    for part in ["`tenancy.overrides.acme`", "retantion"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let told = refused("tenancy: { overrides: { acme: { plugin: { use: memroy } } } }");
    for part in ["`tenancy.overrides.acme`", "`memroy`"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let told = refused("tenancy: { overrides: { acme: { limits: { memroy: 1GiB } } } }");
    for part in [
        "larder.yaml:1:43",
        "`tenancy.overrides.acme.limits.memory`?",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
}

/// `memory` keeps what fits into 60 % of its instance's memory limit.
#[tokio::test]
async fn a_memory_limit_of_one_tenant_affects_no_other() {
    let larder = tenancy(Plugin::Memory)
        .config("tenancy: { overrides: { small: { limits: { memory: 32MiB } } } }")
        .start();
    let client = larder.client().await;
    let tenants = ["small", "large"];
    for number in 1..=40_u8 {
        for tenant in tenants {
            let spans = (0..20).map(|id| {
                let filler = noise(u64::from(number) * 100 + id, 50_000);
                let span = span([number; 16], id + 1).at(1000 + u64::from(number));
                span.attribute("filler", filler)
            });
            let resource = service(tenant).spans(spans);
            client.tenant(tenant).store([resource]).await;
        }
    }
    let small = traces(&client, "small").await;
    assert_eq!(small.first(), Some(&40), "the newest is there");
    assert!(small.len() < 32, "40 MB do not fit: {small:?}");
    assert_eq!(traces(&client, "large").await.len(), 40);
    for (tenant, limit) in [("small", 32 << 20), ("large", 1 << 30)] {
        let told = tenant_status(&larder, tenant);
        assert_eq!(told["plugin"]["memory_limit"], limit, "{tenant}");
        assert_eq!(told["limits"]["memory"], limit, "{tenant}");
        assert_eq!(told["plugin"]["restarts"], 0, "{tenant}");
    }
}

#[test]
fn overrides_are_printed_as_they_were_given() {
    let printed = Options::bare()
        .without_port_flags()
        .config(OF_ACME)
        .arguments(["config", "print"])
        .run();
    let expected = "  overrides:
    acme:
      plugin:
        settings:
          max_traces: \"2\"
        use: memory";
    assert!(printed.stdout.contains(expected), "{printed:?}");
}
