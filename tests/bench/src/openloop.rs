//! Open-loop calls: at a rate, whether or not earlier ones are answered.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::schedule::{Schedule, SystemClock};

#[cfg(test)]
mod tests;

/// The time at which a call was due; its latency counts from here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    started: Instant,
    due: Duration,
}

impl Due {
    /// Returns the time since then.
    pub(crate) fn waited(self) -> Duration {
        self.started.elapsed().saturating_sub(self.due)
    }
}

/// Makes the calls of the schedule and returns their results, in no order. `prepare` builds a call's input, on another thread and before
/// the call is due. Fails when more than `most` calls are in flight: with a server that does not keep up, the client would hold ever
/// more of them.
pub(crate) async fn run<I, T, F>(
    schedule: Schedule,
    most: usize,
    mut prepare: impl FnMut(u64) -> Result<I> + Send + 'static,
    mut call: impl FnMut(I, Due) -> Result<F>,
) -> Result<Vec<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (announce, mut announced) = mpsc::unbounded_channel();
    let mut next = Some(prepare(0));
    let started = Instant::now();
    let pacer = std::thread::spawn(move || {
        schedule.run(&mut SystemClock(started), |number, due| {
            let prepared = next.take().unwrap_or_else(|| prepare(number));
            let sent = announce.send((prepared, Due { started, due })).is_ok();
            if number + 1 < schedule.calls() {
                next = Some(prepare(number + 1));
            }
            sent
        });
    });
    let mut under_way = JoinSet::new();
    let mut outcomes = Vec::new();
    while let Some((prepared, due)) = announced.recv().await {
        under_way.spawn(call(prepared?, due)?);
        while let Some(outcome) = under_way.try_join_next() {
            outcomes.push(outcome?);
        }
        ensure!(
            under_way.len() <= most,
            "the server does not keep up with {} calls a second: more than {most} are under way; take a lower rate",
            schedule.rate
        );
    }
    pacer
        .join()
        .map_err(|_| Error::msg("the thread that paces the calls panicked"))
        .context("not all calls were made")?;
    while let Some(outcome) = under_way.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}
