//! Times searches for spans, and pages of ids and summaries, on a storage that holds the spans of the benchmark.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use larder_oracle::corpus::{Corpus, service_name, user_name};
use larder_oracle::filter::{and, attr_at, eq, field, fulltext, phrase};
use larder_oracle::otlp::spans_of;
use larder_oracle::{Query, SpanSearch};
use larder_proto::storage::v2 as proto;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::held::Options;
use crate::numbers::spread;
use crate::queries::within;
use crate::question::Question;
use crate::target::Target;

const FIND_SPANS: &str = "/jaeger.storage.v2.TraceReader/FindSpans";
const HOUR: u64 = 3_600_000_000_000;

/// A search, the size of its page, and the number of the page that is timed.
struct Timed {
    name: &'static str,
    search: SpanSearch,
    size: u32,
    page: u32,
}

/// Asks every search, and prints a row for each.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let corpus = options.corpus();
    let target = Target::connect(&options.target, 1).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| search | page | found | p50 ms | p99 ms | max ms |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for timed in searches(&corpus) {
        match ask(&target, &timed, options.repeat).await {
            Ok((found, mut times)) => {
                let Timed {
                    name, size, page, ..
                } = timed;
                let spread = spread(&mut times);
                writeln!(
                    out,
                    "| {name}, {size} a page | {page} | {found} | {spread} |"
                )?;
            }
            Err(error) => writeln!(out, "| {} | {} | {error:#} | | | |", timed.name, timed.page)?,
        }
        out.flush()?;
    }
    for (name, question) in [
        (
            "ids, pages of 500 through 10,000",
            Question::Ids as fn(Query) -> Question,
        ),
        (
            "summaries, pages of 500 through 10,000",
            Question::Summaries,
        ),
    ] {
        let (found, mut times) = walk(&target, &corpus, question).await?;
        let spread = spread(&mut times);
        writeln!(out, "| {name} | each | {found} | {spread} |")?;
    }
    if let Some(bytes) = target.peak_bytes()? {
        writeln!(out, "\n{} MB resident at most", bytes / 1_000_000)?;
    }
    Ok(())
}

fn searches(corpus: &Corpus) -> Vec<Timed> {
    let (from, to) = corpus.window();
    let all = || SpanSearch::within(from, to);
    let hour = || SpanSearch::within(to.saturating_sub(HOUR), to);
    let service = || eq(field("resource", "service"), &*service_name(7));
    let longest = |search: SpanSearch| search.order_by("duration", "desc");
    let user = || eq(attr_at("span", "enduser.id"), &*user_name(1_234));
    let agent = || attr_at("span", "user_agent.original");
    let of = |name, search, size, page| Timed {
        name,
        search,
        size,
        page,
    };
    vec![
        of("newest", all(), 20, 1),
        of("newest", all(), 1_000, 1),
        of("newest", all(), 20, 50),
        of("oldest", all().order_by("startTime", "asc"), 20, 1),
        of("oldest", all().order_by("startTime", "asc"), 20, 50),
        of("longest of an hour", longest(hour()), 20, 1),
        of("longest", longest(all()), 20, 1),
        of("longest", longest(all()), 20, 50),
        of("newest of a service", all().filter(service()), 20, 1),
        of(
            "longest of a service",
            longest(all().filter(service())),
            20,
            1,
        ),
        of(
            "longest of a service",
            longest(all().filter(service())),
            20,
            50,
        ),
        of("newest with an attribute", all().filter(user()), 20, 1),
        of(
            "longest with an attribute",
            longest(all().filter(user())),
            20,
            1,
        ),
        of(
            "by trace id, of a service and an attribute",
            all()
                .filter(and([service(), user()]))
                .order_by("traceID", "asc"),
            20,
            1,
        ),
        of(
            "fulltext, a rare word",
            all().filter(fulltext(attr_at("span", "enduser.id"), ["01234"])),
            20,
            1,
        ),
        of(
            "fulltext, a common word",
            all().filter(fulltext(agent(), ["mozilla"])),
            20,
            1,
        ),
        of(
            "fulltext, no such word",
            all().filter(fulltext(agent(), ["netscape"])),
            20,
            1,
        ),
        of(
            "phrase, two rare words",
            all().filter(phrase(
                attr_at("span", "feature.flag"),
                ["beta", "checkout"],
            )),
            20,
            1,
        ),
        of(
            "phrase, two common words",
            all().filter(phrase(agent(), ["linux", "x86"])),
            20,
            1,
        ),
    ]
}

/// Returns the number of spans of the page, and the times of asking for it.
async fn ask(target: &Target, timed: &Timed, repeat: usize) -> Result<(usize, Vec<Duration>)> {
    let mut token = String::new();
    for _ in 1..timed.page {
        token = page(target, timed, &token).await?.1;
    }
    let mut times = Vec::new();
    let mut found = page(target, timed, &token).await?.0;
    for _ in 0..repeat {
        let started = Instant::now();
        found = page(target, timed, &token).await?.0;
        times.push(started.elapsed());
    }
    Ok((found, times))
}

async fn page(target: &Target, timed: &Timed, token: &str) -> Result<(usize, String)> {
    let search = timed.search.clone().page(timed.size, token);
    let request = proto::FindSpansRequest {
        query: Some(search.0),
    };
    let messages = target
        .call(FIND_SPANS, request.encode_to_vec().into())
        .await?;
    let mut found = 0;
    let mut next = String::new();
    for message in messages {
        let message = proto::FindSpansResponse::decode(message)?;
        let data = TracesData::decode(message.spans.unwrap_or_default().0)?;
        found += spans_of(&data.resource_spans).count();
        next = message.next_page_token;
    }
    Ok((found, next))
}

/// Asks for traces page by page. Returns their number, and the time of each page.
async fn walk(
    target: &Target,
    corpus: &Corpus,
    question: fn(Query) -> Question,
) -> Result<(usize, Vec<Duration>)> {
    let mut token = String::new();
    let mut times = Vec::new();
    let mut found = 0;
    while found < 10_000 {
        let question = question(within(corpus, 0).page(500, &token));
        let started = Instant::now();
        let messages = target.call(question.method(), question.request()).await?;
        times.push(started.elapsed());
        for message in messages {
            if let Question::Ids(_) = question {
                let message = proto::FindTraceIDsResponse::decode(message)?;
                found += message.trace_ids.len();
                token = message.next_page_token;
            } else {
                let message = proto::FindTraceSummariesResponse::decode(message)?;
                found += message.summaries.len();
                token = message.next_page_token;
            }
        }
        if token.is_empty() {
            break;
        }
    }
    Ok((found, times))
}
