use std::sync::Arc;

use tokio::sync::Barrier;

use super::*;

fn schedule(calls: u32) -> Schedule {
    Schedule {
        rate: calls * 1_000,
        seconds: 1,
    }
}

/// The first call is answered only when the last one is made: a closed loop would never end.
#[tokio::test]
async fn no_call_waits_for_the_answer_to_another() -> Result<()> {
    let schedule = Schedule {
        rate: 40,
        seconds: 1,
    };
    let barrier = Arc::new(Barrier::new(40));
    let calls = run(schedule, 100, Ok, |number, _| {
        let barrier = Arc::clone(&barrier);
        Ok(async move {
            barrier.wait().await;
            number
        })
    });
    let mut numbers = calls.await?;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<u64>>());
    Ok(())
}

#[tokio::test]
async fn too_many_calls_under_way_end_it() {
    let never = run(schedule(1), 3, Ok, |_, _| Ok(std::future::pending::<()>()));
    let error = never.await.err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("more than 3 are under way")));
}

#[tokio::test]
async fn an_error_of_prepare_ends_the_run() {
    let prepare = |number| {
        ensure!(number < 2, "the file has no more Exports");
        Ok(number)
    };
    let outcome = run(schedule(1), 10, prepare, |_, _| Ok(async {})).await;
    let error = outcome.err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("the file has no more Exports"));
}

#[test]
fn time_counts_from_when_a_call_was_due() -> Result<()> {
    let now = Instant::now();
    let due = Due {
        started: now.checked_sub(Duration::from_secs(9)).context("a start")?,
        due: Duration::from_secs(4),
    };
    assert!(due.waited() >= Duration::from_secs(5));
    Ok(())
}
