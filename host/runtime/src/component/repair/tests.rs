#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::component::Limits;
use crate::test_support::guest::{Guest, OTHER};
use crate::test_support::{GuestFile, runtime};
use larder_model::DEFAULT_TENANT;

/// Steps, 64 bytes each from 7168 on: one that asks for what the host makes of `x`; the end, with a line about what is lost; one without a
/// value that wants to go on; and the error `other("x gone")`.
const STEPS: &str = r#"
  (global $step (mut i32) (i32.const 0))
  (data (i32.const 7000) "x gone")
  (data (i32.const 7016) "\58\1b\00\00\01\00\00\00")
  (data (i32.const 7032) "\58\1b\00\00\06\00\00\00")
  (data (i32.const 7168) "\00\00\00\00\00\00\00\00\03\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\68\1b\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 7232) "\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\78\1b\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 7296) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00")
  (data (i32.const 7360) "\01\00\00\00\00\00\00\00\04\00\00\00\58\1b\00\00\06\00\00\00")"#;
/// Of [`STEPS`], the first two; the second only if one answer came.
const BOTH: &str = "
    (if (result i32) (i32.eqz (global.get $step))
      (then (global.set $step (i32.const 1)) (i32.const 7168))
      (else (if (i32.ne (local.get 2) (i32.const 1)) (then (unreachable))) (i32.const 7232)))";

async fn open_component(component: &[u8]) -> Result<Repair, Error> {
    let file = GuestFile::new(component);
    let kv = Arc::new(kv::MemoryDriver::new());
    let settings = file.settings(Limits::default());
    Repair::open(&runtime(), settings, kv, DEFAULT_TENANT).await
}

fn guest(repair: &str) -> Guest {
    Guest::new().replicated().with("repair", repair).and(STEPS)
}

#[tokio::test]
async fn every_step_is_taken_and_gets_what_the_one_before_asked_for() {
    let mut repair = open_component(&guest(BOTH).build()).await.unwrap();
    let asked = repair.step(&[]).await.unwrap().unwrap();
    assert_eq!((asked.values, asked.more), (3, false));
    assert_eq!(asked.remake, [b"x"]);
    let last = repair.step(&[Remade::default()]).await.unwrap().unwrap();
    assert_eq!(last.lost, ["x gone"]);
    assert_eq!(repair.step(&[]).await.unwrap(), None);
    repair.sync().await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_cannot_repair_is_told_so() {
    for (component, parts) in [
        (guest("(i32.const 7360)").build(), &["other: x gone"][..]),
        (guest("(unreachable)").build(), &["a trap"]),
        (
            guest("(i32.const 7296)").build(),
            &["broke the contract", "repair.progress"],
        ),
        (
            guest(BOTH).build_for_0_1(),
            &["version 0.1.0", "has no `repair`"],
        ),
    ] {
        let text = match open_component(&component).await {
            Err(error) => error.to_string(),
            Ok(mut repair) => repair.step(&[]).await.unwrap_err().to_string(),
        };
        for part in parts.iter().chain(&["`guest` could not repair"]) {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[tokio::test]
async fn a_plugin_that_lives_in_its_memory_has_nothing_to_repair() {
    let guest = Guest::new().with("open", OTHER);
    let mut repair = open_component(&guest.build()).await.unwrap();
    assert_eq!(repair.step(&[]).await.unwrap(), None);
}
