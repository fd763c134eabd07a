//! Backups by Cassandra's own snapshots, as `host/docs/cluster.md` has them, made while clients write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_tests::{Cluster, Exit, Home, Ledger, Options, Plugin, Rng};

use crate::kills::Clients;

/// What is of no use to hosts that come later.
const LEFT_OUT: [&str; 2] = ["heartbeat", "probe"];

/// Returns the folders of a keyspace's tables in a node's data, by the tables' names.
fn tables(data: &Path, keyspace: &str) -> Vec<(String, PathBuf)> {
    let listed = fs::read_dir(data.join(keyspace)).unwrap();
    let folders = listed.map(|it| it.unwrap().path());
    folders
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap();
            (name.split('-').next().unwrap().to_owned(), folder)
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Puts the tables of one store's snapshots into another store, which has the schema and nothing else.
fn restore(from: &Cluster, to: &Cluster) {
    let (old, new) = (from.keyspace(), to.keyspace());
    for (table, _) in tables(&first_data(), old) {
        if LEFT_OUT.contains(&table.as_str()) {
            continue;
        }
        let snapshot = if table == "head" { "heads" } else { "rest" };
        to.nodetool(|data| {
            let mut found = tables(data, old).into_iter();
            let folder = found.find(|it| it.0 == table).unwrap().1;
            let folder = folder.join("snapshots").join(snapshot);
            let folder = folder.display().to_string();
            let mut arguments = words("import --copy-data");
            arguments.extend([new.to_owned(), table.clone(), folder]);
            arguments
        });
    }
}

fn first_data() -> PathBuf {
    let folder = std::env::var("LARDER_TEST_CASSANDRA_FOLDER").unwrap();
    Path::new(&folder).join("1/data/data")
}

fn end(host: larder_tests::Larder) {
    host.signal("TERM");
    let (status, lines) = host.wait();
    assert!(status.success(), "{status}: {lines:?}");
}

fn run(cluster: &Cluster, plugin: Plugin, command: &[&str]) -> Exit {
    let home = Home::new();
    let config = home.path().join("larder.yaml");
    fs::write(&config, cluster.config()).unwrap();
    let plugin = ["--plugin".into(), plugin.argument()];
    let options = Options::bare().without_port_flags();
    let options = options.arguments(command.to_vec()).arguments(plugin);
    let options = options.arguments([Path::new("--config"), &config]);
    let exit = tokio::task::block_in_place(|| options.run());
    assert!(exit.status.success(), "{exit:?}");
    exit
}

/// The parts of `Brittle` are so small that it merges and reclaims all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn snapshots_that_are_made_while_clients_write_are_whole_once_restored() {
    let plugin = Plugin::Brittle;
    let ledger = Arc::new(Ledger::new(Rng::from_env().next()));
    let (cluster, restored) = (Cluster::new(), Cluster::new());
    let host = cluster.host_with(plugin, "a").start();
    let load = Clients::of(&[&host]).await.load(&ledger);
    load.calls(100).await;
    let acknowledged = ledger.so_far();
    let keyspace = cluster.keyspace();
    let heads = words(&format!("snapshot -t heads -kt {keyspace}.head"));
    cluster.nodetool(|_| heads.clone());
    load.calls(100).await;
    let rest = words(&format!("snapshot -t rest {keyspace}"));
    cluster.nodetool(|_| rest.clone());
    load.calls(20).await;
    load.stop().await;
    end(host);

    // With tenants, a start makes the schema and nothing else.
    let maker = restored.host("maker");
    end(maker.environment("LARDER_TENANCY_ENABLED", "true").start());
    restore(&cluster, &restored);
    let done = run(&restored, plugin, &["kv", "restored"]);
    let told = "tenant      default: ";
    assert!(done.stdout.starts_with(told), "{done:?}");
    assert!(!done.stdout.contains(": 0 partitions"), "{done:?}");
    let checked = run(&restored, plugin, &["check"]);
    assert!(checked.stdout.contains("damaged     0"), "{checked:?}");

    let host = restored.host_with(plugin, "a").start();
    let client = host.client().await;
    let due = ledger.with_acknowledged(&acknowledged);
    due.verify_all(&client).await;
    let more = Ledger::new(Rng::from_env().next() + 1);
    let number = more.store(&client).await;
    more.verify_traces(&client, number..number + 1).await;
}
