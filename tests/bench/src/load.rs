//! Writing: every request goes to every target in turn, so that a machine that slows down slows all of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use larder_oracle::corpus::Request;
use tokio::sync::Mutex;

use crate::disk::Folder;
use crate::queries::{EXPORT, all_kept};
use crate::target::{self, Target};
use crate::tenant::{Spread, Tenant};

/// The number of requests that are prepared at a time, and then sent to one target after the other.
const ROUND: usize = 64;

/// The cost of writing to one target.
pub(crate) struct Load {
    pub(crate) target: String,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    /// Time with requests in flight.
    pub(crate) wall: Duration,
    /// From the first request until the server is idle: includes its work between requests, such as merges.
    pub(crate) cpu_seconds: Option<f64>,
    /// Of the processes of its store, in the same time.
    pub(crate) store_cpu_seconds: Option<f64>,
    /// CPU time of this program while requests were in flight; it shares the machine.
    pub(crate) client_seconds: f64,
    /// Resident memory when idle.
    pub(crate) resident_bytes: Option<u64>,
    /// Peak resident memory of the process.
    pub(crate) peak_bytes: Option<u64>,
}

/// Options of the measurement of writes.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// At most so many seconds to wait after writing until a server computes no more; what it used until then is counted.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    settle: u64,
    /// The folder of a target's data, as NAME=PATH: what it takes on disk is measured.
    #[arg(long = "data-dir", value_name = "NAME=PATH")]
    pub(crate) folders: Vec<Folder>,
}

/// The tenants of the requests, and the time to settle.
#[derive(Default)]
pub(crate) struct Plan {
    /// The tenants to write to, if not the target's own.
    pub(crate) spread: Spread,
    /// The longest wait for an idle server.
    pub(crate) settle: Duration,
}

// === impl Options ===

impl Options {
    /// Plans writes to the targets' own tenants, or in turn to those of `spread`.
    pub(crate) fn plan(&self, spread: Spread) -> Plan {
        Plan {
            spread,
            settle: Duration::from_secs(self.settle),
        }
    }
}

/// A prepared request.
#[derive(Clone)]
struct PreparedRequest {
    request: Arc<Request>,
    tenant: Option<Tenant>,
}

/// Writes the requests to every target.
pub(crate) async fn run(
    mut requests: impl Iterator<Item = Result<Request>>,
    targets: &[Target],
    plan: &Plan,
) -> Result<Vec<Load>> {
    let mut loads = Vec::new();
    for target in targets {
        // A server that has just started may still be busy.
        target.settle(plan.settle).await?;
        loads.push(Load {
            target: target.name.clone(),
            spans: 0,
            bytes: 0,
            wall: Duration::ZERO,
            cpu_seconds: target.cpu_seconds()?,
            store_cpu_seconds: target.store_cpu_seconds()?,
            client_seconds: 0.0,
            resident_bytes: None,
            peak_bytes: None,
        });
    }
    let mut tenants = plan.spread.turns();
    loop {
        let round = requests.by_ref().take(ROUND).map(|request| {
            Ok(PreparedRequest {
                request: Arc::new(request?),
                tenant: tenants.next(),
            })
        });
        let round: Vec<PreparedRequest> = round.collect::<Result<_>>()?;
        if round.is_empty() {
            break;
        }
        for (target, load) in targets.iter().zip(&mut loads) {
            write_round(target, &round, load)
                .await
                .with_context(|| format!("writing to {}", target.name))?;
        }
    }
    for (target, load) in targets.iter().zip(&mut loads) {
        target.settle(plan.settle).await?;
        let after = target.cpu_seconds()?;
        load.cpu_seconds = after.zip(load.cpu_seconds).map(|(after, of)| after - of);
        let after = target.store_cpu_seconds()?;
        load.store_cpu_seconds = after
            .zip(load.store_cpu_seconds)
            .map(|(after, of)| after - of);
        load.resident_bytes = target.resident_bytes()?;
        load.peak_bytes = target.peak_bytes()?;
    }
    Ok(loads)
}

async fn write_round(target: &Target, round: &[PreparedRequest], load: &mut Load) -> Result<()> {
    let own = target::cpu_seconds_of("self")?;
    let started = Instant::now();
    let queue: Arc<Mutex<VecDeque<PreparedRequest>>> =
        Arc::new(Mutex::new(round.iter().cloned().collect()));
    let mut writers = Vec::new();
    for channel in target.channels() {
        let (channel, queue) = (channel.clone(), Arc::clone(&queue));
        let own = target.tenant().cloned();
        writers.push(tokio::spawn(async move {
            loop {
                let next = queue.lock().await.pop_front();
                let Some(PreparedRequest { request, tenant }) = next else {
                    return Ok::<_, anyhow::Error>(());
                };
                let tenant = tenant.as_ref().or(own.as_ref());
                let answer = target::call(&channel, tenant, EXPORT, request.bytes.clone()).await?;
                all_kept(&answer)?;
            }
        }));
    }
    for writer in writers {
        writer.await??;
    }
    load.wall += started.elapsed();
    load.client_seconds += target::cpu_seconds_of("self")? - own;
    for PreparedRequest { request, .. } in round {
        load.spans += request.spans;
        load.bytes += request.bytes.len() as u64;
    }
    Ok(())
}
