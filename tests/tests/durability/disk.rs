//! Failing writes and full disks. Writes are refused with a retryable status, reads continue, and writing resumes by itself.

use std::fs::File;
use std::sync::Arc;

use larder_tests::status::retry_info;
use larder_tests::{Home, Ledger, Options, Plugin, Rng, eventually};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tonic::Code;

use crate::load::{Load, assert_repeatable};

/// Disk space that other programs on this machine may take or free while the test runs.
const OTHERS: u64 = 1 << 30;

/// The disk rejects writes from random moments on, in the middle of a frame or an object, and later accepts them again.
async fn survives_failing_writes(plugin: Plugin) {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    for most in [0, 5000, 70_000, 1 + rng.below(300_000)] {
        let larder = Options::new(plugin).survives_file_limits().start_in(&home);
        let load = Load::start(&larder, &ledger, 3).await;
        load.acknowledged(5 + rng.below(20)).await;
        larder.limit_files(Some(most));
        load.refused(4).await;
        let client = larder.client().await;
        assert!(client.services().await.is_ok(), "reads go on");
        larder.limit_files(None);
        let so_far = ledger.total().acknowledged;
        eventually("more to be acknowledged", async || {
            (ledger.total().acknowledged > so_far + 10).then_some(())
        })
        .await;
        assert_repeatable(&load.stop().await);
        ledger.verify_all(&client).await;
        larder.kill();
        let larder = Options::new(plugin).start_in(&home);
        ledger.verify_all(&larder.client().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_lose_nothing_and_writing_resumes() {
    survives_failing_writes(Plugin::Kv).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_lose_nothing_and_writing_resumes_while_the_index_is_built() {
    survives_failing_writes(Plugin::Brittle).await;
}

/// Killed while writes fail, it opens once there is space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_writes_fail_loses_nothing() {
    let mut rng = Rng::from_env();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(rng.next())));
    for _ in 0..3 {
        let options = Options::new(Plugin::Kv).survives_file_limits();
        let larder = options.start_in(&home);
        ledger.verify_all(&larder.client().await).await;
        let load = Load::start(&larder, &ledger, 3).await;
        load.acknowledged(5 + rng.below(20)).await;
        larder.limit_files(Some(rng.below(100_000)));
        load.refused(1 + usize::try_from(rng.below(6)).unwrap())
            .await;
        larder.kill();
        load.stop().await;
    }
    let larder = Options::new(Plugin::Kv).start_in(&home);
    ledger.verify_all(&larder.client().await).await;
}

#[tokio::test]
async fn a_disk_with_too_little_space_refuses_writes_until_there_is_more() {
    let (home, ledger) = (Home::new(), Ledger::new(7));
    let free = || {
        let system = statvfs(home.path()).unwrap();
        system.f_bavail * system.f_frsize
    };
    let least = free().saturating_sub(OTHERS);
    let options = Options::new(Plugin::Kv).environment("LARDER_KV_MIN_FREE", &least.to_string());
    let larder = options.start_in(&home);
    let client = larder.client().await;
    for _ in 0..10 {
        ledger.store(&client).await;
    }

    let ballast = home.path().join("ballast");
    let file = File::create(&ballast).unwrap();
    let filled = fallocate(&file, FallocateFlags::empty(), 0, OTHERS + OTHERS);
    if filled.is_err() {
        // This file system cannot allocate so large a file at once, and a smaller one would prove nothing.
        return;
    }
    let number = ledger.next();
    let refused = eventually("a refusal", async || {
        // Commits may use half of the reserved space, objects none of it.
        let text = larder_tests::otlp::noise(1, 200_000);
        let one = larder_tests::otlp::span([1; 16], 1).attribute("text", text);
        let large = larder_tests::otlp::service("large").span(one);
        client.export([large]).await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(retry_info(&refused).is_some(), "{refused:?}");
    assert!(refused.message().contains("kv.min_free"), "{refused:?}");
    ledger.verify(&client, 0..number).await;

    std::fs::remove_file(ballast).unwrap();
    drop(file);
    eventually("writing again", async || {
        ledger.export(&client, number).await.ok()
    })
    .await;
    ledger.verify_all(&client).await;
    larder.kill();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    ledger.verify_all(&larder.client().await).await;
}

/// A small disk, or one that became full while the server was stopped.
#[tokio::test]
async fn a_server_starts_on_a_disk_with_too_little_space_and_writes_once_there_is_more() {
    let free = |home: &Home| {
        let system = statvfs(home.path()).unwrap();
        system.f_bavail * system.f_frsize
    };
    let settings = |min_free: u64, max_bytes: &str| {
        format!("kv: {{ min_free: {min_free} }}\nplugin: {{ settings: {{ {max_bytes} }} }}\n")
    };
    let start = |home: &Home, text: &str| {
        let options = Options::bare().patient().config(text);
        options.arguments(["--plugin", "kv"]).start_in(home)
    };
    for is_empty in [true, false] {
        let (home, ledger) = (Home::new(), Ledger::new(7));
        if !is_empty {
            let larder = start(&home, &settings(0, ""));
            let client = larder.client().await;
            for _ in 0..10 {
                ledger.store(&client).await;
            }
            larder.kill();
        }
        // Four times what is free is far beyond it, and other programs on this machine change what is free by less.
        let larder = start(&home, &settings(free(&home) * 4, ""));
        assert_eq!(larder.get("/readyz").status, 200);
        let client = larder.client().await;
        let stored = ledger.len();
        ledger.verify(&client, 0..stored).await;
        let number = ledger.next();
        let refused = ledger.export(&client, number).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        assert!(refused.message().contains("kv.min_free"), "{refused:?}");
        assert!(retry_info(&refused).is_some(), "{refused:?}");

        std::fs::write(home.path().join("larder.yaml"), settings(0, "")).unwrap();
        let reloaded = larder.post("/reload");
        assert_eq!(reloaded.status, 200, "{}", reloaded.body);
        ledger.export(&client, number).await.unwrap();
        ledger.verify_all(&client).await;
    }
}

/// Retention has to write before it can drop anything: the index of what is not indexed yet, and records of what is dropped.
#[tokio::test]
async fn retention_goes_on_while_writes_are_refused_for_want_of_space() {
    let (home, ledger) = (Home::new(), Ledger::new(7));
    let stored = |larder: &larder_tests::Larder| {
        larder_tests::http::count(&larder.metrics(), "larder_kv_stored_bytes", &[])
    };
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    while stored(&larder) < 3 << 20 {
        let text = larder_tests::otlp::noise(ledger.next(), 200_000);
        let one = larder_tests::otlp::span([1; 16], 1).attribute("text", text);
        let large = larder_tests::otlp::service("large").span(one);
        client.store([large]).await;
    }
    larder.kill();

    let system = statvfs(home.path()).unwrap();
    let least = system.f_bavail * system.f_frsize * 4;
    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_KV_MIN_FREE", &least.to_string())
        .setting("max_bytes", "1MiB")
        .start_in(&home);
    let client = larder.client().await;
    let one = larder_tests::otlp::service("late").span(larder_tests::otlp::span([2; 16], 1));
    let refused = client.export([one]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    eventually("room to be made", async || {
        (stored(&larder) <= 1 << 20).then_some(())
    })
    .await;
}
