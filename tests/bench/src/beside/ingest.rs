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

/// At most so many Exports are under way: half a gigabyte of requests of 1,000 spans.
const MOST: usize = 1_000;

/// Exports that are yet to be written.
pub(super) struct Ingest {
    requests: Arc<Mutex<Requests>>,
    /// Keeps the file that they are read from.
    _source: Source,
}

impl Ingest {
    /// Writes these, which are the source's.
    pub(super) fn new(
        requests: impl Iterator<Item = Result<Request>> + Send + 'static,
        source: Source,
    ) -> Result<Self> {
        let mut requests = requests.peekable();
        // Reading as far as the first of them takes its time, which nothing should wait for later.
        requests.peek().context("there is no Export left")?;
        Ok(Self {
            requests: Arc::new(Mutex::new(Box::new(requests))),
            _source: source,
        })
    }

    /// All that is left.
    #[cfg(test)]
    pub(super) fn rest(self) -> Result<Vec<Request>> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.by_ref().collect()
    }

    /// Writes at the rate; what each Export waited since it was due. The first refusal fails it.
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
