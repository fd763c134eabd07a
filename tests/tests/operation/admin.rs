//! The admin port: `/livez`, `/readyz`, `/plugin`, `/purge`, and unknown paths.

use larder_tests::otlp::{service, span};
use larder_tests::{Options, Plugin, http};

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
