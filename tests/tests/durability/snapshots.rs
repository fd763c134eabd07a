//! `larder snapshot` and `larder restore`: what was acknowledged before a snapshot is in it, byte for byte, and nothing that is not a whole
//! snapshot is restored.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use larder_tests::{Exit, Home, Larder, Ledger, Options, Plugin, Query, Rng, eventually};

use crate::kills::CONNECTIONS;
use crate::load::Load;

/// A server whose snapshots lie in this folder.
fn start(plugin: Plugin, home: &Home) -> Larder {
    options(plugin, home).start_in(home)
}

fn options(plugin: Plugin, home: &Home) -> Options {
    let folder = snapshots(home).display().to_string();
    Options::new(plugin).environment("LARDER_KV_SNAPSHOT_DIR", &folder)
}

fn snapshots(home: &Home) -> PathBuf {
    home.path().join("snapshots")
}

/// Runs `larder snapshot`.
fn ask(larder: &Larder, name: &str) -> Exit {
    let address = larder.admin().to_string();
    let arguments = ["snapshot", "--to", name, "--admin-endpoint", &address];
    Options::bare()
        .without_port_flags()
        .arguments(arguments)
        .run()
}

/// Makes a snapshot beside the test's other tasks, and returns its folder.
fn snapshot(larder: &Larder, home: &Home, name: &str) -> PathBuf {
    let exit = tokio::task::block_in_place(|| ask(larder, name));
    assert!(exit.status.success(), "{exit:?}");
    let folder = snapshots(home).join(name);
    let line = format!("snapshot    {}\n", folder.display());
    assert!(exit.stdout.starts_with(&line), "{exit:?}");
    folder
}

/// Runs `larder restore` into the data folder of `home`.
fn restore(from: &Path, home: &Home) -> Exit {
    let options = Options::bare().without_port_flags().own_cache();
    let from = from.display().to_string();
    options.arguments(["restore", "--from", &from]).run_in(home)
}

fn restored(from: &Path) -> Home {
    let home = Home::new();
    let exit = tokio::task::block_in_place(|| restore(from, &home));
    assert!(exit.status.success(), "{exit:?}");
    home
}

#[track_caller]
fn assert_whole(plugin: Plugin, home: &Home) {
    let exit = Options::new(plugin).arguments(["check"]).run_in(home);
    assert!(exit.status.success(), "{exit:?}");
    assert!(!exit.stdout.contains("values      0\n"), "{exit:?}");
    assert!(!exit.stdout.contains("orphaned"), "{exit:?}");
}

/// A folder whose data folder is the snapshot itself.
fn in_place(snapshot: &Path) -> Home {
    let home = Home::new();
    std::os::unix::fs::symlink(snapshot, home.data()).unwrap();
    home
}

/// Makes the files of objects look as if nothing was written to them for hours.
fn rest(home: &Home) {
    let before = SystemTime::now() - Duration::from_hours(5);
    for path in home.kv_files("objects") {
        // Retention may have removed it.
        if let Ok(file) = fs::File::open(path) {
            file.set_modified(before).unwrap();
        }
    }
}

fn object_files(snapshot: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(snapshot.join("kv/objects")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Writes go on while snapshots are made. Each is restored, checked and read, and a server is started on one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_snapshot_under_load_has_all_that_was_acknowledged_before() {
    for plugin in [Plugin::Kv, Plugin::Brittle] {
        let mut rng = Rng::from_env();
        let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
        let larder = start(plugin, &home);
        let load = Load::start(&larder, &ledger, CONNECTIONS).await;
        let mut linked = 0;
        for round in 1..=3 {
            load.acknowledged(round * 100).await;
            if round == 2 {
                rest(&home);
            }
            let before = ledger.so_far();
            let made = snapshot(&larder, &home, &format!("round-{round}"));
            let there = ledger.with_acknowledged(&before);
            let links = |file: &PathBuf| fs::metadata(file).unwrap().nlink() > 1;
            linked += object_files(&made).iter().filter(|it| links(it)).count();

            let copy = restored(&made);
            tokio::task::block_in_place(|| {
                assert_whole(plugin, &in_place(&made));
                assert_whole(plugin, &copy);
            });
            let reader = Options::new(plugin).start_in(&copy);
            let client = reader.client().await;
            there.verify_all(&client).await;
            // It goes on as a store of its own.
            Ledger::new(rng.next()).store(&client).await;
        }
        let refused = load.stop().await;
        assert!(refused.is_empty(), "{refused:?}");
        if plugin == Plugin::Brittle {
            assert!(linked > 0, "no file of objects was linked");
        }

        // A server on the snapshot itself writes to none of the files that are links.
        let made = snapshots(&home).join("round-2");
        let own = Ledger::new(rng.next());
        let second = Options::new(plugin).start_in(&in_place(&made));
        let client = second.client().await;
        let live = larder.client().await;
        for _ in 0..100 {
            own.store(&client).await;
            ledger.store(&live).await;
        }
        own.verify_traces(&client, 0..100).await;
        let (status, _) = second.signal_until_exit("TERM").await;
        assert!(status.success(), "{status}");
        tokio::task::block_in_place(|| assert_whole(plugin, &in_place(&made)));
        ledger.verify_all(&live).await;
        larder.kill();
        let larder = Options::new(plugin).start_in(&home);
        let client = larder.client().await;
        ledger.verify_all(&client).await;
        assert!(own.is_missing(&client).await);
        let (status, _) = larder.signal_until_exit("TERM").await;
        assert!(status.success(), "{status}");
        assert_whole(plugin, &home);
        // It is no longer what was made.
        let exit = restore(&made, &Home::new());
        assert!(!exit.status.success(), "{exit:?}");
        let told = exit.error();
        assert!(told.contains("is not a complete snapshot"), "{told}");
    }
}

/// Retention drops buckets, and their files are removed, while snapshots are made one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn retention_takes_nothing_from_a_snapshot() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    let strict = options(Plugin::Brittle, &home).setting("max_bytes", "2097152");
    let larder = strict.start_in(&home);
    let load = Load::start(&larder, &ledger, CONNECTIONS).await;
    let mut kept = 0;
    for round in 1..=4 {
        load.acknowledged(round * 150).await;
        let made = snapshot(&larder, &home, &format!("round-{round}"));
        let copy = restored(&made);
        tokio::task::block_in_place(|| assert_whole(Plugin::Brittle, &copy));
        let reader = Options::new(Plugin::Brittle).start_in(&copy);
        let client = reader.client().await;
        // Whatever is there is whole, and is found.
        kept = ledger.verify_kept(&client, |_| false).await.len();
    }
    load.stop().await;
    assert!(kept > 0, "nothing was kept");
    assert!(kept < 400, "nothing was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_whole_snapshot_is_restored_and_only_into_an_empty_folder() {
    let (home, ledger) = (Home::new(), Ledger::new(1));
    let larder = start(Plugin::Kv, &home);
    let client = larder.client().await;
    for _ in 0..20 {
        ledger.store(&client).await;
    }
    let made = snapshot(&larder, &home, "made");

    let refused = |from: &Path, to: &Home, why: &str| {
        let exit = restore(from, to);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        let told = exit.error();
        assert!(told.contains(why), "no {why:?} in {told}");
    };
    // The target.
    refused(&made, &home, "is not empty");
    let full = Home::new();
    fs::create_dir(full.data()).unwrap();
    fs::write(full.data().join("mine"), "").unwrap();
    refused(&made, &full, "it has `mine`");
    assert_eq!(fs::read_dir(full.data()).unwrap().count(), 1);
    // The source.
    let empty = Home::new();
    refused(&home.data(), &empty, "it has no file `SNAPSHOT`");
    refused(&made.join("kv"), &empty, "it has no file `SNAPSHOT`");
    let table = fs::read_dir(made.join("kv/tree/tables")).unwrap().next();
    let table = table.unwrap().unwrap().path();
    let aside = home.path().join("aside");
    fs::rename(&table, &aside).unwrap();
    refused(&made, &empty, "is missing");
    let cut = fs::read(&aside).unwrap();
    fs::write(&table, &cut[1..]).unwrap();
    refused(&made, &empty, "bytes in place of");
    fs::rename(&aside, &table).unwrap();
    let inventory = fs::read(made.join("SNAPSHOT")).unwrap();
    fs::write(made.join("SNAPSHOT"), &inventory[..inventory.len() / 2]).unwrap();
    refused(&made, &empty, "is cut off or damaged");
    assert!(!empty.data().exists());
    fs::write(made.join("SNAPSHOT"), &inventory).unwrap();

    let exit = restore(&made, &empty);
    assert!(exit.status.success(), "{exit:?}");
    assert!(exit.stdout.contains("snapshot    made, made by larder "));
    refused(&made, &empty, "is not empty: it has `kv`");
    larder.kill();
    let larder = Options::new(Plugin::Kv).start_in(&empty);
    ledger.verify_all(&larder.client().await).await;
}

/// A killed server leaves no folder that could be taken for a snapshot, and its successor removes what it has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_snapshot_leaves_a_whole_one_or_none() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    for round in 0..4 {
        let larder = start(Plugin::Kv, &home);
        let client = larder.client().await;
        for _ in 0..40 {
            ledger.store(&client).await;
        }
        let name = format!("round-{round}");
        let partial = snapshots(&home).join(format!(".{name}.partial"));
        let folder = snapshots(&home).join(&name);
        let admin = larder.admin();
        let path = format!("/snapshot?to={name}");
        let asking = tokio::task::spawn_blocking(move || {
            drop(larder_tests::http::try_request(
                admin,
                ("POST", &path),
                None,
                "",
            ));
        });
        eventually("a snapshot that has begun", async || {
            (partial.exists() || folder.exists()).then_some(())
        })
        .await;
        for _ in 0..rng.below(400) {
            tokio::task::yield_now().await;
        }
        larder.kill();
        asking.await.unwrap();
        let to = Home::new();
        let exit = restore(&folder, &to);
        assert_eq!(exit.status.success(), folder.exists(), "{exit:?}");
        if folder.exists() {
            let larder = Options::new(Plugin::Kv).start_in(&to);
            ledger.verify_all(&larder.client().await).await;
        } else {
            assert!(!to.data().exists());
        }
    }
    let larder = start(Plugin::Kv, &home);
    ledger.verify_all(&larder.client().await).await;
    snapshot(&larder, &home, "last");
    let names = fs::read_dir(snapshots(&home)).unwrap();
    let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    let is_partial = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".partial");
    assert!(!names.iter().any(is_partial), "{names:?}");
}

#[tokio::test]
async fn names_are_no_paths_and_are_used_once() {
    let home = Home::new();
    let larder = start(Plugin::Kv, &home);
    assert_eq!(larder.post("/snapshot?to=").status, 400);
    for name in ["..", "../up", "/tmp/up", "a/b", ".hidden"] {
        // The command refuses them itself, and so does the server.
        let exit = ask(&larder, name);
        assert_eq!(exit.status.code(), Some(2), "{name}: {exit:?}");
        assert!(exit.stderr.contains("`kv.snapshot_dir`"), "{exit:?}");
        let path = format!("/snapshot?to={}", name.replace('/', "%2F"));
        let refused = larder.post(&path);
        assert_eq!(refused.status, 400, "{name}: {refused:?}");
    }
    assert!(!snapshots(&home).exists());
    assert_eq!(larder.post("/snapshot?to=first").status, 200);
    let again = larder.post("/snapshot?to=first");
    assert_eq!(again.status, 409, "{again:?}");
    larder.line_of(&["\"WARN\"", "a snapshot was refused", "is there already"]);
    let exit = ask(&larder, "first");
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.error().contains("is there already"), "{exit:?}");
    let made = larder.post("/snapshot?to=second").json();
    assert_eq!(made["missing_files"], 0);
    assert!(made["linked"]["files"].as_u64().unwrap() > 0, "{made}");
    let line = larder.line("a snapshot was made");
    assert!(line.contains("\"first\"") || line.contains("\"second\""));
}

/// Ten at once: each is made, or refused while another one is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_at_the_same_time_are_made_one_by_one_or_refused() {
    let home = Home::new();
    let larder = start(Plugin::Kv, &home);
    let ledger = Ledger::new(1);
    ledger.store(&larder.client().await).await;
    let admin = larder.admin();
    let asked = (0..10).map(|n| {
        tokio::task::spawn_blocking(move || {
            larder_tests::http::post(admin, &format!("/snapshot?to=s{n}"))
        })
    });
    let mut made = 0;
    for asked in asked.collect::<Vec<_>>() {
        let answer = asked.await.unwrap();
        if answer.status == 200 {
            made += 1;
        } else {
            assert_eq!(answer.status, 409, "{answer:?}");
            assert!(answer.body.contains("another snapshot"), "{answer:?}");
        }
    }
    assert!(made > 0);
    let entries = fs::read_dir(snapshots(&home)).unwrap().count();
    assert_eq!(entries, made + 1, "the snapshots and the lock");

    // As while another process makes one. It is logged as other refusals are.
    let lock = fs::File::open(snapshots(&home).join(".lock")).unwrap();
    lock.lock().unwrap();
    let refused = larder.post("/snapshot?to=late");
    assert_eq!(refused.status, 409, "{refused:?}");
    larder.line_of(&[
        "\"WARN\"",
        "a snapshot was refused",
        "\"late\"",
        "another snapshot",
    ]);
    let lines = larder.lines();
    let is_error = |line: &String| line.contains("\"ERROR\"");
    assert!(!lines.iter().any(is_error), "{lines:?}");
}

#[tokio::test]
async fn a_server_without_a_folder_or_a_store_refuses() {
    let refused = |larder: &Larder, status: u16, why: &str| {
        let answer = larder.post("/snapshot?to=s");
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(why), "{answer:?}");
        let exit = ask(larder, "s");
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.error().contains(why), "{exit:?}");
    };
    let larder = Options::new(Plugin::Kv).start();
    refused(&larder, 403, "`kv.snapshot_dir`");
    let home = Home::new();
    let larder = start(Plugin::Memory, &home);
    refused(
        &larder,
        400,
        "the plugin `memory` keeps its data in its own memory",
    );
    let driver = options(Plugin::Kv, &home).environment("LARDER_KV_DRIVER", "memory");
    let larder = driver.start();
    refused(&larder, 400, "`kv.driver` is `memory`");
    assert!(!snapshots(&home).exists());
    // Nobody is there.
    let address = larder.admin();
    larder.kill();
    let arguments = ["snapshot", "--to", "s", "--admin-endpoint"];
    let asked = |address: &str| {
        let options = Options::bare().without_port_flags();
        options.arguments(arguments).arguments([address]).run()
    };
    let exit = asked(&address.to_string());
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.error().contains("nothing can be reached"), "{exit:?}");
    let exit = asked("127.0.0.1:0");
    assert!(exit.error().contains("--admin-endpoint"), "{exit:?}");
}

/// The folder is taken by a reload, and the store in it cannot be its own.
#[tokio::test]
async fn the_folder_is_a_setting_that_a_reload_takes() {
    let home = Home::new();
    let folder = snapshots(&home);
    let text = |folder: &Path| format!("kv: {{ snapshot_dir: {} }}\n", folder.display());
    let larder = Options::new(Plugin::Kv)
        .config("# nothing\n")
        .start_in(&home);
    assert_eq!(larder.post("/snapshot?to=s").status, 403);
    fs::write(home.path().join("larder.yaml"), text(&folder)).unwrap();
    assert_eq!(larder.post("/reload").status, 200);
    assert_eq!(larder.post("/snapshot?to=s").status, 200);
    assert!(folder.join("s/SNAPSHOT").is_file());

    // However the path is written.
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.data(), &link).unwrap();
    for inside in [
        home.data(),
        home.data().join("kv"),
        home.data().join("kv/s"),
        home.data().join("kv/../kv/s"),
        link.clone(),
        link.join("kv/s"),
    ] {
        fs::write(home.path().join("larder.yaml"), text(&inside)).unwrap();
        let refused = larder.post("/reload");
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.body.contains("kv.snapshot_dir"), "{refused:?}");
    }
    // Below the data folder is well, and on the same disk.
    let below = home.data().join("kv/../snapshots");
    fs::write(home.path().join("larder.yaml"), text(&below)).unwrap();
    assert_eq!(larder.post("/reload").status, 200);
    assert_eq!(larder.post("/snapshot?to=s").status, 200);
    assert!(below.join("s/SNAPSHOT").is_file());
}

/// The snapshot of all tenants is one, and each finds its own again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_has_the_data_of_every_tenant() {
    let home = Home::new();
    let tenancy = |options: Options| options.environment("LARDER_TENANCY_ENABLED", "true");
    let larder = tenancy(options(Plugin::Kv, &home)).start_in(&home);
    let ledgers = [("a", Ledger::new(1)), ("b", Ledger::new(2))];
    for (tenant, ledger) in &ledgers {
        let client = larder.client().await.tenant(tenant);
        ledger.store(&client).await;
    }
    let copy = restored(&snapshot(&larder, &home, "s"));
    let larder = tenancy(Options::new(Plugin::Kv)).start_in(&copy);
    for (tenant, ledger) in &ledgers {
        let client = larder.client().await.tenant(tenant);
        ledger.verify_all(&client).await;
        assert!(!client.find(&Query::default()).await.is_empty());
    }
    let third = larder.client().await.tenant("c");
    assert!(third.find(&Query::default()).await.is_empty());
}
