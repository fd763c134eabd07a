//! `larder kv copy`: all that was acknowledged is in the copy, and a server goes on with it.

use std::fs;
use std::path::Path;

use larder_tests::{Exit, Home, Ledger, Options, Plugin, Rng};

/// Copies the data folder of one home into that of another, which a configuration file names.
fn copy(from: &Path, to: &Home, more: &[&str]) -> Exit {
    let config = to.path().join("target.yaml");
    fs::write(&config, format!("data_dir: {}\n", to.data().display())).unwrap();
    let (from, config) = (from.display().to_string(), config.display().to_string());
    let arguments = ["kv", "copy", "--from", &from, "--to", &config];
    let options = Options::bare().without_port_flags().own_cache();
    tokio::task::block_in_place(|| options.arguments(arguments).arguments(more.to_vec()).run())
}

#[track_caller]
fn assert_done(exit: &Exit, words: &str) {
    assert!(exit.status.success(), "{exit:?}");
    assert!(exit.stdout.contains(words), "{exit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_finds_everything_in_a_copy_of_its_folder_and_goes_on_with_it() {
    for plugin in [Plugin::Kv, Plugin::Brittle] {
        let mut rng = Rng::from_env();
        let (home, target) = (Home::new(), Home::new());
        let ledger = Ledger::new(rng.next());
        let larder = Options::new(plugin).start_in(&home);
        let client = larder.client().await;
        for _ in 0..50 {
            ledger.store(&client).await;
        }
        let refused = copy(&home.data(), &target, &[]);
        assert!(!refused.status.success(), "{refused:?}");
        assert!(refused.error().contains("in use"), "{refused:?}");
        drop(client);
        larder.kill();

        assert_done(
            &copy(&home.data(), &target, &["--dry-run"]),
            "would be copied",
        );
        assert!(!target.data().exists());
        assert_done(&copy(&home.data(), &target, &[]), ": copied\n");
        assert_done(&copy(&home.data(), &target, &[]), "copied before");
        let id = |home: &Home| fs::read_to_string(home.data().join("kv/WRITER")).unwrap();
        assert_eq!(id(&target), id(&home));

        for home in [&target, &home] {
            let larder = Options::new(plugin).start_in(home);
            let client = larder.client().await;
            ledger.verify_all(&client).await;
            Ledger::new(rng.next()).store(&client).await;
        }
        let refused = copy(&home.data(), &target, &[]);
        assert!(!refused.status.success(), "{refused:?}");
        assert!(refused.stdout.contains("REFUSED"), "{refused:?}");
    }
}
