//! A noisy neighbour: as many calls of a tenant as a server accepts, of the kind that costs it most. Refusals are counted, not fatal.
//!
//! Requests are prepared before the start and sent repeatedly, so that the noise costs the client little.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use bytes::Bytes;
use larder_oracle::corpus::Corpus;
use prost::Message;
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::AsciiMetadataKey;
use tonic::transport::Channel;

use crate::load::{self, Plan};
use crate::numbers::whole;
use crate::queries::{EXPORT, FIND_TRACES, all_kept};
use crate::searches::costliest;
use crate::source;
use crate::target::{self, Address, Target, cpu_seconds_of};
use crate::tenant::Tenant;

#[cfg(test)]
mod tests;

/// Spans per Export of a flood.
const FLOOD_SPANS: u64 = 1_000;
/// The number of different Exports that are sent in turn.
const FLOOD_REQUESTS: u64 = 32;
/// The service that makes the hostile guest of `tests/guests` never return from its next write.
const SPIN: &str = "arm spin at write";

/// Does to a server what a noisy neighbour does, and prints how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to bother, as NAME=HOST:PORT or NAME=HOST:PORT@PID.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// The tenant's name.
    #[arg(long, default_value = "noise")]
    tenant: String,
    /// The header that names the tenant.
    #[arg(long, default_value = "x-tenant")]
    header: AsciiMetadataKey,
    /// The kind of load.
    #[arg(long)]
    kind: NoiseKind,
    /// How many calls are under way at once, each on its connection.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many spans a scan writes before it starts.
    #[arg(long, default_value_t = 200_000)]
    spans: u64,
    /// Skip writing them: an earlier run has.
    #[arg(long)]
    no_load: bool,
    /// Milliseconds that a connection pauses after a refusal; at 0 a client that is refused at once takes a core.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// A kind of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NoiseKind {
    /// Exports of 1,000 spans, as fast as they are acknowledged.
    Flood,
    /// The search that no index narrows, again and again.
    Scan,
    /// Exports on which the test guest spins for ever.
    Spin,
}

/// The prepared requests.
struct Noise {
    method: &'static str,
    requests: Vec<Bytes>,
    /// Spans that a request writes.
    spans: u64,
    pause: Duration,
}

/// The totals of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    calls: u64,
    spans: u64,
    /// Refusals, by the name of the status code.
    errors: BTreeMap<String, u64>,
}

/// Makes the noise and prints its totals.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let tenant = Tenant::new(&options.header, &options.tenant)?;
    let target = Target::connect(&options.target, options.connections)
        .await?
        .of_tenant(tenant);
    let corpus = Corpus::new(options.seed, options.spans, FLOOD_SPANS);
    let noise = Arc::new(noise(options, &corpus));
    ensure!(!noise.requests.is_empty(), "there is nothing to send");
    if options.kind == NoiseKind::Scan && !options.no_load {
        load::run(
            source::all_of(&corpus),
            std::slice::from_ref(&target),
            &Plan::default(),
        )
        .await?;
    }
    let (client, server) = (cpu_seconds_of("self")?, target.cpu_seconds()?);
    let started = Instant::now();
    let end = started + Duration::from_secs(options.seconds);
    let mut neighbours = Vec::new();
    for channel in target.channels() {
        let (channel, noise) = (channel.clone(), Arc::clone(&noise));
        let tenant = target.tenant().cloned();
        neighbours.push(tokio::spawn(async move {
            make(&channel, tenant.as_ref(), &noise, end).await
        }));
    }
    let mut done = Totals::default();
    for neighbour in neighbours {
        done.add(neighbour.await?);
    }
    let used = [
        Some(cpu_seconds_of("self")? - client),
        target
            .cpu_seconds()?
            .zip(server)
            .map(|(after, before)| after - before),
    ];
    report(options, &done, started.elapsed(), used)
}

fn noise(options: &Options, corpus: &Corpus) -> Noise {
    let (method, requests, spans) = match options.kind {
        NoiseKind::Flood => {
            let flood = corpus.beside(FLOOD_SPANS * FLOOD_REQUESTS, FLOOD_SPANS);
            let requests = (0..FLOOD_REQUESTS).map(|index| flood.request(index).bytes);
            (EXPORT, requests.collect(), FLOOD_SPANS)
        }
        NoiseKind::Scan => (FIND_TRACES, vec![costliest(corpus).1], 0),
        NoiseKind::Spin => {
            let one = corpus.beside(1, 1).request_of(0, SPIN);
            (EXPORT, vec![one.encode_to_vec().into()], 1)
        }
    };
    Noise {
        method,
        requests,
        spans,
        pause: Duration::from_millis(options.pause),
    }
}

/// Runs one connection until `end`; a call in flight at that time is dropped and not counted.
async fn make(channel: &Channel, tenant: Option<&Tenant>, noise: &Noise, end: Instant) -> Totals {
    let mut done = Totals::default();
    for request in noise.requests.iter().cycle() {
        let call = target::call(channel, tenant, noise.method, request.clone());
        let Ok(answer) = tokio::time::timeout_at(end, call).await else {
            break;
        };
        let kept = answer.and_then(|answer| match noise.method {
            EXPORT => all_kept(&answer),
            _ => Ok(()),
        });
        let refused = kept.is_err();
        done.count(kept, noise.spans);
        if refused && !noise.pause.is_zero() {
            tokio::time::sleep(noise.pause).await;
        }
        if Instant::now() >= end {
            break;
        }
    }
    done
}

impl Totals {
    /// Counts a call that wrote this many spans, unless it was refused.
    fn count(&mut self, outcome: Result<()>, spans: u64) {
        self.calls += 1;
        match outcome {
            Ok(()) => self.spans += spans,
            Err(error) => *self.errors.entry(kind_of(&error)).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.spans += other.spans;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
    }
}

/// Returns the status code's name, or another error in a word.
fn kind_of(error: &Error) -> String {
    if let Some(status) = error.downcast_ref::<Status>() {
        return format!("{:?}", status.code());
    }
    match error.downcast_ref::<tonic::transport::Error>() {
        Some(_) => "no connection".to_owned(),
        None => "partial success".to_owned(),
    }
}

fn report(options: &Options, done: &Totals, took: Duration, used: [Option<f64>; 2]) -> Result<()> {
    let seconds = took.as_secs_f64();
    let errors: Vec<_> = done
        .errors
        .iter()
        .map(|(code, count)| format!("{count} {code}"))
        .collect();
    let [client, server] = used
        .map(|used| used.map_or_else(String::new, |used| format!("{:.0}", used / seconds * 100.0)));
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| noise | seconds | calls | calls/s | spans/s | errors | client CPU % | server CPU % |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    writeln!(
        out,
        "| {:?} | {seconds:.0} | {} | {:.1} | {:.0} | {} | {client} | {server} |",
        options.kind,
        done.calls,
        whole(done.calls) / seconds,
        whole(done.spans) / seconds,
        errors.join(", "),
    )?;
    Ok(())
}
