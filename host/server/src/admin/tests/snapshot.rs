//! `POST /snapshot`: names, answers and the stop of the server.

use std::io;
use std::time::UNIX_EPOCH;

use larder_store::{self as kv, Amount};

use super::*;

fn made() -> Made {
    Made {
        path: "/snapshots/monday".into(),
        moment: UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
        linked: Amount {
            files: 3,
            bytes: 5000,
        },
        copied: Amount {
            files: 4,
            bytes: 700,
        },
        missing: 1,
    }
}

/// An administration whose next snapshot has this outcome.
fn admin(outcome: Result<Made, SnapshotError>) -> TestAdmin {
    let admin = TestAdmin::new(None);
    *admin.plugin.snapshot.lock().unwrap() = Some(outcome);
    admin
}

async fn post(admin: &TestAdmin, path: &str) -> Answer {
    admin.send(Method::POST, path).await
}

#[tokio::test]
async fn a_snapshot_is_made_below_the_configured_folder_and_described_in_json() {
    let admin = admin(Ok(made()));
    let answer = post(&admin, "/snapshot?to=monday").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["path"], "/snapshots/monday");
    assert_eq!(told["moment"], "2026-09-21T14:13:20.123Z");
    assert_eq!(told["linked"]["files"], 3);
    assert_eq!(told["copied"]["bytes"], 700);
    assert_eq!(told["missing_files"], 1);
    let asked = admin.plugin.asked.lock().unwrap();
    assert_eq!(*asked, [("/snapshots".into(), "monday".to_owned())]);
}

#[tokio::test]
async fn without_a_folder_or_a_name_of_one_part_nothing_is_made() {
    let admin = admin(Ok(made()));
    for path in [
        "/snapshot",
        "/snapshot?to=",
        "/snapshot?to=..",
        "/snapshot?to=../up",
        "/snapshot?to=%2e%2e%2fup",
        "/snapshot?to=/etc",
        "/snapshot?to=a/b",
        "/snapshot?to=a%00",
        "/snapshot?to=.hidden",
        "/snapshot?to=a&force=true",
    ] {
        let answer = post(&admin, path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    assert_eq!(admin.get("/snapshot?to=a").await.status, 405);
    admin.state.snapshot_dir.set(None);
    let answer = post(&admin, "/snapshot?to=monday").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("`kv.snapshot_dir`"), "{}", answer.body);
    assert!(admin.plugin.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_snapshot_that_fails_says_why_with_the_code_of_the_error_table() {
    let disk = |kind: io::ErrorKind| SnapshotError::Disk {
        path: "/snapshots/x".into(),
        error: kind.into(),
    };
    let no_room = SnapshotError::NoRoom {
        below: "/snapshots".into(),
        needed: 9,
        free: 8,
        reserve: 7,
    };
    for (error, status, why) in [
        (SnapshotError::NothingOnDisk("why".to_owned()), 400, "why"),
        (SnapshotError::Exists("/s/x".into()), 409, "`/s/x` is there"),
        (SnapshotError::Busy("/s".into()), 409, "another snapshot"),
        (no_room, 429, "`kv.min_free`"),
        (disk(io::ErrorKind::StorageFull), 429, "/snapshots/x"),
        (disk(io::ErrorKind::PermissionDenied), 500, "/snapshots/x"),
        (
            kv::Error::Unavailable("gone".to_owned()).into(),
            503,
            "gone",
        ),
        (kv::Error::DataLoss("lost".to_owned()).into(), 500, "lost"),
    ] {
        let answer = post(&admin(Err(error)), "/snapshot?to=x").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(why), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_stop_of_the_server_ends_a_snapshot() {
    let admin = TestAdmin::new(None);
    let stop = async {
        while admin.plugin.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        admin.state.stopping.cancel();
    };
    let (answer, ()) = tokio::join!(post(&admin, "/snapshot?to=x"), stop);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("is stopping"), "{}", answer.body);
}
