//! A clock that has jumped: retention goes by the time that the newest write shows, until the jump is confirmed.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use larder_tests::http::count;
use larder_tests::otlp::{service, span};
use larder_tests::{Home, Options, Plugin};

const DAY: u64 = 24 * 60 * 60;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// The file says when the store was last written to. To the server that starts, an older time there is a clock that has jumped ahead.
#[tokio::test]
async fn a_clock_far_ahead_of_the_newest_write_is_believed_once_it_is_confirmed() {
    let home = Home::new();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    client.store([service("a").span(span([1; 16], 1))]).await;
    assert_eq!(larder.get("/readyz").body, "ok\n");
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());
    let file = home.data().join("kv/CLOCK");
    let written = fs::read_to_string(&file).unwrap();
    let seconds: u64 = written.lines().next().unwrap()[..10].parse().unwrap();
    assert!(now() - seconds < 600, "{written}");
    let old = (now() - 400 * DAY) * 1_000_000_000;
    fs::write(&file, format!("{old}\n{old}\n")).unwrap();

    let larder = Options::new(Plugin::Kv).start_in(&home);
    larder.line_of(&["the system's clock has jumped", "POST /clock"]);
    let ready = larder.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.body.starts_with("ok\n"), "{ready:?}");
    assert!(
        ready
            .body
            .contains("ahead of the time that retention believes")
    );
    let jump = count(&larder.metrics(), "larder_clock_jump_seconds", &[]);
    assert!((400 * DAY - 600..400 * DAY + 600).contains(&jump), "{jump}");
    let client = larder.client().await;
    assert_eq!(client.get_trace([1; 16]).await.span_ids(), [1]);

    let told = larder.post("/clock");
    assert_eq!(told.status, 200);
    assert!(told.body.contains("is believed"), "{told:?}");
    assert_eq!(larder.get("/readyz").body, "ok\n");
    assert_eq!(
        count(&larder.metrics(), "larder_clock_jump_seconds", &[]),
        0
    );
    let told = larder.post("/clock");
    assert!(told.body.contains("already"), "{told:?}");
}
