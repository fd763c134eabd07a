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

/// What the second reload logs comes after all that the first one did.
#[tokio::test]
async fn each_reload_logs_its_outcome_once() {
    let home = Home::new();
    let larder = start(&home, "limits: { max_search_depth: 5 }\n");
    let logged = || {
        let lines = larder.lines().into_iter();
        let told = lines.filter(|line| line.contains("the configuration is reloaded"));
        told.count()
    };
    for depth in [6, 7, 8] {
        let file = format!("limits: {{ max_search_depth: {depth} }}\n");
        configure(&home, &file);
        assert_eq!(larder.post("/reload").status, 200);
    }
    assert_eq!(reloads(&larder, "taken"), 3);
    eventually("the last line", async || (logged() == 3).then_some(())).await;
    configure(&home, "limits: { max_search: 6 }\n");
    assert_eq!(larder.post("/reload").status, 422);
    larder
        .wait_for_line("the configuration is not reloaded")
        .await;
    assert_eq!(logged(), 3);
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
