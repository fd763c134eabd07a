//! Writing: every request to every target in turn, so that a machine that slows down slows all of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use crate::generate::{Corpus, Request};
use crate::queries::{EXPORT, all_kept};
use crate::target::{self, Target};

/// How many requests are made, then sent to one target after the other.
const ROUND: u64 = 64;

/// What writing cost on one target.
pub(crate) struct Load {
    pub(crate) target: String,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    /// Time with requests under way.
    pub(crate) wall: Duration,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
}

/// Writes the corpus to every target.
pub(crate) async fn run(corpus: &Corpus, targets: &[Target]) -> Result<Vec<Load>> {
    let mut loads = Vec::new();
    for target in targets {
        loads.push(Load {
            target: target.name.clone(),
            spans: 0,
            bytes: 0,
            wall: Duration::ZERO,
            cpu_seconds: None,
            resident_bytes: None,
        });
    }
    let mut index = 0;
    while index < corpus.requests() {
        let end = (index + ROUND).min(corpus.requests());
        let round: Vec<Arc<Request>> = (index..end)
            .map(|number| Arc::new(corpus.request(number)))
            .collect();
        for (target, load) in targets.iter().zip(&mut loads) {
            write_round(target, &round, load)
                .await
                .with_context(|| format!("writing to {}", target.name))?;
        }
        index = end;
    }
    for (target, load) in targets.iter().zip(&mut loads) {
        load.resident_bytes = target.resident_bytes()?;
    }
    Ok(loads)
}

async fn write_round(target: &Target, round: &[Arc<Request>], load: &mut Load) -> Result<()> {
    let before = target.cpu_seconds()?;
    let started = Instant::now();
    let queue: Arc<Mutex<VecDeque<Arc<Request>>>> =
        Arc::new(Mutex::new(round.iter().cloned().collect()));
    let mut writers = Vec::new();
    for channel in target.channels() {
        let (channel, queue) = (channel.clone(), Arc::clone(&queue));
        let tenant = target.tenant().cloned();
        writers.push(tokio::spawn(async move {
            loop {
                let next = queue.lock().await.pop_front();
                let Some(request) = next else {
                    return Ok::<_, anyhow::Error>(());
                };
                let answer =
                    target::call(&channel, tenant.as_ref(), EXPORT, request.bytes.clone()).await?;
                all_kept(&answer)?;
            }
        }));
    }
    for writer in writers {
        writer.await??;
    }
    load.wall += started.elapsed();
    if let (Some(before), Some(after)) = (before, target.cpu_seconds()?) {
        *load.cpu_seconds.get_or_insert(0.0) += after - before;
    }
    load.spans += round.iter().map(|request| request.spans).sum::<u64>();
    load.bytes += round
        .iter()
        .map(|request| request.bytes.len() as u64)
        .sum::<u64>();
    Ok(())
}
