//! `GET /cluster`, and readiness on a store that other machines keep.

use larder_store::{self as kv, HostStatus, WriterStatus};

use super::*;

/// A store of one process.
pub(super) fn local() -> StoreStatus {
    StoreStatus {
        driver: "embedded",
        is_shared: false,
        reach: Reach::default(),
        hosts: Ok(Vec::new()),
        writers: Ok(Vec::new()),
    }
}

fn shared(hosts: Result<Vec<HostStatus>, kv::Error>) -> StoreStatus {
    StoreStatus {
        driver: "cassandra",
        is_shared: true,
        hosts,
        ..local()
    }
}

fn host(writer: &str, silent: Duration, is_this: bool) -> HostStatus {
    HostStatus {
        writer: writer.to_owned(),
        address: format!("{writer}.example, process 7"),
        version: "0.1.0".to_owned(),
        silent,
        is_this,
    }
}

fn admin(store: StoreStatus) -> TestAdmin {
    let admin = TestAdmin::new(None);
    *admin.plugin.store.lock().unwrap() = store;
    admin
}

async fn told(admin: &TestAdmin, status: u16) -> serde_json::Value {
    let answer = admin.get("/cluster").await;
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.kind, "application/json");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn the_hosts_that_share_the_store_are_listed() {
    let hosts = vec![
        host("larder-0", Duration::from_millis(1500), true),
        host("larder-1", Duration::from_secs(75), false),
    ];
    let mut store = shared(Ok(hosts));
    store.reach.writes = Some("2 of 3 nodes are down".to_owned());
    store.writers = Ok(vec![WriterStatus {
        writer: "larder-9".to_owned(),
        tenants: 2,
        bytes: 812,
        kept_up_by: ["larder-1.example, process 7".to_owned()].into(),
    }]);
    let cluster = told(&admin(store), 200).await;
    let expected = serde_json::json!({
        "driver": "cassandra",
        "shared": true,
        "reach": { "writes": "2 of 3 nodes are down", "reads": null },
        "hosts": [
            {
                "writer": "larder-0", "address": "larder-0.example, process 7",
                "version": "0.1.0", "silent_seconds": 1.5, "is_this": true,
            },
            {
                "writer": "larder-1", "address": "larder-1.example, process 7",
                "version": "0.1.0", "silent_seconds": 75.0, "is_this": false,
            },
        ],
        "writers": [
            {
                "writer": "larder-9", "tenants": 2, "bytes": 812,
                "kept_up_by": ["larder-1.example, process 7"],
            },
        ],
    });
    assert_eq!(cluster, expected);
}

#[tokio::test]
async fn a_store_of_one_process_has_no_hosts_and_says_why() {
    let cluster = told(&admin(local()), 200).await;
    assert_eq!(cluster["shared"], false);
    assert_eq!(cluster["hosts"], serde_json::json!([]));
    let note = cluster["note"].as_str().unwrap();
    assert!(note.contains("`embedded`"), "{note}");
}

#[tokio::test]
async fn hosts_that_are_not_known_are_an_error_beside_what_is() {
    let error = kv::Error::Unavailable("no node answers".to_owned());
    let cluster = told(&admin(shared(Err(error))), 503).await;
    assert_eq!(cluster["driver"], "cassandra");
    assert_eq!(cluster["hosts"], serde_json::json!([]));
    assert_eq!(cluster["error"], "kv is unavailable: no node answers");

    let mut store = shared(Ok(vec![host("larder-0", Duration::ZERO, true)]));
    store.writers = Err(kv::Error::Unavailable("no node answers".to_owned()));
    let cluster = told(&admin(store), 503).await;
    assert_eq!(cluster["hosts"][0]["writer"], "larder-0");
    assert_eq!(cluster["writers"], serde_json::json!([]));
    assert_eq!(cluster["error"], "kv is unavailable: no node answers");
}

#[tokio::test]
async fn readiness_tells_which_calls_do_not_reach_the_store() {
    let admin = admin(shared(Ok(Vec::new())));
    assert_eq!(admin.get("/readyz").await.status, 200);
    for (writes, reads, expected) in [
        (true, false, "writes do not reach the store: no quorum\n"),
        (false, true, "reads do not reach the store: no quorum\n"),
        (
            true,
            true,
            "writes do not reach the store: no quorum\nreads do not reach the store: no quorum\n",
        ),
    ] {
        let why = |is_unreached: bool| is_unreached.then(|| "no quorum".to_owned());
        admin.plugin.store.lock().unwrap().reach = Reach {
            writes: why(writes),
            reads: why(reads),
        };
        let answer = admin.get("/readyz").await;
        assert_eq!((answer.status, answer.body.as_str()), (503, expected));
    }
    *admin.plugin.state.lock().unwrap() = plugin::State::Stopped;
    let answer = admin.get("/readyz").await;
    assert_eq!(answer.body, "the plugin is stopped\n");
}

#[tokio::test]
async fn while_the_server_starts_the_hosts_are_not_told() {
    let mut admin = TestAdmin::new(None);
    admin.state.opening = Opening::new(Live::new("opening the store".to_owned()));
    let answer = admin.get("/cluster").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("opening the store"), "{}", answer.body);
}
