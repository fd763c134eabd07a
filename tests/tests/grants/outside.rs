//! Variables, the clock, what tenants are granted, and data that is kept outside.

use larder_tests::{Home, Options, Plugin, http};

use super::peer::Peer;
use super::{attempt, granted};

#[tokio::test]
async fn variables_and_the_clock_are_handed_over_by_name() {
    let home = Home::new();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    let from_file = format!("env=FROM_FILE=file:{}", secret.display());
    let larder = granted(["env=REACHED", &from_file, "clock"])
        .environment("REACHED", "a value")
        .environment("OTHER", "a secret")
        .start();
    let client = larder.client().await;
    assert_eq!(attempt(&client, "env REACHED").await, "a value");
    assert_eq!(attempt(&client, "env FROM_FILE").await, "from a file");
    for other in ["OTHER", "PATH", "HOME", "LARDER_LIMITS_CALL_TIMEOUT"] {
        assert_eq!(attempt(&client, &format!("env {other}")).await, "unset");
    }
    assert_eq!(attempt(&client, "clock").await, "goes");
    let grants = &larder.get("/plugin").json()["grants"];
    let env = grants
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["kind"] == "env");
    let granted = &env.unwrap()["granted"];
    assert_eq!(granted[0], "REACHED", "named, without its value");
    assert!(!larder.get("/plugin").body.contains("a value"));
}

#[test]
fn a_variable_that_is_missing_refuses_the_start_by_its_name() {
    let exit = granted(["env=NO_SUCH_VARIABLE"]).run();
    let error = exit.error();
    assert!(
        error.contains("plugin.grants.env") && error.contains("NO_SUCH_VARIABLE"),
        "{error}"
    );
}

#[tokio::test]
async fn each_tenant_has_its_own_grants() {
    let (one, two) = (Peer::echoing(), Peer::echoing());
    let plugin = Plugin::Reaching.argument();
    let config = format!(
        "
plugin: {{ use: {plugin:?}, grants: {{ tcp: ['{}'] }} }}
tenancy:
  enabled: true
  overrides:
    two: {{ plugin: {{ grants: {{ tcp: ['{}'] }} }} }}
    none: {{ plugin: {{ grants: {{ tcp: null }} }} }}
",
        one.address, two.address
    );
    let larder = Options::bare().patient().config(&config).start();
    let client = larder.client().await;
    for (tenant, reaches) in [
        ("one", [true, false]),
        ("two", [false, true]),
        ("none", [false; 2]),
    ] {
        let client = client.tenant(tenant);
        for (peer, may) in [&one, &two].into_iter().zip(reaches) {
            let outcome = attempt(&client, &format!("tcp {} {tenant}", peer.address)).await;
            assert_eq!(
                outcome == format!("heard {tenant}"),
                may,
                "{tenant}: {outcome}"
            );
        }
    }
    assert_eq!(
        (one.lines(), two.lines()),
        (vec!["one".to_owned()], vec!["two".to_owned()])
    );
}

/// What the plugin keeps elsewhere is deleted by the plugin, told by the tenant's name, also where it is not open.
#[tokio::test]
async fn a_purge_reaches_what_is_outside() {
    let peer = Peer::echoing();
    let options = || {
        let (grant, purge) = (
            format!("tcp={}", peer.address),
            format!("tcp {} purge", peer.address),
        );
        granted([&*grant])
            .setting("purge", &purge)
            .environment("LARDER_TENANCY_ENABLED", "true")
            .purge()
    };
    let larder = options().start();
    let client = larder.client().await.tenant("acme");
    attempt(&client, "clock").await;
    assert_eq!(larder.post("/purge?tenant=acme").status, 200);
    assert_eq!(peer.lines(), ["purge acme"]);
    assert_eq!(client.services().await.unwrap(), [""; 0]);
    drop(larder);
    // Where there is one tenant, it stays.
    let larder = options()
        .environment("LARDER_TENANCY_ENABLED", "false")
        .start();
    assert_eq!(larder.post("/purge").status, 200);
    assert_eq!(peer.lines(), ["purge acme", "purge default"]);
    drop(larder);
    // Another host has never seen the tenant, whose data may be there all the same.
    let larder = options().start();
    assert_eq!(larder.post("/purge?tenant=acme").status, 200);
    assert_eq!(peer.lines(), ["purge acme", "purge default", "purge acme"]);
}

#[tokio::test]
async fn a_purge_that_does_not_reach_what_is_outside_is_refused() {
    let peer = Peer::echoing();
    let grant = format!("tcp={}", peer.address);
    let larder = granted([&*grant]).purge().start();
    let client = larder.client().await;
    attempt(&client, "clock").await;
    let answer = larder.post("/purge");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(
        answer.body.contains("told nothing to do for a purge"),
        "{}",
        answer.body
    );
    assert_eq!(client.services().await.unwrap().len(), 1, "nothing is gone");
}

/// What was built before there was a `purge` may keep something outside too.
#[tokio::test]
async fn a_plugin_without_purging_cannot_be_purged_while_it_may_reach_out() {
    let grant = "tcp=127.0.0.1:9";
    for (grants, status) in [(&[][..], 200), (&[grant], 503)] {
        let options = Options::new(Plugin::C0_1);
        let options = grants.iter().fold(options, |it, grant| it.grant(grant));
        let larder = options.purge().start();
        let answer = larder.post("/purge");
        assert_eq!(answer.status, status, "{}", answer.body);
        let is_told = answer.body.contains("does not export `purging`");
        assert_eq!(is_told, status == 503, "{}", answer.body);
    }
}

/// A plugin is tried out before a server starts, and does not touch what is outside then.
#[tokio::test]
async fn a_plugin_is_tried_out_without_its_grants_and_opened_with_them() {
    let peer = Peer::echoing();
    let open = format!("tcp {} open", peer.address);
    let grant = format!("tcp={}", peer.address);
    let checked = granted([&*grant])
        .setting("open", &open)
        .arguments(["config", "check"])
        .without_port_flags()
        .run();
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(peer.lines(), [""; 0]);
    let larder = granted([&*grant]).setting("open", &open).start();
    larder.client().await.services().await.unwrap();
    assert_eq!(peer.lines(), ["open"]);
    assert!(http::get(larder.admin(), "/readyz").status == 200);
}

#[test]
fn inspect_says_what_is_asked_for_and_what_is_granted() {
    let exit = Options::bare()
        .without_port_flags()
        .arguments([
            "plugin".as_ref(),
            "inspect".as_ref(),
            Plugin::Reaching.argument().as_os_str(),
            "--plugin-grant".as_ref(),
            "tcp=db:5432".as_ref(),
        ])
        .run();
    assert!(exit.status.success(), "{exit:?}");
    for line in [
        "grants      http    imported, not granted",
        "            tcp     db:5432",
        "            clock   imported, not granted",
    ] {
        assert!(exit.stdout.contains(line), "{}", exit.stdout);
    }
}
