//! A changed plugin file: instances are replaced without failed calls or lost data.

use larder_tests::{Home, Larder, Plugin, eventually};

use super::load::Load;
use super::{has, hash, need_restart, of_file, reload, reloads, store, write_build};

/// Alternates between `POST /reload` and SIGHUP, and waits until the new build runs.
async fn replace(larder: &Larder, home: &Home, plugin: Plugin, build: u8) {
    let before = hash(larder);
    write_build(home, plugin, build);
    if build.is_multiple_of(2) {
        let report = reload(larder);
        assert_eq!(report["outcome"], "taken", "{report}");
        assert_eq!(report["tenants"]["replaced"][0], "default", "{report}");
        let plugin = &report["plugin"];
        assert!(
            plugin["was"].as_str().unwrap().contains(&before),
            "{report}"
        );
        assert!(
            plugin["is"].as_str().unwrap().contains(&hash(larder)),
            "{report}"
        );
    } else {
        larder.signal("HUP");
    }
    eventually("the new build", async || {
        (hash(larder) != before).then_some(())
    })
    .await;
}

async fn under_load(plugin: Plugin) {
    let home = Home::new();
    let larder = of_file(&home, plugin, 0).start_in(&home);
    let load = Load::start(&larder).await;
    for build in 1..=6 {
        load.wait_for_calls(20).await;
        replace(&larder, &home, plugin, build).await;
    }
    load.wait_for_calls(20).await;
    let written = load.stop().await;
    let client = larder.client().await;
    for writer in &written {
        writer.is_there(&client).await;
    }
    let status = larder.get("/plugin").json();
    assert_eq!(status["restarts"], 0, "{status}");
    assert_eq!(reloads(&larder, "taken"), 6);

    // Everything that any of the builds acknowledged survives the server.
    larder.kill();
    let larder = of_file(&home, plugin, 7).start_in(&home);
    let client = larder.client().await;
    for writer in &written {
        writer.is_there(&client).await;
    }
}

#[tokio::test]
async fn a_changed_file_is_taken_under_load_without_a_failed_call() {
    under_load(Plugin::Hostile).await;
}

/// The kv plugin with small parts, so that it seals, merges and returns pages meanwhile.
#[tokio::test]
async fn a_changed_file_is_taken_under_load_by_the_kv_plugin() {
    under_load(Plugin::Brittle).await;
}

#[tokio::test]
async fn an_unchanged_file_is_not_taken() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::Hostile, 0).start_in(&home);
    let before = hash(&larder);
    // Rewritten with the same bytes.
    write_build(&home, Plugin::Hostile, 0);
    let report = reload(&larder);
    assert_eq!(report["outcome"], "unchanged", "{report}");
    assert_eq!(report["tenants"]["replaced"].as_array().unwrap().len(), 0);
    assert_eq!(report["plugin"]["was"], report["plugin"]["is"]);
    assert_eq!(hash(&larder), before);
    assert_eq!(reloads(&larder, "unchanged"), 1);
    larder.signal("HUP");
    larder
        .wait_for_line("\"by\":\"SIGHUP\",\"outcome\":\"unchanged\"")
        .await;
}

/// A restart would lose its data, so that is left to the operator.
#[tokio::test]
async fn a_plugin_that_holds_its_data_is_not_replaced_and_says_so() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::HostileExclusive, 0).start_in(&home);
    let client = larder.client().await;
    store(&client, 1).await;
    let before = hash(&larder);
    write_build(&home, Plugin::HostileExclusive, 1);
    for _ in 0..2 {
        let report = reload(&larder);
        assert_eq!(report["outcome"], "partial", "{report}");
        assert_eq!(need_restart(&report), ["plugin.use"]);
        let reason = report["needs_restart"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("loses all that it holds"), "{reason}");
        assert!(reason.contains("restart the server"), "{reason}");
    }
    larder
        .wait_for_line("a changed setting needs a restart")
        .await;
    assert_eq!(hash(&larder), before);
    assert!(has(&client, 1).await);
}
