//! An invalid configuration changes nothing: the server continues as it was, and the answer and the log name the error.

use larder_tests::{Home, Options, Plugin, replace};

use super::{
    configure, has, hash, is_refused, need_restart, of_file, plugin_path, reload, reloads, start,
    store, write_build,
};

#[tokio::test]
async fn a_file_without_a_suitable_plugin_is_refused() {
    let home = Home::new();
    let larder = of_file(&home, Plugin::Hostile, 0).start_in(&home);
    let client = larder.client().await;
    store(&client, 1).await;
    let before = hash(&larder);
    let whole = std::fs::read(plugin_path(&home)).unwrap();
    let empty_component = b"\0asm\x0d\0\x01\0";
    for (bytes, why) in [
        (&whole[..whole.len() / 2], "is no wasm component"),
        (b"\0asm\x01\0\0\0", "it is a core module"),
        (b"<html>", "does not start as a wasm component"),
        (empty_component, "does not fit the world"),
    ] {
        replace(&plugin_path(&home), bytes);
        let answer = is_refused(&larder, why);
        assert!(answer.body.contains("plugin.wasm"), "{}", answer.body);
        larder.wait_for_line(why).await;
    }
    std::fs::remove_file(plugin_path(&home)).unwrap();
    is_refused(&larder, "cannot read the plugin");
    larder.signal("HUP");
    larder.wait_for_line("\"by\":\"SIGHUP\"").await;
    assert_eq!(hash(&larder), before);
    assert!(has(&client, 1).await);
    store(&client, 2).await;

    write_build(&home, Plugin::Hostile, 1);
    assert_eq!(reload(&larder)["outcome"], "taken");
    assert_ne!(hash(&larder), before);
    assert!(has(&client, 2).await);
}

/// The message is the same as at a start.
#[tokio::test]
async fn an_invalid_configuration_is_refused() {
    let home = Home::new();
    let good = "limits: { max_search_depth: 5 }\n";
    let larder = start(&home, good);
    let client = larder.client().await;
    store(&client, 1).await;
    for wrong in [
        "limits: { max_search_dept: 6 }\n",
        "limits: { memory: 4KiB }\n",
        "limits: [1]\n",
        "plugin: { use: memroy }\n",
        "plugin: { settings: { retention: soon } }\n",
        "access: { tokens: ./none.yaml }\ngrpc: { tls: { cert: ./x.pem } }\n",
    ] {
        configure(&home, wrong);
        let answer = larder.post("/reload");
        assert_eq!(answer.status, 422, "{}", answer.body);
        let told = answer
            .body
            .trim_end()
            .trim_start_matches("nothing has changed: ");
        let other = Home::new();
        let start = Options::bare().config(wrong).run_in(&other);
        assert!(!start.status.success(), "{wrong}");
        let in_home =
            |text: &str, home: &Home| text.replace(&home.path().display().to_string(), "");
        let at_start = in_home(&start.error(), &other);
        let told = in_home(told, &home);
        assert!(at_start.contains(&told), "{told}\nbut at start: {at_start}");
        larder
            .wait_for_line("the configuration is not reloaded")
            .await;
    }
    assert_eq!(reloads(&larder, "refused"), 6);
    assert!(has(&client, 1).await);
    configure(&home, good);
    assert_eq!(reload(&larder)["outcome"], "unchanged");
}

/// If one part is invalid, the valid parts are not applied either.
#[tokio::test]
async fn a_partly_invalid_configuration_is_not_applied_in_part() {
    let home = Home::new();
    let larder = start(&home, "limits: { query_judged_spans: 1000 }\n");
    let client = larder.client().await;
    for number in 1..=3 {
        store(&client, number).await;
    }
    configure(
        &home,
        "limits: { query_judged_spans: 1 }\nplugin: { settings: { nonsense: 1 } }\n",
    );
    is_refused(&larder, "refused to open");
    let query = larder_tests::Query::default().service("a");
    assert_eq!(client.find(&query).await.len(), 3);
}

#[tokio::test]
async fn settings_that_are_read_once_need_a_restart() {
    let home = Home::new();
    let larder = start(&home, "limits: { compile_timeout: 100s }\n");
    configure(
        &home,
        "limits: { compile_timeout: 200s, max_search_depth: 7 }\ngrpc: { pagination: false }\nkv: { driver: memory }\n",
    );
    for taken in [1, 0] {
        let report = reload(&larder);
        assert_eq!(report["outcome"], "partial", "{report}");
        assert_eq!(report["taken"].as_array().unwrap().len(), taken, "{report}");
        let paths = ["grpc.pagination", "limits.compile_timeout", "kv.driver"];
        assert_eq!(need_restart(&report), paths, "{report}");
    }
    larder
        .wait_for_line("a changed setting needs a restart")
        .await;
}
