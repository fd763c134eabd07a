//! The admin port: `/livez`, `/readyz`, `/plugin`, `/purge`, and unknown paths.

use larder_tests::otlp::{service, span};
use larder_tests::{Options, Plugin, eventually, http, with_plugins};

#[test]
fn a_server_is_live_and_ready_once_it_says_where_it_is() {
    let larder = Options::new(Plugin::Memory).start();
    assert_eq!(larder.get("/livez").status, 200);
    assert_eq!(larder.get("/readyz").status, 200);
    assert_eq!(larder.get("/nothing").status, 404);
    assert_eq!(larder.post("/livez").status, 405);
}

#[test]
fn the_plugin_is_described() {
    for (plugin, name, instancing) in [
        (Plugin::Kv, "kv", "replicated"),
        (Plugin::Memory, "memory", "exclusive"),
        (Plugin::Minimal, "minimal", "exclusive"),
    ] {
        let larder = Options::new(plugin).start();
        let told = larder.get("/plugin");
        assert!(
            told.header("content-type")
                .unwrap()
                .contains("application/json")
        );
        let told = told.json();
        assert_eq!(told["name"], name);
        assert_eq!(told["state"], "ready");
        assert_eq!(told["restarts"], 0);
        assert_eq!(told["instancing"], instancing);
        assert_eq!(told["contract"], "0.2.0");
        assert!(!told["version"].as_str().unwrap().is_empty());
        assert!(told["hash"].as_str().unwrap().len() >= 32, "{told}");
        assert!(told["memory_used"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(told["memory_limit"], 1_u64 << 30);
        // No network, no files, no wall clock.
        for import in told["imports"].as_array().unwrap() {
            let import = import.as_str().unwrap();
            let granted = !["sockets", "filesystem/preopens", "wall-clock"]
                .iter()
                .any(|denied| import.contains(denied));
            assert!(granted || name != "memory", "{import}");
        }
    }
}

#[tokio::test]
async fn purge_is_off_unless_it_is_turned_on() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    client
        .store([service("kept").span(span([1; 16], 1).at(5))])
        .await;
    let refused = larder.post("/purge");
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("--enable-purge"), "{refused:?}");
    assert_eq!(client.services().await.unwrap(), ["kept"]);
}

#[tokio::test]
async fn purge_accepts_only_post() {
    let larder = Options::new(Plugin::Memory).purge().start();
    let client = larder.client().await;
    client
        .store([service("gone").span(span([1; 16], 1).at(5))])
        .await;
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            http::request(larder.admin(), (method, "/purge"), None, "").status,
            405,
            "{method}"
        );
    }
    assert_eq!(client.services().await.unwrap(), ["gone"]);
    let purged = larder.post("/purge");
    assert_eq!(purged.status, 200);
    assert_eq!(
        purged.body.trim_end(),
        "Purge request processed successfully"
    );
    assert!(client.services().await.unwrap().is_empty());
}

/// Shows the plan of a search as a tree, with the time of each step, on real data.
#[tokio::test]
async fn a_search_is_explained() {
    for plugin in [Plugin::Kv, Plugin::Memory] {
        let larder = Options::new(plugin).start();
        let client = larder.client().await;
        for number in 1..=9_u8 {
            let one = span([number; 16], 1).at(number.into()).name("o");
            let one = one.attribute("k", i64::from(number % 3));
            client.store([service("a").span(one)]).await;
        }
        let query = r#"{"search_depth": 2, "filter": {"op": "and", "args": [
            {"call": {"op": "eq", "args": [{"field": {"level": "resource", "name": "service"}}, {"scalar": {"value": "a"}}]}},
            {"call": {"op": "not", "args": [{"call": {"op": "eq", "args": [{"attr": {"key": "k"}}, {"scalar": {"value": "0"}}]}}]}}
        ]}}"#;
        let explain =
            |query: &str| http::request(larder.admin(), ("POST", "/explain"), None, query);
        let told = explain(query);
        assert_eq!(told.status, 200, "{}", told.body);
        for part in [
            "├─ resource.service eq \"a\"  [1 term]",
            "└─ not  [judged alone]",
            "   └─ attribute \"k\" of span or resource eq \"0\" of any type  [one of 6 terms]",
            "asked of the plugin: 1 clauses, of terms: 1",
            "spans judged on spans",
            "2 traces match, of at most 2",
        ] {
            assert!(told.body.contains(part), "{part} in\n{}", told.body);
        }
        let refused = explain(r#"{"filter": {"op": "x"}}"#);
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (400, "unknown filter operator \"x\"\n")
        );
        for (body, part) in [
            ("[]", "expected a JSON object"),
            (
                r#"{"spans": true, "page_size": 0}"#,
                "`page_size` is at least 1",
            ),
        ] {
            let refused = explain(body);
            assert_eq!(refused.status, 400, "{body}: {}", refused.body);
            assert!(refused.body.contains(part), "{}", refused.body);
        }
    }
}

/// A request for dependencies tells what was kept, what was judged, and what that took.
async fn dependencies_are_explained(plugin: Plugin) {
    let larder = Options::new(plugin)
        .environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "50ms")
        .start();
    let client = larder.client().await;
    let explain = |query: &str| http::request(larder.admin(), ("POST", "/explain"), None, query);
    // Three calls, two of them in one stretch of time.
    let minute = 60_000_000_000;
    for (number, at) in [(1, 300 * minute), (2, 301 * minute), (3, 500 * minute)] {
        let spans = |id, parent| span([number; 16], id).parent(parent).at(at).lasting(10);
        client
            .store([
                service("a").span(spans(1, 9)),
                service("b").span(spans(2, 1)),
            ])
            .await;
    }
    let all = r#"{"dependencies": true, "start_time": "1970-01-01T00:00:00Z"}"#;
    let told = eventually("calls that are kept", async || {
        let told = explain(all);
        assert_eq!(told.status, 200, "{}", told.body);
        let answer = "\n3 calls between 1 pairs of services\n";
        assert!(told.body.contains(answer), "{}", told.body);
        let settled = "buckets: 2 settled, 0 open, 0 suspect, 0 unknown; 0 late traces\n";
        told.body.contains(settled).then_some(told.body)
    })
    .await;
    for part in [
        "calls from what is kept, and from the traces that had to be judged\n",
        "2 buckets added up whole, 0 in part, with 0 pages of 0 rows scanned\n",
        "0 pages, 0 sightings, 0 fragments of 0 bytes read, 0 traces of 0 spans judged\n",
        "kept ",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }

    // From the second call on: 301 minutes.
    let cut = explain(r#"{"dependencies": true, "startTime": "1970-01-01T05:01:00Z"}"#);
    for part in [
        "1 buckets added up whole, 1 in part, with 0 pages of 0 rows scanned\n",
        ", 0 traces of 0 spans judged\n",
        "\n2 calls between 1 pairs of services\n",
    ] {
        assert!(cut.body.contains(part), "{part} in\n{}", cut.body);
    }

    for (body, part) in [
        (r#"{"dependencies": true}"#, "start time is required\n"),
        (
            r#"{"dependencies": true, "service_name": "a"}"#,
            "a request for dependencies has no `service_name`",
        ),
        (
            r#"{"end_time": "1970-01-01T05:01:00Z"}"#,
            "`dependencies` asks for dependencies",
        ),
    ] {
        let refused = explain(body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        assert!(refused.body.contains(part), "{}", refused.body);
    }
}

with_plugins!(dependencies_are_explained: kv = Kv, memory = Memory, minimal = Minimal);

/// Where nothing is kept the explanation says so, and tells what was judged.
#[tokio::test]
async fn dependencies_of_which_nothing_is_kept_are_explained() {
    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_DEPENDENCIES_KEPT", "false")
        .start();
    let client = larder.client().await;
    let spans = |id, parent| span([1; 16], id).parent(parent).at(5).lasting(10);
    client
        .store([
            service("a").span(spans(1, 9)),
            service("b").span(spans(2, 1)),
        ])
        .await;
    let query = r#"{"dependencies": true, "start_time": "1970-01-01T00:00:00Z"}"#;
    let told = http::request(larder.admin(), ("POST", "/explain"), None, query);
    for part in [
        "calls from all traces of the window: none are kept (dependencies.kept)\n",
        ", 1 traces of 2 spans judged\n",
        "1 calls between 1 pairs of services\n",
    ] {
        assert!(told.body.contains(part), "{part} in\n{}", told.body);
    }
    assert!(!told.body.contains("buckets"), "{}", told.body);
    let judged = http::count(
        &larder.metrics(),
        "larder_dependencies_judged_traces_total",
        &[],
    );
    assert_eq!(judged, 1);
}
