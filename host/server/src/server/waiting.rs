//! Waits, during a start, for a store that other machines keep.

use std::time::Duration;

use larder_core::Live;
use larder_core::telemetry::Chain;
use tokio_util::sync::CancellationToken;

use super::Error;

/// Pauses between two attempts: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tries again what may succeed later.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    /// What the start does now, for those who ask.
    pub(super) step: &'a Live<String>,
    /// Ends the wait.
    pub(super) stop: &'a CancellationToken,
}

// === impl Waiting ===

impl Waiting<'_> {
    /// Calls `attempt` until it succeeds. `None` once the server is to stop. The reason of a failure is logged when it is another than
    /// before.
    ///
    /// # Errors
    /// One that somebody has to mend: see [`Error::may_pass`].
    pub(super) async fn until<T>(
        self,
        mut attempt: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let begun = self.step.get().to_string();
        let (mut pause, mut last) = (FIRST_PAUSE, None);
        loop {
            let attempted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                attempted = attempt() => attempted,
            };
            let error = match attempted {
                Err(error) if error.may_pass() => error,
                attempted => {
                    if last.is_some() && attempted.is_ok() {
                        tracing::info!(step = begun, "the store is there");
                        self.step.set(begun);
                    }
                    return attempted.map(Some);
                }
            };
            let reason = Chain(&error).to_string();
            if last.as_ref() != Some(&reason) {
                tracing::warn!(
                    reason,
                    step = begun,
                    "the store cannot be used yet; the start waits, and tries again"
                );
                self.step.set(format!("{begun}: {reason}"));
                last = Some(reason);
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_store as kv;
    use tokio::time::Instant;

    use super::*;

    struct Start {
        step: Live<String>,
        stop: CancellationToken,
    }

    impl Start {
        fn new() -> Self {
            Self {
                step: Live::new("opening the store".to_owned()),
                stop: CancellationToken::new(),
            }
        }

        fn waiting(&self) -> Waiting<'_> {
            Waiting {
                step: &self.step,
                stop: &self.stop,
            }
        }
    }

    fn unavailable(why: &str) -> Error {
        Error::Kv(kv::Error::Unavailable(why.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_not_there_is_waited_for_and_the_step_says_why() {
        let start = Start::new();
        let mut attempts = 0;
        let mut steps = Vec::new();
        let opened = start.waiting().until(async || {
            steps.push(start.step.get().to_string());
            attempts += 1;
            match attempts {
                1 => Err(unavailable("no node answers")),
                2 | 3 => Err(unavailable("no quorum")),
                _ => Ok("open"),
            }
        });
        assert_eq!(opened.await.unwrap(), Some("open"));
        let (begun, why) = ("opening the store", "cannot open the storage of `kv`");
        let expected = [
            begun.to_owned(),
            format!("{begun}: {why}: kv is unavailable: no node answers"),
            format!("{begun}: {why}: kv is unavailable: no quorum"),
            format!("{begun}: {why}: kv is unavailable: no quorum"),
        ];
        assert_eq!(steps, expected);
        assert_eq!(*start.step.get(), begun);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_the_longest() {
        let (start, begun) = (Start::new(), Instant::now());
        let mut at = Vec::new();
        let opened = start.waiting().until(async || {
            at.push(begun.elapsed());
            if at.len() < 9 {
                return Err(unavailable("no"));
            }
            Ok(())
        });
        opened.await.unwrap();
        let pauses: Vec<Duration> = at
            .iter()
            .zip(at.iter().skip(1))
            .map(|(one, next)| next.saturating_sub(*one))
            .collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        let (first, last) = (pauses.first().unwrap(), pauses.last().unwrap());
        assert!(
            *first >= FIRST_PAUSE && *first < FIRST_PAUSE * 2,
            "{first:?}"
        );
        assert!(
            *last >= LONGEST_PAUSE && *last < LONGEST_PAUSE * 2,
            "{last:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_has_to_mend_ends_the_start_at_once() {
        let start = Start::new();
        let mut attempts = 0;
        let opened = start.waiting().until(async || {
            attempts += 1;
            let newer = "the schema is that of a newer release".to_owned();
            Err::<(), _>(Error::Kv(kv::Error::Other(newer)))
        });
        assert!(matches!(opened.await, Err(Error::Kv(kv::Error::Other(_)))));
        assert_eq!(attempts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_and_an_attempt() {
        let start = Start::new();
        let opened = start.waiting().until(async || {
            start.stop.cancel();
            Err::<(), _>(unavailable("no"))
        });
        assert_eq!(opened.await.unwrap(), None);
        let start = Start::new();
        let waiting = start.waiting();
        let opened = waiting.until(async || std::future::pending::<Result<(), Error>>().await);
        let stop = async { start.stop.cancel() };
        let (opened, ()) = tokio::join!(opened, stop);
        assert_eq!(opened.unwrap(), None);
    }
}
