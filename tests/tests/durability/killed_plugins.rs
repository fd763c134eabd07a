//! Plugins that die while they write or maintain: acknowledged writes are kept, and others are refused with a retryable status.

use std::sync::Arc;

use larder_tests::{Home, Larder, Ledger, Options, Plugin, Rng, eventually, http};
use tonic::Code;

use crate::load::{Load, assert_repeatable};

/// After this many restarts, each further restart waits for seconds.
const DEATHS: u64 = 5;

fn deaths(larder: &Larder, cause: &str) -> u64 {
    let label = format!("error_type=\"{cause}\"");
    http::count(&larder.metrics(), "larder_plugin_restarts_total", &[&label])
}

/// Loads servers whose plugins die at a call of some number, until each has died a few times.
async fn survives(setting: &str, cause: &str, calls: [u64; 2], timeout: &str) {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    for number in calls {
        let options = Options::new(Plugin::Brittle)
            .setting(setting, &number.to_string())
            .environment("LARDER_LIMITS_CALL_TIMEOUT", timeout);
        let larder = options.start_in(&home);
        let load = Load::start(&larder, &ledger, 4).await;
        eventually("the plugin's deaths", async || {
            (deaths(&larder, cause) >= DEATHS).then_some(())
        })
        .await;
        let mut refused = load.stop().await;
        // A batch that killed the plugin twice, alone, is treated as poison, because its content may be the cause.
        refused.retain(|it| it.code() != Code::Internal);
        assert_repeatable(&refused);
        // Readers survive, and see everything that was acknowledged.
        ledger.verify_all(&larder.client().await).await;
        larder.kill();
        let larder = Options::new(Plugin::Brittle).start_in(&home);
        ledger.verify_all(&larder.client().await).await;
        let load = Load::start(&larder, &ledger, 4).await;
        load.acknowledged(20).await;
        load.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_traps_when_it_has_written_loses_nothing() {
    survives("trap_write", "trap", [3, 11], "60s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_traps_in_maintenance_loses_nothing() {
    survives("trap_maintain", "trap", [1, 6], "60s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_passes_its_deadline_when_it_has_written_loses_nothing() {
    survives("spin_write", "deadline", [3, 11], "1s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_passes_its_deadline_in_maintenance_loses_nothing() {
    survives("spin_maintain", "deadline", [1, 6], "1s").await;
}
