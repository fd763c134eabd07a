//! A trace of 50 MB through a server of bounded memory, and requests at the limit.

use larder_proto::storage::v2::{GetTraceParams, GetTracesRequest};
use larder_tests::otlp::{request, service, span};
use larder_tests::{Client, Larder, Options, Plugin, eventually, http, merge, method};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};

const MIB: u64 = 1 << 20;
const ID: [u8; 16] = [5; 16];
const SPANS: u64 = 100_000;

/// Writes the trace in twenty Exports; returns its bytes.
async fn write(client: &Client) -> u64 {
    let mut bytes = 0;
    for part in 0..20 {
        let spans = (0..SPANS / 20).map(|number| {
            let number = part * (SPANS / 20) + number;
            span(ID, number + 1)
                .name("GET /checkout")
                .at(1_000_000 + number)
                .lasting(700)
                .attribute("number", number.cast_signed())
                .attribute("filler", format!("{number:0440}"))
        });
        let body = request([service("large").spans(spans)]).encode_to_vec();
        bytes += body.len() as u64;
        let answer = client.export_bytes(body).await.unwrap();
        assert_eq!(answer.partial_success, None);
    }
    bytes
}

/// Reads it message by message without keeping any; returns the number of spans and of messages.
async fn read(client: &Client) -> (u64, u64) {
    let query = vec![GetTraceParams {
        trace_id: ID.to_vec(),
        ..GetTraceParams::default()
    }];
    let body = GetTracesRequest { query }.encode_to_vec();
    let opened = client.call().open(method::GET_TRACES, body.into()).await;
    let mut stream = opened.unwrap().into_inner();
    let (mut spans, mut messages) = (0, 0);
    while let Some(message) = stream.message().await.unwrap() {
        messages += 1;
        for id in merge(&[message])[0].span_ids() {
            spans += 1;
            assert_eq!(id, spans, "in the order written");
        }
    }
    (spans, messages)
}

/// Returns the growth of the process beyond the guest's linear memory, which the plugin may fill.
fn peak_growth(larder: &Larder, before: u64) -> u64 {
    larder.memory("VmHWM").saturating_sub(before)
}

async fn a_trace_of_100_000_spans_goes_through_in_bounded_memory(plugin: Plugin) {
    // `kv` caches blocks, up to an eighth of this.
    let options = Options::new(plugin).environment("LARDER_LIMITS_MEMORY", "256MiB");
    let larder = options.start();
    let client = larder.client().await;
    let stored = write(&client).await;
    assert!(stored > 45 * MIB, "{stored}");
    let written = larder.memory("VmHWM");

    for _ in 0..2 {
        let (spans, messages) = read(&client).await;
        assert_eq!(spans, SPANS);
        assert!(messages >= stored / (4 * MIB), "{messages} messages");
    }
    let growth = peak_growth(&larder, written);
    assert!(
        growth < stored,
        "{growth} bytes more to read {stored} twice"
    );
}

larder_tests::with_plugins!(a_trace_of_100_000_spans_goes_through_in_bounded_memory: kv = Kv, memory = Memory, minimal = Minimal);

/// If a client reads slowly, or not at all, the server waits instead of buffering.
#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let stored = write(&client).await;
    let written = larder.memory("VmHWM");

    let query = vec![GetTraceParams {
        trace_id: ID.to_vec(),
        ..GetTraceParams::default()
    }];
    let body = GetTracesRequest { query }.encode_to_vec();
    let mut idle = Vec::new();
    for _ in 0..3 {
        let reader = larder.client().await;
        let opened = reader
            .call()
            .open(method::GET_TRACES, body.clone().into())
            .await;
        let mut stream = opened.unwrap().into_inner();
        stream.message().await.unwrap().expect("a first message");
        idle.push((reader, stream));
    }
    // Other clients are served meanwhile.
    assert_eq!(read(&client).await.0, SPANS);
    let growth = peak_growth(&larder, written);
    assert!(
        growth < 2 * stored,
        "{growth} bytes more for readers of {stored} that wait"
    );
    drop(idle);
    assert_eq!(client.services().await.unwrap(), ["large"]);
    let counted = |code: &str| {
        let (name, code) = (
            "rpc_server_call_duration_seconds_count",
            format!("\"{code}\""),
        );
        http::count(&larder.metrics(), name, &["GetTraces\"", &code])
    };
    eventually("the ends of the answers that nobody reads", async || {
        (counted("CANCELLED") == 3).then_some(())
    })
    .await;
    assert_eq!(counted("OK"), 1);
}

/// A request over `grpc.max_request_bytes`, also after decompression, is refused for good, so without `RetryInfo`.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_for_good() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_REQUEST_BYTES", "1MiB")
        .start();
    let client = larder.client().await;
    let of = |filler: usize| {
        let one = span(ID, 1).at(5).attribute("filler", "x".repeat(filler));
        request([service("a").span(one)]).encode_to_vec()
    };
    let too_much = of(1_100_000);
    let call = || client.call();
    for call in [call(), call().send(Gzip), call().send(Zstd)] {
        for method in [method::EXPORT, method::GET_SERVICES] {
            let refused = call.unary(method, too_much.clone().into()).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
            let setting = "grpc.max_request_bytes";
            assert!(refused.message().contains(setting), "{refused:?}");
            assert_eq!(larder_tests::status::retry_info(&refused), None);
        }
    }
    client.export_bytes(of(900_000)).await.unwrap();
    assert_eq!(client.get_trace(ID).await.span_ids(), [1]);
}

/// 60 MB in one request are below the default limit of 64 MiB (W7: batches exceed gRPC's usual 4 MiB).
#[tokio::test]
async fn a_request_of_60_mb_is_taken() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let spans = (1..=76).map(|number| {
        let filler = "f".repeat(800_000);
        span([number; 16], 1)
            .at(number.into())
            .attribute("filler", filler)
    });
    let body = request([service("a").spans(spans)]).encode_to_vec();
    assert!(body.len() > 60_000_000, "{}", body.len());
    assert_eq!(
        client.export_bytes(body).await.unwrap().partial_success,
        None
    );
    assert_eq!(
        client.get_traces([[1; 16], [76; 16]]).await.unwrap().len(),
        2
    );
}
