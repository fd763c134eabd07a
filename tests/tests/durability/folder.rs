//! The data folder: exclusive use by one process, and durable purges.

use larder_tests::{Home, Ledger, Options, Plugin, Query, Rng};

#[tokio::test]
async fn a_second_process_on_one_folder_is_refused_and_the_first_continues() {
    let (home, ledger) = (Home::new(), Ledger::new(1));
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    ledger.store(&client).await;

    let exit = Options::new(Plugin::Kv).run_in(&home);
    assert!(!exit.status.success(), "{exit:?}");
    for part in ["in use by another process", "data_dir", "data/kv"] {
        assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
    }

    ledger.store(&client).await;
    ledger.verify_all(&client).await;
    // The lock ends with the process, however that ends.
    larder.kill();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    ledger.verify_all(&larder.client().await).await;
}

#[tokio::test]
async fn purged_data_never_comes_back() {
    for plugin in [Plugin::Kv, Plugin::Brittle] {
        let mut rng = Rng::from_env();
        let home = Home::new();
        let mut ledger = Ledger::new(rng.next());
        for _ in 0..3 {
            let larder = Options::new(plugin).purge().start_in(&home);
            let client = larder.client().await;
            ledger.verify_all(&client).await;
            for _ in 0..30 {
                ledger.store(&client).await;
            }
            assert_eq!(larder.post("/purge").status, 200);
            larder.kill();

            let larder = Options::new(plugin).purge().start_in(&home);
            let client = larder.client().await;
            assert!(client.services().await.unwrap().is_empty());
            assert!(client.find(&Query::default()).await.is_empty());
            assert!(ledger.is_missing(&client).await);
            ledger = Ledger::new(rng.next());
            ledger.store(&client).await;
            larder.kill();
        }
        let larder = Options::new(plugin).start_in(&home);
        ledger.verify_all(&larder.client().await).await;
    }
}
