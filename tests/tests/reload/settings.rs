//! Settings that are applied while the server runs.

use larder_tests::{Home, Plugin, Query, arm, eventually, timestamp};
use tonic::Code;

use super::{configure, has, need_restart, reload, start, store};

#[tokio::test]
async fn kv_takes_another_retention() {
    let home = Home::new();
    let larder = start(&home, "plugin: { settings: { retention: 168h } }\n");
    let client = larder.client().await;
    configure(&home, "plugin: { settings: { retention: 24s } }\n");
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "plugin.settings.retention", "{report}");
    assert_eq!(report["outcome"], "taken", "{report}");
    store(&client, 1).await;
    assert!(has(&client, 1).await);
    eventually("the end of the retention", async || {
        (!has(&client, 1).await).then_some(())
    })
    .await;
}

/// A plugin that traps on request shows that it got the setting.
#[tokio::test]
async fn a_setting_of_the_plugin_is_added_and_removed() {
    let home = Home::new();
    let plugin = Plugin::Brittle.argument();
    let with = |settings: &str| {
        let plugin = plugin.display();
        format!("plugin: {{ use: {plugin}, settings: {{ {settings} }} }}\n")
    };
    let larder = start(&home, &with(""));
    let client = larder.client().await;
    store(&client, 1).await;

    configure(&home, &with("trap_write: 1"));
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "plugin.settings.trap_write", "{report}");
    let one = larder_tests::otlp::span([2; 16], 1);
    let resource = larder_tests::otlp::service("a").span(one);
    let refused = client.export([resource]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    configure(&home, &with(""));
    let report = reload(&larder);
    assert_eq!(report["taken"][0], "plugin.settings.trap_write", "{report}");
    store(&client, 3).await;
    assert!(has(&client, 1).await);
}

#[tokio::test]
async fn limits_of_queries_and_queues_are_taken() {
    let home = Home::new();
    let larder = start(&home, "limits: { query_judged_spans: 1000 }\n");
    let client = larder.client().await;
    for number in 1..=3 {
        store(&client, number).await;
    }
    let query = Query::default().service("a");
    assert_eq!(client.find(&query).await.len(), 3);
    configure(
        &home,
        "limits: { query_judged_spans: 1, queue_depth: 7, memory: 512MiB }\n",
    );
    let report = reload(&larder);
    let mut taken: Vec<&str> = report["taken"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    taken.sort_unstable();
    assert_eq!(
        taken,
        [
            "limits.memory",
            "limits.query_judged_spans",
            "limits.queue_depth"
        ]
    );
    let status = larder.get("/plugin").json();
    assert_eq!(status["memory_limit"], 512 << 20, "{status}");
    let refused = client.search(&query).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("query_judged_spans"),
        "{refused:?}"
    );
}

/// Each `find` of the plugin takes a second.
#[tokio::test]
async fn the_time_of_dependencies_is_taken() {
    let home = Home::new();
    let with = |limits: &str| {
        let plugin = Plugin::HostileExclusive.argument();
        format!("plugin: {{ use: {} }}\n{limits}", plugin.display())
    };
    let larder = start(&home, &with(""));
    let client = larder.client().await;
    arm(&client, "linger at find").await;
    let start = || Some(timestamp(1));
    assert_eq!(client.dependencies(start(), None).await.unwrap(), []);
    configure(&home, &with("limits: { dependencies_timeout: 300ms }\n"));
    let report = reload(&larder);
    assert_eq!(
        report["taken"][0], "limits.dependencies_timeout",
        "{report}"
    );
    assert_eq!(report["outcome"], "taken", "{report}");
    let refused = client.dependencies(start(), None).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let setting = "limits.dependencies_timeout";
    assert!(refused.message().contains(setting), "{refused:?}");
    // A search has the time that it had.
    let query = Query::default().service("a");
    let found = client.find_traces(&query).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn memory_keeps_what_it_holds_and_says_that_it_needs_a_restart() {
    let home = Home::new();
    let larder = start(&home, "plugin: { use: memory }\n");
    let client = larder.client().await;
    store(&client, 1).await;
    for (yaml, paths) in [
        (
            "plugin: { use: memory, settings: { max_traces: 1 } }\n",
            vec!["plugin.settings.max_traces"],
        ),
        ("plugin: { use: kv }\n", vec!["plugin.use"]),
        (
            "plugin: { use: memory }\nlimits: { memory: 512MiB }\n",
            vec!["limits.memory"],
        ),
    ] {
        configure(&home, yaml);
        let report = reload(&larder);
        assert_eq!(need_restart(&report), paths, "{report}");
        let reason = report["needs_restart"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("loses all that it holds"), "{reason}");
        assert!(has(&client, 1).await);
    }
    assert_eq!(larder.get("/plugin").json()["name"], "memory");
    configure(
        &home,
        "plugin: { use: memory, settings: { max_traces: none } }\n",
    );
    super::is_refused(&larder, "max_traces");
    store(&client, 2).await;
    assert!(has(&client, 1).await);
}
