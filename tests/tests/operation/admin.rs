//! The admin port: `/livez`, `/readyz`, `/plugin`, `/purge`, and what there is not.

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
        assert!(!told["version"].as_str().unwrap().is_empty());
        assert!(told["hash"].as_str().unwrap().len() >= 32, "{told}");
        assert!(told["memory_used"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(told["memory_limit"], 1_u64 << 30);
        // Neither network nor files nor the wall clock.
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
async fn purge_answers_post_alone() {
    let larder = Options::new(Plugin::Memory).purge().start();
    let client = larder.client().await;
    client
        .store([service("gone").span(span([1; 16], 1).at(5))])
        .await;
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            http::request(larder.admin(), method, "/purge").status,
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
