//! Asks a running storage the questions that once got a wrong answer, and prints a table: row, answer, and whether it is the right one.
//!
//! `cargo run --release -p larder-tests --example faults -- larder=127.0.0.1:17271 jaeger=127.0.0.1:27271`
//!
//! Each row is what a client of Jaeger's storage API may send; any storage that serves it can play. The storages have to be empty, and
//! their limits the defaults. The first one is to be right in every row, or the exit code is 1; the others are shown beside it.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a row that cannot go on says so by a panic, which is shown as its answer"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use larder_tests::otlp::{
    ResourceBuilder, SpanBuilder, array, map, request, resource, service, span,
};
use larder_tests::{Client, Query, timestamp};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tonic::{Code, Status};

const SECOND: u64 = 1_000_000_000;

/// An answer in words, and whether it is right.
type Answer = (String, bool);
type Row = (
    &'static str,
    &'static str,
    fn(Client) -> Pin<Box<dyn Future<Output = Answer> + Send>>,
);

macro_rules! rows {
    ($($id:literal $what:literal $function:ident),* $(,)?) => {
        const ROWS: &[Row] = &[$(($id, $what, |client| Box::pin($function(client)))),*];
    };
}

rows! {
    "F4" "200 searches started and cancelled beside a read and a write, 20 times" cancelled_calls,
    "F5" "an attribute of 5,000,000 bytes beside a normal span" large_value,
    "F6" "200 FindTraces at once" many_searches,
    "F7" "100,000 operation names of 50 bytes" many_operations,
    "F7s" "six services with names of 1 MB" long_services,
    "F8" "20,000 traces of one span, search_depth 20,000" many_traces,
    "F15" "GetServices of Jaeger's v1 API" old_api,
    "F20" "a parent of 3 bytes beside a good span" wrong_parent,
    "F21" "a value nested 32 deep" deep_value,
    "F22" "spans in field 1000, as before OTLP 0.15" old_field,
    "M1" "a trace written twice" copies,
    "M2" "client and server span with one id (Zipkin)" shared_ids,
    "M3" "a call inside one service" own_calls,
    "M4" "a span that ends before it starts" backwards,
    "M5" "no service.name, an invalid name, an empty name" names,
}

#[tokio::main]
async fn main() -> ExitCode {
    let targets: Vec<(String, SocketAddr)> = std::env::args()
        .skip(1)
        .map(|argument| {
            let (name, address) = argument.split_once('=').expect("NAME=ADDRESS");
            (name.to_owned(), address.parse().expect("an address"))
        })
        .collect();
    assert!(!targets.is_empty(), "usage: faults NAME=ADDRESS ...");
    // A panic is shown as the answer.
    std::panic::set_hook(Box::new(|_| ()));
    let mut all_right = true;
    for (id, what, ask) in ROWS {
        println!("{id}: {what}");
        for (place, (name, address)) in targets.iter().enumerate() {
            let begun = Instant::now();
            let address = *address;
            let answered = tokio::spawn(async move { ask(Client::connect(address).await).await });
            let (answer, right) = answered.await.unwrap_or_else(|error| {
                let text: String = error.to_string().chars().take(160).collect();
                (format!("no answer: {text}"), false)
            });
            all_right &= right || place > 0;
            let mark = if right { "right" } else { "WRONG" };
            println!(
                "  {name:<8} {mark}  {answer} ({:.2} s)",
                begun.elapsed().as_secs_f64()
            );
        }
    }
    if all_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Ten minutes ago, in nanoseconds.
fn t() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap() - 600 * SECOND
}

fn id(row: u8, number: u64) -> [u8; 16] {
    let mut id = [row; 16];
    id[8..].copy_from_slice(&(number + 1).to_be_bytes());
    id
}

fn a_span(row: u8, number: u64, span_number: u64) -> SpanBuilder {
    span(id(row, number), span_number).at(t()).lasting(SECOND)
}

fn of(name: &str) -> Query {
    // Jaeger's own stores refuse a search without a depth.
    Query::default()
        .service(name)
        .depth(100)
        .not_before(t() - 3600 * SECOND)
}

fn told<T>(result: Result<T, Status>, ok: impl FnOnce(T) -> String) -> String {
    result.map_or_else(
        |status| {
            let text: String = status.message().chars().take(60).collect();
            format!("{:?} `{text}`", status.code())
        },
        ok,
    )
}

async fn store(client: &Client, resources: impl IntoIterator<Item = ResourceBuilder>) -> String {
    told(client.export(resources).await, |answer| {
        match answer.partial_success.unwrap_or_default().rejected_spans {
            0 => "accepted".to_owned(),
            rejected => format!("{rejected} rejected"),
        }
    })
}

async fn cancelled_calls(client: Client) -> Answer {
    store(
        &client,
        [service("f4").spans((1..1000).map(|it| a_span(4, it, 1)))],
    )
    .await;
    let (mut good, mut bad) = (0, 0);
    for round in 0..20 {
        let query = of("f4").depth(1000);
        let find = tokio::spawn({
            let (client, query) = (client.clone(), query.clone());
            async move { client.find_traces(&query).await.map(|found| found.len()) }
        });
        let write = tokio::spawn({
            let client = client.clone();
            let spans = (0..20_000).map(move |it| a_span(5, round * 20_000 + it, 1));
            async move { client.export([service("f4w").spans(spans)]).await }
        });
        for _ in 0..200 {
            let (client, query) = (client.clone(), query.clone());
            let call = tokio::spawn(async move { drop(client.find_trace_ids(&query).await) });
            tokio::task::yield_now().await;
            call.abort();
        }
        for is_ok in [find.await.unwrap().is_ok(), write.await.unwrap().is_ok()] {
            *(if is_ok { &mut good } else { &mut bad }) += 1;
        }
    }
    (format!("{good} of {} OK", good + bad), bad == 0)
}

async fn large_value(client: Client) -> Answer {
    let large = a_span(6, 1, 1).attribute("large", "x".repeat(5_000_000));
    let normal = a_span(6, 2, 1);
    let stored = store(&client, [service("f5").span(large).span(normal)]).await;
    let found = client.find_trace_ids(&of("f5")).await;
    let ids = found.as_ref().map_or(0, Vec::len);
    let read = client.get_traces([id(6, 1)]).await;
    let is_read = read.as_ref().is_ok_and(|traces| traces.len() == 1);
    let read = told(read, |traces| format!("{} trace", traces.len()));
    (
        format!("{stored}; {ids} of 2 found; read: {read}"),
        stored == "accepted" && ids == 2 && is_read,
    )
}

async fn many_searches(client: Client) -> Answer {
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.find_traces(&of("f4").depth(200)).await.is_ok() })
        })
        .collect();
    let mut good = 0;
    for call in calls {
        good += usize::from(call.await.unwrap());
    }
    (format!("{good} of 200 answered"), good == 200)
}

async fn many_operations(client: Client) -> Answer {
    for part in 0..20 {
        let spans = (0..5000).map(|it| {
            let number = part * 5000 + it;
            a_span(7, number, 1).name(&format!("operation {number:040}"))
        });
        store(&client, [service("f7").spans(spans)]).await;
    }
    let found = client.operations("f7", "").await;
    let count = found.as_ref().map_or(0, Vec::len);
    (
        told(found, |found| format!("{} names", found.len())),
        count > 40_000,
    )
}

async fn long_services(client: Client) -> Answer {
    for number in 0..6_u64 {
        let name = format!("{number}{}", "s".repeat(1_000_000));
        store(&client, [service(name.as_str()).span(a_span(8, number, 1))]).await;
    }
    let found = client.services().await;
    let count = found.as_ref().map_or(0, Vec::len);
    (
        told(found, |found| format!("{} names", found.len())),
        count >= 3,
    )
}

async fn many_traces(client: Client) -> Answer {
    for part in 0..4 {
        let spans = (0..5000).map(|it| a_span(9, part * 5000 + it, 1));
        store(&client, [service("f8").spans(spans)]).await;
    }
    let found = client.find_trace_ids(&of("f8").depth(20_000)).await;
    let count = found.as_ref().map_or(0, Vec::len);
    (
        told(found, |found| format!("{} traces", found.len())),
        count == 20_000,
    )
}

async fn old_api(client: Client) -> Answer {
    const OLD: &str = "/jaeger.storage.v1.SpanReaderPlugin/GetServices";
    let answer = client.call().unary(OLD, Vec::new().into()).await;
    let right = answer.as_ref().is_err_and(|status| {
        status.code() == Code::Unimplemented && status.message().contains("v2")
    });
    (told(answer.map(drop), |()| "OK".to_owned()), right)
}

async fn wrong_parent(client: Client) -> Answer {
    let mut bad = a_span(10, 1, 1);
    bad.0.parent_span_id = vec![1, 2, 3];
    let stored = store(&client, [service("f20").span(bad).span(a_span(10, 2, 1))]).await;
    let found = client.find_traces(&of("f20")).await;
    let readable = found.as_ref().is_ok_and(|found| {
        let spans = found.iter().flat_map(|trace| trace.spans());
        let lengths: Vec<usize> = spans.map(|span| span.parent_span_id.len()).collect();
        !lengths.is_empty() && lengths.iter().all(|length| matches!(length, 0 | 8))
    });
    let found = told(found, |found| format!("{} traces", found.len()));
    let readable_told = if readable { "readable" } else { "not readable" };
    (
        format!("{stored}; {found}, {readable_told} by Jaeger"),
        readable,
    )
}

async fn deep_value(client: Client) -> Answer {
    let value = (0..32).fold(array([]), |inner, _| map([("k", inner)]));
    let deep = a_span(11, 1, 1).attribute("deep", value);
    let stored = store(&client, [service("f21").span(deep).span(a_span(11, 2, 1))]).await;
    let found = client
        .find_trace_ids(&of("f21"))
        .await
        .map_or(0, |it| it.len());
    (
        format!("{stored}; {found} of 2 found"),
        stored == "accepted" && found == 2,
    )
}

async fn old_field(client: Client) -> Answer {
    let new = request([service("f22").span(a_span(12, 1, 1)).span(a_span(12, 2, 1))]);
    let resource_spans = new.resource_spans[0].clone();
    // Field 1, the resource, as it is; field 2, the scopes, under the number 1000.
    let mut old = resource_spans.clone();
    old.scope_spans.clear();
    let mut body = old.encode_to_vec();
    for scope in &resource_spans.scope_spans {
        let scope = scope.encode_to_vec();
        prost::encoding::encode_key(1000, prost::encoding::WireType::LengthDelimited, &mut body);
        prost::encoding::encode_varint(scope.len() as u64, &mut body);
        body.extend(scope);
    }
    let mut export = Vec::new();
    prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut export);
    prost::encoding::encode_varint(body.len() as u64, &mut export);
    export.extend(body);
    let answer = client.export_bytes(export).await;
    let stored = told(answer, |_| "OK".to_owned());
    let found = client
        .find_trace_ids(&of("f22"))
        .await
        .map_or(0, |it| it.len());
    (format!("{stored}; {found} of 2 found"), found == 2)
}

async fn copies(client: Client) -> Answer {
    let write = || {
        [
            service("m1-a").span(a_fixed(13, 1, 1).status(StatusCode::Error)),
            service("m1-b").span(a_fixed(13, 1, 2).parent(1)),
        ]
    };
    store(&client, write()).await;
    store(&client, write()).await;
    let summary = client.find_trace_summaries(&of("m1-a")).await;
    let summary = told(summary, |found| {
        let first = &found[0];
        format!(
            "{} spans, {} errors",
            first.span_count, first.error_span_count
        )
    });
    let calls = calls(&client, "m1-").await;
    let right = summary == "2 spans, 1 errors" && calls == "m1-a→m1-b 1";
    (format!("{summary}; {calls}"), right)
}

/// A span whose bytes are the same each time.
fn a_fixed(row: u8, number: u64, span_number: u64) -> SpanBuilder {
    let hour = 3600 * SECOND;
    span(id(row, number), span_number)
        .at(t() / hour * hour)
        .lasting(SECOND)
}

async fn calls(client: &Client, prefix: &str) -> String {
    let (from, to) = (t() - 7200 * SECOND, t() + 900 * SECOND);
    let found = client
        .dependencies(Some(timestamp(from)), Some(timestamp(to)))
        .await;
    told(found, |found| {
        let mut told: Vec<String> = found
            .iter()
            .filter(|it| it.parent.starts_with(prefix) || it.child.starts_with(prefix))
            .map(|it| format!("{}→{} {}", it.parent, it.child, it.call_count))
            .collect();
        told.sort();
        if told.is_empty() {
            "no calls".to_owned()
        } else {
            told.join(", ")
        }
    })
}

async fn shared_ids(client: Client) -> Answer {
    let a = service("m2-a")
        .span(a_span(14, 1, 1).kind(SpanKind::Server))
        .span(a_span(14, 1, 2).parent(1).kind(SpanKind::Client));
    let b = service("m2-b")
        .span(a_span(14, 1, 2).parent(1).kind(SpanKind::Server))
        .span(a_span(14, 1, 3).parent(2).kind(SpanKind::Internal));
    store(&client, [a, b]).await;
    let calls = calls(&client, "m2-").await;
    (calls.clone(), calls == "m2-a→m2-b 1")
}

async fn own_calls(client: Client) -> Answer {
    let one = service("m3-x")
        .span(a_span(15, 1, 1))
        .span(a_span(15, 1, 2).parent(1));
    store(&client, [one]).await;
    let calls = calls(&client, "m3-").await;
    (calls.clone(), calls == "no calls")
}

async fn backwards(client: Client) -> Answer {
    let mut one = a_span(16, 1, 1);
    one.0.end_time_unix_nano = one.0.start_time_unix_nano - 1000;
    store(&client, [service("m4").span(one)]).await;
    let found = client.find_trace_ids(&of("m4")).await;
    let ordered = found.as_ref().is_ok_and(|found| {
        let nanos = |it: &Option<prost_types::Timestamp>| {
            it.as_ref()
                .map(|it| (it.seconds, it.nanos))
                .unwrap_or_default()
        };
        !found.is_empty() && found.iter().all(|it| nanos(&it.start) <= nanos(&it.end))
    });
    let hour = i64::try_from(3600 * SECOND).unwrap();
    let long = client.find_trace_ids(&of("m4").at_least(hour)).await;
    let long = long.map_or(0, |it| it.len());
    let told = if ordered {
        "start ≤ end"
    } else {
        "it ends before it starts"
    };
    (
        format!("{told}; {long} found as an hour long"),
        ordered && long == 0,
    )
}

async fn names(client: Client) -> Answer {
    let nameless = store(&client, [resource().span(a_span(17, 1, 1))]).await;
    let mut body = request([service("m5").span(a_span(17, 2, 1).name("AB??"))]).encode_to_vec();
    let at = body.windows(4).position(|it| it == b"AB??").unwrap();
    body[at + 2..at + 4].copy_from_slice(&[0xff, 0xfe]);
    let invalid = told(client.export_bytes(body).await, |_| "accepted".to_owned());
    store(&client, [service("m5").span(a_span(17, 3, 1).name(""))]).await;
    let services = client.services().await.unwrap_or_default();
    let listed = services.iter().any(|it| it == "missing-service-name");
    let operations = client.operations("m5", "").await.unwrap_or_default();
    let operations: Vec<&str> = operations.iter().map(|it| it.name.as_str()).collect();
    let empty = operations.contains(&"empty-span-name");
    (
        format!(
            "nameless: {nameless}, listed: {listed}; invalid: {invalid}; operations {operations:?}"
        ),
        listed && empty && invalid == "accepted",
    )
}
