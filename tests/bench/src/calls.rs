//! Batches of calls, one at a time on each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::target::{self, Target};
use crate::tenant::Tenant;

/// A prepared call.
pub(crate) struct Call {
    pub(crate) tenant: Tenant,
    pub(crate) method: &'static str,
    pub(crate) request: Bytes,
}

/// The result of a call.
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) messages: Vec<Bytes>,
}

/// Makes all calls, and returns the answers in the order of the calls. The first error ends it, and names the tenant.
pub(crate) async fn all(target: &Target, calls: Vec<Call>) -> Result<Vec<Answer>> {
    let calls: Arc<[Call]> = calls.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for channel in target.channels() {
        let (channel, calls, next) = (channel.clone(), Arc::clone(&calls), Arc::clone(&next));
        workers.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(call) = calls.get(place) else {
                    return Ok::<_, anyhow::Error>(answers);
                };
                let started = Instant::now();
                let messages = target::call(
                    &channel,
                    Some(&call.tenant),
                    call.method,
                    call.request.clone(),
                )
                .await
                .with_context(|| format!("{} of tenant {}", call.method, call.tenant.name()))?;
                let took = started.elapsed();
                answers.push((place, Answer { took, messages }));
            }
        }));
    }
    let mut answers = Vec::new();
    for worker in workers {
        answers.extend(worker.await??);
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
