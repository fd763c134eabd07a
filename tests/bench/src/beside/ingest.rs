//! Exports at a rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use larder_oracle::corpus::Request;

use crate::openloop;
use crate::queries::{EXPORT, all_kept};
use crate::schedule::Schedule;
use crate::source::{Requests, Source};
use crate::target::{self, Target};

/// The most Exports in flight: half a gigabyte of requests of 1,000 spans.
const MOST: usize = 1_000;

/// Exports that have not been written yet.
pub(super) struct Ingest {
    requests: Arc<Mutex<Requests>>,
    /// Keeps the temporary file of the Exports.
    _source: Source,
}

impl Ingest {
    /// Takes Exports of the source.
    pub(super) fn new(
        requests: impl Iterator<Item = Result<Request>> + Send + 'static,
        source: Source,
    ) -> Result<Self> {
        let mut requests = requests.peekable();
        // Reading up to the first one takes time, which must not delay the first call.
        requests.peek().context("there is no Export left")?;
        Ok(Self {
            requests: Arc::new(Mutex::new(Box::new(requests))),
            _source: source,
        })
    }

    /// Returns the remaining Exports.
    #[cfg(test)]
    pub(super) fn rest(self) -> Result<Vec<Request>> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.by_ref().collect()
    }

    /// Writes at the rate, and returns each Export's latency since it was due. The first refusal fails the run.
    pub(super) async fn run(
        &mut self,
        target: &Target,
        schedule: Schedule,
    ) -> Result<Vec<Duration>> {
        let requests = Arc::clone(&self.requests);
        let prepare = move |_| {
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.next().context("there are no more Exports")?
        };
        let mut channels = target.channels().iter().cycle();
        let call = |request: Request, due: openloop::Due| {
            let channel = channels.next().context("no connection")?.clone();
            Ok(async move {
                let answer = target::call(&channel, None, EXPORT, request.bytes).await?;
                let waited = due.waited();
                all_kept(&answer)?;
                Ok::<_, anyhow::Error>(waited)
            })
        };
        let outcomes = openloop::run(schedule, MOST, prepare, call).await?;
        outcomes
            .into_iter()
            .collect::<Result<_>>()
            .context("an Export beside the searches failed")
    }
}
