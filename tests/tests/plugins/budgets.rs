//! Queries that reach a limit: never a short answer without an error, and the error names the setting to raise. Also clients that
//! disconnect.

use larder_proto::storage::v2::FindTracesRequest;
use larder_tests::filter::{attr, regex};
use larder_tests::otlp::{service, span};
use larder_tests::status::{error_info, retry_info};
use larder_tests::{
    Client, Larder, Options, Plugin, Query, arm, disarm, eventually, http, method, timestamp,
};
use prost::Message as _;
use tonic::{Code, Status};

use crate::attack::store_two;

async fn fill(client: &Client) {
    let spans = (1..=500_u16).map(|number| {
        let mut id = [1; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let one = span(id, 1)
            .at(u64::from(number))
            .name(&format!("operation number {number:0150}"));
        one.attribute("filler", "x".repeat(400))
    });
    client.store([service("a").spans(spans)]).await;
}

fn assert_names(refused: &Status, reason: &str, setting: &str) {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains(setting), "{refused:?}");
    let info = error_info(refused).expect("an ErrorInfo");
    assert_eq!(info.reason, reason, "{refused:?}");
    assert_eq!(
        info.metadata.get("setting").map(String::as_str),
        Some(setting),
        "{refused:?}"
    );
    assert_eq!(retry_info(refused), None, "the same query never works");
}

#[tokio::test]
async fn a_query_that_judges_too_many_spans_says_which_setting_to_raise() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_QUERY_JUDGED_SPANS", "100")
        .start();
    let client = larder.client().await;
    fill(&client).await;
    let wide = Query::default().service("a").depth(1000);
    let refused = client.find_traces(&wide).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_judged_spans");
    let refused = client.find_trace_ids(&wide).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_judged_spans");
    let refused = client.find_trace_summaries(&wide).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_judged_spans");
    let narrow = wide.window(1, 20);
    assert_eq!(client.find(&narrow).await.len(), 20);
}

#[tokio::test]
async fn a_query_that_reads_too_many_bytes_says_which_setting_to_raise() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_QUERY_READ_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    fill(&client).await;
    let wide = Query::default().service("a").depth(1000);
    let refused = client.find_traces(&wide).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_read_bytes");
    assert_eq!(client.find(&wide.window(1, 20)).await.len(), 20);
}

#[tokio::test]
async fn a_query_that_takes_too_long_says_which_setting_to_raise() {
    let larder = Options::new(Plugin::HostileExclusive)
        .environment("LARDER_LIMITS_QUERY_TIMEOUT", "300ms")
        .start();
    let client = larder.client().await;
    store_two(&client).await;
    arm(&client, "endless empty pages at find").await;
    let query = Query::default().service("fine");
    let refused = client.find_traces(&query).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_timeout");
    disarm(&client).await;
    assert_eq!(client.find(&query).await.len(), 2);
}

/// Each `find` takes longer than a search may, and not longer than dependencies may once they have a time of their own.
#[tokio::test]
async fn dependencies_that_take_too_long_say_which_setting_to_raise() {
    let lingering = async |options: Options| {
        let larder = options.start();
        let client = larder.client().await;
        store_two(&client).await;
        arm(&client, "linger at find").await;
        (larder, client)
    };
    let short = || {
        Options::new(Plugin::HostileExclusive).environment("LARDER_LIMITS_QUERY_TIMEOUT", "300ms")
    };
    let start = || Some(timestamp(1));
    let (_larder, client) = lingering(short()).await;
    let refused = client.dependencies(start(), None).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.dependencies_timeout");

    let (variable, much) = ("LARDER_LIMITS_DEPENDENCIES_TIMEOUT", "1h");
    let (_larder, client) = lingering(short().environment(variable, much)).await;
    let query = Query::default().service("fine");
    let refused = client.find_traces(&query).await.unwrap_err();
    assert_names(&refused, "QUERY_BUDGET", "limits.query_timeout");
    assert_eq!(client.dependencies(start(), None).await.unwrap(), []);
}

/// A list of operations cannot be split, so it is cut.
#[tokio::test]
async fn an_answer_that_fits_no_message_is_split_or_cut() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    fill(&client).await;
    let operations = client.operations("a", "").await.unwrap();
    assert!((300..500).contains(&operations.len()));
    // Answers that can be split are split into smaller parts.
    let found = client
        .find_traces(&Query::default().depth(1000))
        .await
        .unwrap();
    assert_eq!(found.len(), 500);
}

/// A pattern that is costly at every byte, on a value of a megabyte: evaluation ends with the query's timeout, and not later.
#[tokio::test]
async fn a_pattern_that_takes_too_long_ends_with_the_time_of_its_query() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_QUERY_TIMEOUT", "10ms")
        .start();
    let client = larder.client().await;
    let one = span([1; 16], 1).attribute("k", "b".repeat(1 << 20));
    client.store([service("a").span(one)]).await;
    let costly = format!("{}c", "(a?b)".repeat(2000));
    let query = Query::default().filter(regex(attr("k"), costly.as_str()));
    for refused in [
        client.find_traces(&query).await.unwrap_err(),
        client.find_trace_ids(&query).await.unwrap_err(),
        client.find_trace_summaries(&query).await.unwrap_err(),
    ] {
        assert_names(&refused, "QUERY_BUDGET", "limits.query_timeout");
    }
}

/// Counts the cancelled calls of a method.
fn cancelled(larder: &Larder, method: &str) -> u64 {
    let (name, method) = (
        "rpc_server_call_duration_seconds_count",
        format!("{method}\""),
    );
    http::count(&larder.metrics(), name, &[&method, "\"CANCELLED\""])
}

/// When a client disconnects, its query stops, as the metric of cancelled calls shows.
#[tokio::test]
async fn a_query_whose_client_goes_away_is_cancelled() {
    let larder = Options::new(Plugin::HostileExclusive)
        .environment("LARDER_LIMITS_QUERY_TIMEOUT", "1h")
        .start();
    let client = larder.client().await;
    store_two(&client).await;
    arm(&client, "endless empty pages at find").await;

    assert_eq!(cancelled(&larder, "FindTraces"), 0);
    eventually("the end of the query", async || {
        let leaving = larder.client().await;
        let endless = tokio::spawn(async move {
            let query = Some(Query::default().service("fine").0);
            let body = FindTracesRequest { query }.encode_to_vec();
            let call = leaving.call();
            call.stream(method::FIND_TRACES, body.into()).await
        });
        // Other calls are served meanwhile. The cancelled call may not even have arrived, so it is repeated if necessary.
        assert_eq!(client.services().await.unwrap(), ["fine"]);
        assert!(!endless.is_finished());
        endless.abort();
        (cancelled(&larder, "FindTraces") > 0).then_some(())
    })
    .await;
}

/// When a client disconnects, its write continues.
#[tokio::test]
async fn a_write_whose_client_goes_away_is_stored() {
    let larder = Options::new(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    arm(&client, "linger at write").await;
    let leaving = larder.client().await;
    let write = tokio::spawn(async move { store_two(&leaving).await });
    larder.wait_for_line("about to linger at write").await;
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    eventually("the end of the call", async || {
        (cancelled(&larder, "Export") == 1).then_some(())
    })
    .await;

    let query = Query::default().service("fine");
    eventually("what was written", async || {
        let found = client.find_traces(&query).await.unwrap();
        (found.len() == 2).then_some(())
    })
    .await;
}
