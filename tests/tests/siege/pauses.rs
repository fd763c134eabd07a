//! A plugin that fails again and again is stopped with growing pauses: whoever looks at the server sees it, and no other tenant does.

use larder_tests::otlp::{service, span};
use larder_tests::{Larder, eventually, http};

use crate::siege::{Siege, options, status};

/// How long each new start had to wait, in ms, as the log tells.
fn pauses(larder: &Larder) -> Vec<u64> {
    let lines = larder.lines();
    let of_bad = |line: &&String| {
        line.contains("\"tenant.id\":\"bad\"") && line.contains("failed and is replaced")
    };
    let wait = |line: &String| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["wait_ms"].as_u64().unwrap()
    };
    lines.iter().filter(of_bad).map(wait).collect()
}

#[tokio::test]
async fn a_tenant_whose_plugin_keeps_failing_is_stopped_with_growing_pauses() {
    let siege = Siege::begin(options()).await;
    let larder = &siege.larder;
    let bad = larder.client().await.tenant("bad");
    let mut number = 0;
    let stopped = eventually("a pause that is seen", async || {
        // No two alike: none is refused for what an earlier one did.
        number += 1;
        let one = span([9; 16], number).at(5);
        let answer = bad.export([service("die").span(one)]).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unavailable);
        let metrics = larder.metrics();
        let ready = http::count(&metrics, "larder_plugin_ready", &[]);
        let open = http::count(&metrics, "larder_tenants_open", &[]);
        let seen = status(larder, "bad");
        let reason = &seen["plugin"]["state"]["restarting"]["reason"];
        // The first pauses may be over before all is asked.
        let told = reason == "a trap" && ready + 1 == open && pauses(larder).len() >= 4;
        told.then_some(seen)
    })
    .await;
    assert!(
        stopped["plugin"]["restarts"].as_u64() >= Some(4),
        "{stopped}"
    );
    let pauses = pauses(larder);
    assert_eq!(pauses[..4], [0, 100, 200, 400], "{pauses:?}");
    // The server itself takes calls.
    assert_eq!(larder.get("/readyz").status, 200);

    eventually("the tenant's next call", async || {
        number += 1;
        let one = span([9; 16], number).at(5);
        bad.export([service("fine").span(one)]).await.ok()
    })
    .await;
    assert_eq!(status(larder, "bad")["plugin"]["state"], "ready");
    siege.end().await;
}
