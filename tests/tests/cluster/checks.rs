//! `larder check` of a store that hosts share.

use std::fs;

use larder_tests::{Cluster, Exit, Home, Ledger, Options, Rng};

fn check(cluster: &Cluster) -> Exit {
    let home = Home::new();
    let config = home.path().join("larder.yaml");
    fs::write(&config, cluster.config()).unwrap();
    let options = Options::bare().without_port_flags();
    let options = options.arguments(["check", "--config"]).arguments([config]);
    tokio::task::block_in_place(|| options.run())
}

#[track_caller]
fn assert_refused(exit: &Exit, words: &[&str]) {
    assert!(!exit.status.success(), "{exit:?}");
    let error = exit.error();
    for told in words {
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_checked_while_no_host_uses_it_and_stays_as_it_is() {
    let ledger = Ledger::new(Rng::from_env().next());
    let cluster = Cluster::new();
    let keyspace = cluster.keyspace();
    assert_refused(&check(&cluster), &[keyspace, "is missing"]);

    let host = cluster.host("a").start();
    let client = host.client().await;
    for _ in 0..30 {
        ledger.store(&client).await;
    }
    let uses = "hosts use the store, and it has to stay as it is: `a` at ";
    assert_refused(&check(&cluster), &[uses, "Stop them first"]);
    host.signal("TERM");
    let (status, lines) = host.wait();
    assert!(status.success(), "{status}: {lines:?}");

    let told = check(&cluster);
    assert!(told.status.success(), "{told:?}");
    assert!(told.stdout.ends_with("damaged     0"), "{told:?}");
    let read = told.stdout.lines().find(|it| it.starts_with("values "));
    assert!(
        read.is_some_and(|it| it != "values      0 read"),
        "{told:?}"
    );
    assert_eq!(check(&cluster).stdout, told.stdout);

    let host = cluster.host("b").start();
    ledger.verify_all(&host.client().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_reached_is_not_checked() {
    let (cluster, _closed) = Cluster::new().behind_forwarder();
    let node = cluster.nodes()[0].to_string();
    assert_refused(&check(&cluster), &["cannot open the store", &node]);
}
