//! What the driver does beyond the suite of all drivers, on a real Cassandra whose address is in `LARDER_TEST_CASSANDRA`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod outcomes;

use std::sync::Arc;
use std::time::Duration;

use common::{connect, keyspace, options, session};
use larder_cassandra::{CassandraDriver, Options};
use larder_store::{Change, Driver, Entry, Error, Key, Namespace, Object, SnapshotRequest};

fn entry(sort: &str, value: &str) -> Change {
    Change::Put(Entry {
        sort: sort.into(),
        value: value.into(),
    })
}

fn key(partition: &str, sort: &str) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.into(),
    }
}

fn object(partition: &str, sort: &str, value: &str) -> Object {
    Object {
        key: key(partition, sort),
        value: value.into(),
    }
}

async fn host(name: &str) -> CassandraDriver {
    connect(options(name)).await.unwrap()
}

/// Number of rows that a statement finds.
async fn count(query: &str) -> usize {
    let query = query.replace("ks.", &format!("\"{}\".", keyspace()));
    let found = session().await.query_unpaged(query, ()).await.unwrap();
    found.into_rows_result().unwrap().rows_num()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut turns = tokio::time::interval(Duration::from_millis(100));
        while !holds().await {
            turns.tick().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(2), asking).await;
    assert!(done.is_ok(), "not within two minutes: {what}");
}

#[tokio::test]
async fn a_host_that_has_said_good_bye_is_adopted_by_one_and_takes_its_id_back() {
    let tenant = "adopted";
    let (dead, b, c) = (host("dead").await, host("b").await, host("c").await);
    let of_dead = dead.open(tenant).await.unwrap();
    let first = of_dead.claim("dead").await.unwrap();
    of_dead
        .commit(&first, "head", vec![entry("a", "1")])
        .await
        .unwrap();
    let (of_b, of_c) = (b.open(tenant).await.unwrap(), c.open(tenant).await.unwrap());
    assert_eq!(of_b.adopt("dead").await.unwrap(), None);
    dead.close().await.unwrap();

    let (by_b, by_c) = tokio::join!(of_b.adopt("dead"), of_c.adopt("dead"));
    let adopted: Vec<_> = [by_b.unwrap(), by_c.unwrap()]
        .into_iter()
        .flatten()
        .collect();
    let [claim] = adopted.as_slice() else {
        panic!("one host adopts: {adopted:?}");
    };
    assert!(claim.is_upkeep && claim.number == first.number && claim.epoch > first.epoch);
    let late = of_dead
        .commit(&first, "head", vec![entry("b", "late")])
        .await;
    assert_eq!(late, Err(Error::Fenced));

    // Back again.
    let again = host("dead").await;
    let of_again = again.open(tenant).await.unwrap();
    let back = of_again.claim("dead").await.unwrap();
    of_again
        .commit(&back, "head", vec![entry("b", "2")])
        .await
        .unwrap();
    let late = of_b.commit(claim, "head", vec![entry("c", "late")]).await;
    assert_eq!(late, Err(Error::Fenced));
    assert_eq!(of_c.adopt("dead").await.unwrap(), None);
    let names: Vec<String> = c
        .hosts()
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.writer)
        .collect();
    assert!(
        ["b", "c", "dead"]
            .iter()
            .all(|name| names.contains(&(*name).to_owned())),
        "{names:?}"
    );
}

#[tokio::test]
async fn two_processes_with_one_id_are_told_apart() {
    let (first, second) = (host("twin").await, host("twin").await);
    let kv = first.open("twins").await.unwrap();
    let claim = kv.claim("twin").await.unwrap();
    kv.claim("_host/graph/twin").await.unwrap();
    let other = second.open("twins").await.unwrap();
    for id in ["twin", "_host/graph/twin"] {
        let Err(Error::Held(words)) = other.claim(id).await else {
            panic!("the id `{id}` of a live process was claimed");
        };
        assert_eq!(words.matches("the address of twin").count(), 2, "{words}");
    }
    kv.commit(&claim, "p", vec![entry("a", "1")]).await.unwrap();
    first.close().await.unwrap();
    other.claim("twin").await.unwrap();
}

#[tokio::test]
async fn what_was_reclaimed_is_deleted_and_another_process_goes_on_with_it() {
    let tenant = "swept";
    let at_once = Options {
        linger: Duration::ZERO,
        ..options("sweeper")
    };
    let driver = connect(at_once.clone()).await.unwrap();
    let kv = driver.open(tenant).await.unwrap();
    let claim = kv.claim("sweeper").await.unwrap();
    kv.put(&claim, vec![object("swept", "o", "1")])
        .await
        .unwrap();
    kv.commit(&claim, "swept", vec![entry("e", "1")])
        .await
        .unwrap();
    kv.reclaim(&claim, "swept").await.unwrap();
    let keys = [key("swept", "o"), key("swept", "e")];
    assert_eq!(kv.get(&keys).await.unwrap(), [None, None]);
    assert_eq!(
        count("SELECT part FROM ks.object WHERE part = 'swept' ALLOW FILTERING").await,
        0
    );
    assert_eq!(
        count("SELECT part FROM ks.head WHERE part = 'swept' ALLOW FILTERING").await,
        0
    );
    // It is deleted once more a day later, so what has to be done is still there.
    assert_eq!(
        count("SELECT part FROM ks.sweep WHERE part = 'swept' AND done = 1 ALLOW FILTERING").await,
        1
    );
    driver.close().await.unwrap();
    drop(kv);

    // A host that lingers has reclaimed, and has died before it deleted anything.
    let lingering = host("sweeper").await;
    let kv = lingering.open(tenant).await.unwrap();
    let claim = kv.claim("sweeper").await.unwrap();
    kv.put(&claim, vec![object("later", "o", "1")])
        .await
        .unwrap();
    kv.reclaim(&claim, "later").await.unwrap();
    assert_eq!(
        kv.get(&[key("later", "o")]).await.unwrap(),
        [Some(b"1".to_vec())]
    );
    lingering.close().await.unwrap();
    drop(kv);
    let driver = connect(at_once).await.unwrap();
    let kv = driver.open(tenant).await.unwrap();
    kv.claim("sweeper").await.unwrap();
    until("the next process deletes it", async || {
        count("SELECT part FROM ks.object WHERE part = 'later' ALLOW FILTERING").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_purged_namespace_is_deleted_and_a_late_put_is_refused() {
    let (a, b) = (host("purger").await, host("late").await);
    let old = b.open("purged").await.unwrap();
    let claim = old.claim("late").await.unwrap();
    old.put(&claim, vec![object("purged", "o", "1")])
        .await
        .unwrap();
    old.commit(&claim, "purged", vec![entry("e", "1")])
        .await
        .unwrap();
    a.renew("purged").await.unwrap();
    let late = old.put(&claim, vec![object("purged", "late", "1")]).await;
    assert_eq!(late, Err(Error::Fenced));
    assert_eq!(old.claim("late").await, Err(Error::Fenced));
    until("the data is deleted", async || {
        count("SELECT part FROM ks.head WHERE part = 'purged' AND kind = 1 ALLOW FILTERING").await == 0
            && count("SELECT ns FROM ks.doom WHERE k = 0 AND tenant = 'purged' AND done = 1 ALLOW FILTERING").await == 1
    })
    .await;
    assert_eq!(
        count("SELECT part FROM ks.object WHERE part = 'purged' AND sort = 0x6f ALLOW FILTERING")
            .await,
        0
    );
}

#[tokio::test]
async fn a_missing_schema_is_told_with_the_statement_that_makes_it() {
    // Makes the keyspace of this process.
    host("schema").await;
    let missing = Options {
        keyspace: format!("{}_none", keyspace()),
        create_schema: false,
        ..options("schema")
    };
    let words = refused(missing.clone()).await;
    assert!(
        words.contains("CREATE KEYSPACE IF NOT EXISTS") && words.contains("A DBA has to run it"),
        "{words}"
    );
    let many = Options {
        replication: [("datacenter1".to_owned(), 99)].into(),
        create_schema: true,
        ..missing
    };
    let words = refused(many).await;
    assert!(
        words.contains("99 copies are wanted in the datacentre `datacenter1`"),
        "{words}"
    );
    let elsewhere = Options {
        datacenter: Some("mars".to_owned()),
        ..options("schema")
    };
    let words = refused(elsewhere).await;
    assert!(
        words.contains("no datacentre `mars`, only `datacenter1`"),
        "{words}"
    );
}

#[tokio::test]
async fn a_schema_that_a_dba_has_made_is_used_and_that_of_a_newer_release_is_refused() {
    let by_hand = Options {
        keyspace: format!("{}_by_hand", keyspace()),
        create_schema: false,
        ..options("by hand")
    };
    host("by hand").await;
    let session = session().await;
    let text = larder_cassandra::schema(&by_hand);
    for statement in text.lines() {
        session.query_unpaged(statement, ()).await.unwrap();
    }
    let driver = connect(by_hand.clone()).await.unwrap();
    driver.open("t").await.unwrap();
    driver.close().await.unwrap();

    let newer = format!(
        "UPDATE \"{}\".meta SET version = 2 WHERE k = 0 IF EXISTS",
        by_hand.keyspace
    );
    session.query_unpaged(newer, ()).await.unwrap();
    let words = refused(by_hand.clone()).await;
    assert!(words.contains("a newer release has changed it"), "{words}");
    let altered = format!("ALTER TABLE \"{}\".doom DROP lease", by_hand.keyspace);
    session.query_unpaged(altered, ()).await.unwrap();
    let words = refused(by_hand).await;
    assert!(words.contains("ADD lease bigint"), "{words}");
}

#[tokio::test]
async fn an_unreachable_cluster_is_unavailable_and_named() {
    let nowhere = Options {
        contact_points: vec!["127.0.0.1:1".to_owned()],
        timeout: Duration::from_secs(1),
        ..options("nowhere")
    };
    let Err(Error::Unavailable(words)) = CassandraDriver::connect(nowhere).await else {
        panic!("connected to nowhere");
    };
    assert!(words.contains("`127.0.0.1:1`"), "{words}");
}

#[tokio::test]
async fn what_was_reclaimed_while_the_tables_were_copied_is_taken_back() {
    let tenant = "restored";
    let driver = host("restorer").await;
    let kv = driver.open(tenant).await.unwrap();
    let claim = kv.claim("restorer").await.unwrap();
    for part in ["kept", "gone"] {
        kv.put(&claim, vec![object(part, "o", part)]).await.unwrap();
    }
    kv.reclaim(&claim, "gone").await.unwrap();
    driver.close().await.unwrap();
    drop(kv);

    let command = host("command").await;
    assert_eq!(command.restored("unknown").await.unwrap(), 0);
    assert_eq!(command.restored(tenant).await.unwrap(), 1);
    assert_eq!(command.restored(tenant).await.unwrap(), 0);
    let marks = "SELECT part FROM ks.sweep WHERE part = 'gone' ALLOW FILTERING";
    assert_eq!(count(marks).await, 0);
    command.close().await.unwrap();

    // It may be written to again, and be reclaimed.
    let driver = host("restorer").await;
    let kv = driver.open(tenant).await.unwrap();
    let mut parts = kv.partitions().await.unwrap();
    parts.sort();
    assert_eq!(parts, ["gone", "kept"]);
    let claim = kv.claim("restorer").await.unwrap();
    let more = vec![object("gone", "p", "more")];
    kv.put(&claim, more).await.unwrap();
    let keys = ["o", "p"].map(|sort| key("gone", sort));
    let found = kv.get(&keys).await.unwrap();
    assert_eq!(found, ["gone", "more"].map(|it| Some(it.into())));
    kv.reclaim(&claim, "gone").await.unwrap();
    assert_eq!(kv.partitions().await.unwrap(), ["kept"]);
    assert_eq!(count(marks).await, 1);
}

async fn refused(options: Options) -> String {
    match connect(options).await {
        Err(Error::Other(words)) => words,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("was not refused"),
    }
}

#[tokio::test]
async fn what_the_driver_does_is_counted_and_its_reach_is_known() {
    let driver = host("counted").await;
    let kv: Arc<dyn Namespace> = driver.open("counted").await.unwrap();
    let claim = kv.claim("counted").await.unwrap();
    kv.put(&claim, vec![object("p", "o", "1")]).await.unwrap();
    kv.commit(&claim, "q", vec![entry("e", "1")]).await.unwrap();
    for _ in 0..3 {
        kv.get(&[key("p", "o")]).await.unwrap();
    }
    let statements = driver.statements();
    let calls = |name: &str| statements.iter().find(|it| it.name == name).unwrap().calls;
    assert_eq!(
        (calls("ObjectPut"), calls("ObjectGet")),
        (1, 1),
        "the cache answers the rest"
    );
    assert!(statements.iter().all(|it| it.errors == 0));
    assert!(driver.statistics().syncs >= 2 && driver.statistics().stored_bytes > 0);
    assert_eq!(driver.reach(), larder_store::Reach::default());
    assert!(driver.is_shared() && driver.is_durable() && kv.generation() == 0);
    let request = SnapshotRequest {
        below: "/nowhere".into(),
        name: "name".parse().unwrap(),
        stop: Arc::default(),
    };
    let words = driver.snapshot(request).await.unwrap_err().to_string();
    assert!(words.contains("nodetool snapshot"), "{words}");
}
