//! Writing: every request to every target in turn, so that a machine that slows down slows all of them.

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

/// How many requests are made or read, then sent to one target after the other.
const ROUND: usize = 64;

/// What writing cost on one target.
pub(crate) struct Load {
    pub(crate) target: String,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    /// Time with requests under way.
    pub(crate) wall: Duration,
    /// From the first request until the server is at rest: what it does between requests, as merging, is in it.
    pub(crate) cpu_seconds: Option<f64>,
    /// What this program used itself while requests were under way; it shares the machine.
    pub(crate) client_seconds: f64,
    /// At rest.
    pub(crate) resident_bytes: Option<u64>,
    /// The most that the process ever had.
    pub(crate) peak_bytes: Option<u64>,
}

/// How writing is measured.
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

/// How the requests are written.
#[derive(Default)]
pub(crate) struct Plan {
    /// Whose they are, if not the target's own tenant's.
    pub(crate) spread: Spread,
    /// How long to wait at most until a server is at rest.
    pub(crate) settle: Duration,
}

// === impl Options ===

impl Options {
    /// To write to the targets' own tenants, or in turn to those of `spread`.
    pub(crate) fn plan(&self, spread: Spread) -> Plan {
        Plan {
            spread,
            settle: Duration::from_secs(self.settle),
        }
    }
}

/// A request on its way.
#[derive(Clone)]
struct Parcel {
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
        // A server that has just started may still be busy with that.
        target.settle(plan.settle).await?;
        loads.push(Load {
            target: target.name.clone(),
            spans: 0,
            bytes: 0,
            wall: Duration::ZERO,
            cpu_seconds: target.cpu_seconds()?,
            client_seconds: 0.0,
            resident_bytes: None,
            peak_bytes: None,
        });
    }
    let mut tenants = plan.spread.turns();
    loop {
        let round = requests.by_ref().take(ROUND).map(|request| {
            Ok(Parcel {
                request: Arc::new(request?),
                tenant: tenants.next(),
            })
        });
        let round: Vec<Parcel> = round.collect::<Result<_>>()?;
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
        load.resident_bytes = target.resident_bytes()?;
        load.peak_bytes = target.peak_bytes()?;
    }
    Ok(loads)
}

async fn write_round(target: &Target, round: &[Parcel], load: &mut Load) -> Result<()> {
    let own = target::cpu_seconds_of("self")?;
    let started = Instant::now();
    let queue: Arc<Mutex<VecDeque<Parcel>>> = Arc::new(Mutex::new(round.iter().cloned().collect()));
    let mut writers = Vec::new();
    for channel in target.channels() {
        let (channel, queue) = (channel.clone(), Arc::clone(&queue));
        let own = target.tenant().cloned();
        writers.push(tokio::spawn(async move {
            loop {
                let next = queue.lock().await.pop_front();
                let Some(Parcel { request, tenant }) = next else {
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
    for Parcel { request, .. } in round {
        load.spans += request.spans;
        load.bytes += request.bytes.len() as u64;
    }
    Ok(())
}
