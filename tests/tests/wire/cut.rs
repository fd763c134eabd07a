//! Lists that fit no message, and searches for more traces than the limit: as much as fits, and a sign that it is not all.

use larder_proto::storage::v2::{
    FindTraceIDsRequest, FindTraceIDsResponse, FindTracesRequest, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetServicesResponse,
};
use larder_tests::http::count;
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, method, patiently, with_plugins};
use prost::Message;
use tonic::metadata::MetadataMap;

/// The trailer of an answer that is cut.
const CUT: &str = "larder-cut";

/// Asks, and returns the answer with its metadata, trailers included.
async fn ask<A: Message + Default>(
    client: &Client,
    method: &'static str,
    question: &impl Message,
) -> (A, MetadataMap) {
    let body = question.encode_to_vec().into();
    let answer = client.call().unary(method, body).await.unwrap();
    let metadata = answer.metadata().clone();
    (A::decode(answer.into_inner()).unwrap(), metadata)
}

fn cut(metadata: &MetadataMap) -> Option<String> {
    let text = metadata.get(CUT)?;
    Some(text.to_str().unwrap().to_owned())
}

async fn assert_told(larder: &Larder, list: &str) {
    let label = format!("list=\"{list}\"");
    let counted = count(
        &larder.metrics(),
        "larder_query_cut_answers_total",
        &[&label],
    );
    assert_ne!(counted, 0, "{list}");
    larder.wait_for_line("answers were cut").await;
}

fn trace(number: u32) -> [u8; 16] {
    (u128::from(number) + 1).to_be_bytes()
}

/// A hundred thousand names of fifty bytes. In answer as many as a message holds, those that were written last among them.
async fn operations_that_fit_no_message_are_cut(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    let name = |number: u32| format!("GET /a/resource/with/a/number/in/its/path/{number:08}");
    for first in (0..100_000).step_by(5000) {
        let spans = (first..first + 5000).map(|number| {
            let one = span(trace(number), 1).at(1000);
            one.name(&name(number))
        });
        client.store([service("wide").spans(spans)]).await;
    }
    let question = GetOperationsRequest {
        service: "wide".to_owned(),
        span_kind: String::new(),
    };
    let (answer, metadata): (GetOperationsResponse, _) =
        ask(&client, method::GET_OPERATIONS, &question).await;
    let names: Vec<String> = answer.operations.into_iter().map(|it| it.name).collect();
    assert!(names.len() > 60_000, "{}", names.len());
    assert!(names.is_sorted());
    for newer in (40_000..100_000).map(name) {
        assert!(names.binary_search(&newer).is_ok(), "{newer} is left out");
    }
    let left_out = 100_000 - names.len();
    let wanted = format!("list=operations; left-out={left_out}; setting=grpc.max_message_bytes");
    assert_eq!(cut(&metadata), Some(wanted));
    assert_told(&larder, "operations").await;
}

async fn services_that_fit_no_message_are_cut(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    let name = |number: u32| format!("{number}{}", "s".repeat(1_000_000));
    for number in 1..=6 {
        let one = span(trace(number), 1).at(1000);
        client.store([service(name(number)).span(one)]).await;
    }
    let (answer, metadata): (GetServicesResponse, _) =
        ask(&client, method::GET_SERVICES, &GetServicesRequest {}).await;
    let first: Vec<&str> = answer.services.iter().map(|name| &name[..1]).collect();
    assert_eq!(first, ["3", "4", "5", "6"]);
    let wanted = "list=services; left-out=2; setting=grpc.max_message_bytes";
    assert_eq!(cut(&metadata).as_deref(), Some(wanted));
    assert_told(&larder, "services").await;
}

with_plugins!(operations_that_fit_no_message_are_cut: kv = Kv, memory = Memory);
with_plugins!(services_that_fit_no_message_are_cut: kv = Kv, memory = Memory);

async fn fill(client: &Client, traces: u32) {
    for first in (0..traces).step_by(5000) {
        let spans = (first..first + 5000).map(|number| {
            let at = 1000 + u64::from(number);
            span(trace(number), 1).at(at)
        });
        client.store([service("deep").spans(spans)]).await;
    }
}

/// The ids that a search finds with its metadata, and the number of whole traces with the trailers.
async fn search(client: &Client, depth: i32) -> ((usize, MetadataMap), (usize, MetadataMap)) {
    let query = Some(Query::default().service("deep").depth(depth).0);
    let question = FindTraceIDsRequest {
        query: query.clone(),
    };
    let (ids, metadata): (FindTraceIDsResponse, _) =
        ask(client, method::FIND_TRACE_IDS, &question).await;
    let body = FindTracesRequest { query }.encode_to_vec().into();
    let traces = client.call().open(method::FIND_TRACES, body).await;
    let mut traces = traces.unwrap().into_inner();
    let mut found = 0;
    while patiently("a trace", traces.message())
        .await
        .unwrap()
        .is_some()
    {
        found += 1;
    }
    let trailers = traces.trailers().await.unwrap().unwrap_or_default();
    ((ids.trace_ids.len(), metadata), (found, trailers))
}

#[tokio::test]
async fn a_search_for_twenty_thousand_traces_finds_them_all() {
    let larder = Options::new(Plugin::Kv).start();
    let client = larder.client().await;
    fill(&client, 20_000).await;
    for (found, metadata) in <[_; 2]>::from(search(&client, 20_000).await) {
        assert_eq!(found, 20_000);
        assert_eq!(cut(&metadata), None);
    }
}

#[tokio::test]
async fn a_search_beyond_the_limit_of_traces_says_that_it_is_cut() {
    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_LIMITS_MAX_SEARCH_DEPTH", "1000")
        .start();
    let client = larder.client().await;
    fill(&client, 5000).await;
    for (found, metadata) in <[_; 2]>::from(search(&client, 2000).await) {
        assert_eq!(found, 1000);
        let wanted = "list=search_depth; setting=limits.max_search_depth";
        assert_eq!(cut(&metadata).as_deref(), Some(wanted));
    }
    for (found, metadata) in <[_; 2]>::from(search(&client, 1000).await) {
        assert_eq!(
            (found, cut(&metadata)),
            (1000, None),
            "as many as were asked for"
        );
    }
    assert_told(&larder, "search_depth").await;
}

/// More ids than a message holds: the newest that fit.
#[tokio::test]
async fn ids_that_fit_no_message_are_cut() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    fill(&client, 5000).await;
    let ((ids, metadata), (traces, _)) = search(&client, 5000).await;
    assert!((1000..5000).contains(&ids), "{ids}");
    assert_eq!(traces, 5000, "each in a message of its own");
    let wanted = "list=trace_ids; setting=grpc.max_message_bytes";
    assert_eq!(cut(&metadata).as_deref(), Some(wanted));
    assert_told(&larder, "trace_ids").await;
}
