//! `GetCapabilities` and purge: A1 to A3.

use larder_tests::filter::{LEVELS, OPERATORS};
use larder_tests::otlp::{service, span};
use larder_tests::{Options, Plugin, Query, Scene, timestamp};

/// A1, A2: searches without a service, several predicates on one span, and filters in full. The answer is constant.
async fn capabilities_are_declared_and_constant(scene: Scene) {
    let first = scene.client.capabilities().await.unwrap();
    let search = first.search.clone().expect("search capabilities");
    assert!(search.without_service_name);
    assert!(search.same_span_conjunction);
    assert!(search.paginated && search.span_search && search.span_sorting);
    let filter = search.filter.expect("filter capabilities");
    assert_eq!(sorted(&filter.levels), sorted(&LEVELS));
    assert_eq!(sorted(&filter.operators), sorted(&OPERATORS));
    for _ in 0..3 {
        assert_eq!(scene.client.capabilities().await.unwrap(), first);
    }
}

fn sorted(names: &[impl AsRef<str>]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names
}

larder_tests::every_plugin_and_fixture![capabilities_are_declared_and_constant];

/// A3: traces, services and operations are deleted, and later writes start on an empty store.
async fn purge_forgets_everything(plugin: Plugin) {
    let larder = Options::new(plugin).purge().start();
    let client = larder.client().await;
    let write = async |number: u8, name: &str| {
        let parent = span([number; 16], 1).name(name).at(1000);
        let child = span([number; 16], 2).parent(1).at(1000);
        client
            .store([service(name).span(parent), service("child").span(child)])
            .await;
    };
    write(1, "before").await;
    assert_eq!(client.find(&Query::default()).await, [[1; 16]]);

    let purged = larder.post("/purge");
    assert_eq!(purged.status, 200);
    assert_eq!(
        purged.body.trim_end(),
        "Purge request processed successfully"
    );

    assert_eq!(client.find(&Query::default()).await, [[0; 16]; 0]);
    assert!(client.get_traces([[1; 16]]).await.unwrap().is_empty());
    assert!(client.services().await.unwrap().is_empty());
    assert!(client.operations("before", "").await.unwrap().is_empty());
    assert!(
        client
            .dependencies(Some(timestamp(0)), None)
            .await
            .unwrap()
            .is_empty()
    );

    write(2, "after").await;
    assert_eq!(client.find(&Query::default()).await, [[2; 16]]);
    assert_eq!(client.services().await.unwrap(), ["after", "child"]);
    assert_eq!(larder.post("/purge").status, 200);
    assert!(client.services().await.unwrap().is_empty());
}

larder_tests::with_plugins!(purge_forgets_everything: kv = Kv, memory = Memory, minimal = Minimal, minimal_0_1 = Minimal0_1, c_0_1 = C0_1);
