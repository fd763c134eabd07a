//! The triggers: SIGHUP does the same as `POST /reload`, and reloads are serialized.

use larder_tests::{Home, Plugin, eventually, http};

use super::{configure, of_file, reloads, start, write_build};

#[tokio::test]
async fn a_signal_applies_the_same_changes_and_logs_the_report() {
    let home = Home::new();
    let larder = start(
        &home,
        "limits: { max_search_depth: 5, compile_timeout: 10s }\n",
    );
    configure(
        &home,
        "limits: { max_search_depth: 6, compile_timeout: 11s }\n",
    );
    larder.signal("HUP");
    larder.wait_for_line("the configuration is reloaded").await;
    larder
        .wait_for_line("\"taken\":\"limits.max_search_depth\"")
        .await;
    larder
        .wait_for_line("\"setting\":\"limits.compile_timeout\"")
        .await;
    assert_eq!(reloads(&larder, "partial"), 1);
    configure(&home, "limits: { max_search: 6 }\n");
    larder.signal("HUP");
    larder
        .wait_for_line("the configuration is not reloaded")
        .await;
    larder
        .wait_for_line("unknown config key `limits.max_search`")
        .await;
    assert_eq!(reloads(&larder, "refused"), 1);
}

#[tokio::test]
async fn concurrent_reloads_are_serialized() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::Hostile, 0).start_in(&home);
    write_build(&home, Plugin::Hostile, 1);
    let admin = larder.admin();
    let posts: Vec<_> = (0..6)
        .map(|_| std::thread::spawn(move || http::post(admin, "/reload")))
        .collect();
    let mut outcomes: Vec<String> = posts
        .into_iter()
        .map(|post| post.join().unwrap().json()["outcome"].to_string())
        .collect();
    outcomes.sort();
    let mut expected = vec!["\"unchanged\"".to_owned(); 6];
    expected[0] = "\"taken\"".to_owned();
    assert_eq!(outcomes, expected);
    eventually("the metric", async || {
        (reloads(&larder, "taken") == 1).then_some(())
    })
    .await;
}
