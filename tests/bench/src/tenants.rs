//! Many tenants, one after the other: the cost of opening, writing, searching and reopening them, and the memory in between.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use larder_oracle::corpus::Corpus;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tonic::metadata::AsciiMetadataKey;

use crate::calls::{self, Answer, Call};
use crate::numbers::{megabytes, spread};
use crate::queries::{EXPORT, all_kept, within};
use crate::question::Question;
use crate::target::{Address, Target};
use crate::tenant::{Tenant, numbered};
use crate::truth::Truth;

/// The single service of every tenant. All tenants use the same name, so that a search that crosses tenants finds too much.
const SERVICE: &str = "tenant-service";
/// The number of tenants whose calls are prepared, then made, then checked, so that neither preparing nor checking is timed.
const ROUND: u64 = 64;
/// The number of traces that a search asks for beyond those written, so that other tenants' traces would show.
const ROOM: u64 = 100;

/// Writes to each of many tenants and searches each, answers checked: other tenants' traces fail the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID; it has to have `tenancy.enabled`.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// How many tenants: `t0000` and so on. The server's `tenancy.max_tenants` has to allow them.
    #[arg(long, default_value_t = 1_000)]
    tenants: u64,
    /// How many spans one Export to a tenant holds; each tenant gets two.
    #[arg(long, default_value_t = 100)]
    spans: u64,
    /// Seconds to wait for the server to evict idle tenants; longer than its `tenancy.idle_timeout`. Without it, none is brought back.
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    /// How many calls are under way at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// The header that names the tenant.
    #[arg(long, default_value = "x-tenant")]
    header: AsciiMetadataKey,
    /// The seed of all that is random in the spans. A second run against the same data needs another.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// A phase: the call that is made for each tenant.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The Export of this number.
    Write(u64),
    /// `FindTraces`, checked against both Exports.
    Search,
}

/// Runs all phases and prints a row of the table after each.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let target = Target::connect(&options.target, options.connections).await?;
    heading()?;
    row("before", &mut [], &target)?;
    for (name, phase) in [
        ("first Export, opens the tenant", Phase::Write(0)),
        ("second Export", Phase::Write(1)),
        ("FindTraces, checked", Phase::Search),
    ] {
        run_phase(options, &target, name, phase).await?;
    }
    if let Some(seconds) = options.idle {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        row(&format!("idle for {seconds} s"), &mut [], &target)?;
        let name = "FindTraces, brought back, checked";
        run_phase(options, &target, name, Phase::Search).await?;
    }
    Ok(())
}

async fn run_phase(options: &Options, target: &Target, name: &str, phase: Phase) -> Result<()> {
    let mut times = Vec::new();
    let mut first = 0;
    while first < options.tenants {
        let end = (first + ROUND).min(options.tenants);
        let calls: Result<Vec<Call>> = (first..end)
            .map(|number| call(options, number, phase))
            .collect();
        let answers = calls::all(target, calls?)
            .await
            .with_context(|| name.to_owned())?;
        for (number, answer) in (first..end).zip(answers) {
            check(options, number, phase, &answer)
                .with_context(|| format!("{name}: tenant {}", numbered(number)))?;
            times.push(answer.took);
        }
        first = end;
    }
    row(name, &mut times, target)
}

fn call(options: &Options, number: u64, phase: Phase) -> Result<Call> {
    let tenant = Tenant::new(&options.header, &numbered(number))?;
    let corpus = corpus(options, number);
    let (method, request) = match phase {
        Phase::Write(index) => (EXPORT, export(&corpus, index).encode_to_vec().into()),
        Phase::Search => {
            let question = search(&corpus)?;
            (question.method(), question.request())
        }
    };
    Ok(Call {
        tenant,
        method,
        request,
    })
}

fn check(options: &Options, number: u64, phase: Phase, answer: &Answer) -> Result<()> {
    match phase {
        Phase::Write(_) => all_kept(&answer.messages),
        Phase::Search => {
            let corpus = corpus(options, number);
            let question = search(&corpus)?;
            let expected = Truth::of_one(question.clone(), &written(&corpus));
            expected.check(&question, &answer.messages)
        }
    }
}

/// Returns a tenant's spans: two requests. No two tenants have a common trace id, because ids depend on seed plus trace number.
fn corpus(options: &Options, number: u64) -> Corpus {
    let seed = options.seed.wrapping_add((number + 1) << 32);
    Corpus::new(seed, options.spans * 2, options.spans)
}

fn export(corpus: &Corpus, index: u64) -> ExportTraceServiceRequest {
    corpus.request_of(index, SERVICE)
}

/// Returns everything that was written to a tenant.
fn written(corpus: &Corpus) -> ExportTraceServiceRequest {
    let mut all = ExportTraceServiceRequest::default();
    for index in 0..corpus.requests() {
        all.resource_spans
            .append(&mut export(corpus, index).resource_spans);
    }
    all
}

/// Asks for all traces of a tenant, and some more.
fn search(corpus: &Corpus) -> Result<Question> {
    let depth = i32::try_from(corpus.identity().1 + ROOM)?;
    Ok(Question::Traces(within(corpus, depth).service(SERVICE)))
}

fn heading() -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| phase | calls | p50 ms | p99 ms | max ms | resident MB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    Ok(())
}

fn row(name: &str, times: &mut [Duration], target: &Target) -> Result<()> {
    let resident = megabytes(target.resident_bytes()?);
    let calls = times.len();
    let spread = spread(times);
    let mut out = std::io::stdout().lock();
    writeln!(out, "| {name} | {calls} | {spread} | {resident} |")?;
    Ok(())
}
