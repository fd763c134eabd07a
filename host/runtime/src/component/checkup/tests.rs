#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::*;
use crate::component::Limits;
use crate::test_support::guest::{Guest, OTHER, SPIN};
use crate::test_support::{GuestFile, runtime};
use larder_model::DEFAULT_TENANT;

/// Steps: three values of 500 bytes and a resume `a`; the same with `b`; and the end, with one damaged thing.
const STEPS: &str = r#"
  (global $step (mut i32) (i32.const 0))
  (data (i32.const 7000) "abx gone")
  (data (i32.const 7168) "\00\00\00\00\00\00\00\00\03\00\00\00\00\00\00\00\f4\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\58\1b\00\00\01\00\00\00")
  (data (i32.const 7232) "\00\00\00\00\00\00\00\00\03\00\00\00\00\00\00\00\f4\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\59\1b\00\00\01\00\00\00")
  (data (i32.const 7296) "\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\d0\1c\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 7376) "\5a\1b\00\00\06\00\00\00")
  (data (i32.const 7424) "\01\00\00\00\00\00\00\00\03\00\00\00\5a\1b\00\00\06\00\00\00")
  (data (i32.const 7488) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\58\1b\00\00\01\00\00\00")"#;
/// Of [`STEPS`], each once.
const EACH: &str = "
    (global.set $step (i32.add (global.get $step) (i32.const 1)))
    (i32.add (i32.const 7104) (i32.mul (i32.const 64) (global.get $step)))";
/// The first two of [`STEPS`], again and again.
const ROUND: &str = "
    (global.set $step (i32.xor (global.get $step) (i32.const 1)))
    (i32.sub (i32.const 7232) (i32.mul (i32.const 64) (global.get $step)))";

async fn open(guest: Guest) -> Result<Checkup, Error> {
    open_within(guest, Limits::default()).await
}

async fn open_within(guest: Guest, limits: Limits) -> Result<Checkup, Error> {
    open_component(&guest.build(), limits).await
}

async fn open_component(component: &[u8], limits: Limits) -> Result<Checkup, Error> {
    let file = GuestFile::new(component);
    let kv = Arc::new(kv::MemoryDriver::new());
    Checkup::open(&runtime(), file.settings(limits), kv, DEFAULT_TENANT).await
}

fn guest(check: &str) -> Guest {
    Guest::new().replicated().with("check", check).and(STEPS)
}

/// All steps of such a guest, and how it ended.
async fn run(check: &str) -> (Vec<Checked>, Result<(), String>) {
    let mut checkup = open(guest(check)).await.unwrap();
    let mut steps = Vec::new();
    loop {
        match checkup.step().await {
            Ok(Some(step)) => steps.push(step),
            Ok(None) => return (steps, Ok(())),
            Err(error) => {
                assert_eq!(checkup.step().await.unwrap(), None, "nothing follows");
                return (steps, Err(error.to_string()));
            }
        }
    }
}

#[tokio::test]
async fn every_step_is_taken_to_the_end() {
    let (steps, ended) = run(EACH).await;
    assert_eq!(ended, Ok(()));
    let told: Vec<_> = steps.iter().map(|it| (it.values, it.bytes)).collect();
    assert_eq!(told, [(3, 500), (3, 500), (1, 1)]);
    assert_eq!(steps.last().unwrap().damaged, ["x gone"]);
}

#[tokio::test]
async fn a_plugin_of_version_0_1_is_checked_as_well() {
    let component = guest(EACH).build_for_0_1();
    let mut checkup = open_component(&component, Limits::default()).await.unwrap();
    let mut told = Vec::new();
    while let Some(step) = checkup.step().await.unwrap() {
        told.push((step.values, step.bytes, step.damaged));
    }
    let damaged = vec!["x gone".to_owned()];
    assert_eq!(told, [(3, 500, vec![]), (3, 500, vec![]), (1, 1, damaged)]);
}

#[tokio::test]
async fn a_plugin_without_anything_of_its_own_answers_nothing() {
    let (steps, ended) = run("(i32.const 4096)").await;
    assert_eq!((steps, ended), (vec![Checked::default()], Ok(())));
}

#[tokio::test]
async fn a_plugin_that_lives_in_its_memory_is_not_opened() {
    let guest = Guest::new().with("open", OTHER);
    let mut checkup = open(guest).await.unwrap();
    assert_eq!((checkup.name(), checkup.version()), ("guest", "1.0"));
    assert_eq!(checkup.step().await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_the_plugin_refuses_is_told_with_its_words() {
    let error = open(guest(EACH).with("open", OTHER)).await.err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("`guest` refused to open: other: no"),
        "{text}"
    );
}

#[tokio::test]
async fn a_plugin_that_fails_breaks_the_contract_or_gives_up_is_told_so() {
    let progress = "(if (result i32) (global.get $step) (then (i32.const 7168))
        (else (global.set $step (i32.const 1)) (i32.const 7168)))";
    for (check, parts) in [
        ("(unreachable)", &["a trap", "unreachable"][..]),
        ("(i32.const 7424)", &["data-loss: x gone"]),
        (progress, &["broke the contract", "resume.progress"]),
        (ROUND, &["broke the contract", "resume.progress", "before"]),
        (
            "(i32.const 7488)",
            &["broke the contract", "check.progress"],
        ),
    ] {
        let (_, ended) = run(check).await;
        let text = ended.unwrap_err();
        for part in parts.iter().chain(&["`guest` could not check"]) {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[tokio::test]
async fn a_check_that_never_ends_is_cut_off() {
    let limits = Limits {
        call_timeout: std::time::Duration::from_secs(1),
        ..Limits::default()
    };
    let mut checkup = open_within(guest(SPIN), limits).await.unwrap();
    let text = checkup.step().await.unwrap_err().to_string();
    assert!(text.contains("limits.call_timeout"), "{text}");
}
