//! `larder kv copy` into a store that hosts share and out of it, and `larder kv retire`, as operators run them.

use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::{Cluster, Exit, Forwarder, Home, Ledger, Options, Plugin, Rng};

use crate::ready;

/// Each copy that is cut off gets so many bytes further than the one before.
const SOME: usize = 400_000;

pub(crate) fn file(home: &Home, name: &str, text: &str) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn copying(from: &Path, to: &Path) -> Options {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let options = Options::bare().without_port_flags().own_cache();
    options.arguments(["kv", "copy", "--from", &from, "--to", &to])
}

pub(crate) fn copy(from: &Path, to: &Path) -> Exit {
    tokio::task::block_in_place(|| copying(from, to).run())
}

/// Copies through a forwarder, and kills the command once so much has passed; with more and more, until a part is copied.
async fn cut_off(
    from: &Path,
    to: &Path,
    forwarder: &mut Forwarder,
    (slow_from, slow_to): (&Path, &Path),
) {
    for bytes in (SOME..).step_by(SOME) {
        forwarder.open_for(bytes);
        let larder = copying(slow_from, slow_to).spawn();
        forwarder.stalled().await;
        larder.kill();
        forwarder.close().await;
        let looked = copying(from, to).arguments(["--dry-run"]);
        let looked = tokio::task::block_in_place(|| looked.run());
        assert!(looked.status.success(), "{looked:?}");
        if looked.stdout.contains("the copy would go on") {
            return;
        }
        assert!(looked.stdout.contains("would be copied"), "{looked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_copy_of_a_serving_host_into_a_cluster_that_was_cut_off_goes_on() {
    let ledger = Ledger::new(Rng::from_env().next());
    let home = Home::new();
    let backups = Home::new();
    let serving = Options::new(Plugin::Kv)
        .environment(
            "LARDER_KV_SNAPSHOT_DIR",
            &backups.path().display().to_string(),
        )
        .start_in(&home);
    let client = serving.client().await;
    for _ in 0..150 {
        ledger.store(&client).await;
    }
    let made = serving.post("/snapshot?to=move");
    assert_eq!(made.status, 200, "{}", made.body);
    let from = backups.path().join("move");

    let cluster = Cluster::new();
    let (through, mut forwarder) = cluster.behind_forwarder();
    let slow = file(&home, "slow.yaml", &through.config());
    let to = file(&home, "target.yaml", &cluster.config());
    cut_off(&from, &to, &mut forwarder, (&from, &slow)).await;
    // The source has answered meanwhile, and does.
    ledger.verify_all(&client).await;
    let done = copy(&from, &to);
    assert!(done.status.success(), "{done:?}");
    assert!(done.stdout.contains("the rest was copied"), "{done:?}");
    let again = copy(&from, &to);
    assert!(again.stdout.contains("copied before"), "{again:?}");

    let host = cluster.host("new").start();
    for client in [&client, &host.client().await] {
        ledger.verify_all(client).await;
    }
    // It goes on there.
    ledger.store(&host.client().await).await;
    ledger.verify_all(&host.client().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_copy_of_a_cluster_into_a_folder_that_was_cut_off_goes_on() {
    let ledger = Ledger::new(Rng::from_env().next());
    let (cluster, home) = (Cluster::new(), Home::new());
    let from = file(&home, "cluster.yaml", &cluster.config());
    let folder = format!("data_dir: {}\n", home.data().display());
    let to = file(&home, "folder.yaml", &folder);
    for id in ["a", "b"] {
        let host = cluster.host(id).start();
        let client = host.client().await;
        for _ in 0..75 {
            ledger.store(&client).await;
        }
        if id == "b" {
            let refused = copy(&from, &to);
            assert!(!refused.status.success(), "{refused:?}");
            let words = refused.error();
            let told = words.contains("hosts use the store") && words.contains("`b`");
            assert!(told, "{words}");
        }
        host.signal("TERM");
        let (status, lines) = host.wait();
        assert!(status.success(), "{status}: {lines:?}");
    }
    let (through, mut forwarder) = cluster.behind_forwarder();
    let slow = file(&home, "slow.yaml", &through.config());
    cut_off(&from, &to, &mut forwarder, (&slow, &to)).await;
    let done = copy(&from, &to);
    assert!(done.status.success(), "{done:?}");
    assert!(done.stdout.contains("the rest was copied"), "{done:?}");

    let folder = Options::new(Plugin::Kv).start_in(&home);
    let host = cluster.host("a").start();
    for client in [folder.client().await, host.client().await] {
        ledger.verify_all(&client).await;
        let more = Ledger::new(Rng::from_env().next() + 1);
        let number = more.store(&client).await;
        more.verify_traces(&client, number..number + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_a_host_that_is_retired_stays_and_its_id_goes() {
    let ledger = Ledger::new(Rng::from_env().next());
    let (cluster, home) = (Cluster::new(), Home::new());
    let [a, b] = ["a", "b"].map(|id| cluster.host(id).start());
    let client = a.client().await;
    for _ in 0..20 {
        ledger.store(&client).await;
    }
    let config = file(&home, "larder.yaml", &cluster.config());
    let retire = || {
        let options = Options::bare().without_port_flags().own_cache();
        let options = options.arguments(["kv", "retire", "a", "--config"]);
        tokio::task::block_in_place(|| options.arguments([&config]).run())
    };
    let refused = retire();
    assert!(!refused.status.success(), "{refused:?}");
    let words = refused.error();
    assert!(words.contains("is alive: stop it first"), "{words}");

    a.kill();
    let listed = || {
        let hosts = b.get("/cluster").json()["hosts"].clone();
        let hosts = hosts.as_array().unwrap().clone();
        let ids = hosts
            .iter()
            .map(|it| it["writer"].as_str().unwrap().to_owned());
        ids.collect::<Vec<String>>()
    };
    // Nobody has told yet that it does not come back.
    assert!(listed().iter().any(|id| id == "a"));
    let done = retire();
    assert!(done.status.success(), "{done:?}");
    for told in ["of `a`", "retired     `a`", "b go on with its data"] {
        assert!(done.stdout.contains(told), "{done:?}");
    }
    assert!(listed().iter().all(|id| id != "a"));
    // At once, and not after a minute of silence: it has watched for no minute.
    let c = cluster.host("c").start();
    c.wait_for_line("what a dead host has written is kept up here")
        .await;
    let writers = c.get("/cluster").json()["writers"].clone();
    let writers = writers.as_array().unwrap();
    let of_a = writers.iter().find(|it| it["writer"] == "a").unwrap();
    assert!(of_a["bytes"].as_u64().unwrap() > 0, "{of_a}");
    assert_eq!(of_a["tenants"], 1);
    assert_eq!(of_a["kept_up_by"].as_array().unwrap().len(), 1, "{of_a}");
    ledger.verify_all(&c.client().await).await;
    ledger.verify_all(&b.client().await).await;

    let back = cluster.host("a").starting_in(&Home::new());
    let client = ready(&back).await;
    ledger.store(&client).await;
    ledger.verify_all(&b.client().await).await;
}
