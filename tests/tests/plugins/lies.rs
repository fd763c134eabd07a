//! Oversized answers, answers that break a rule of the contract, and errors, from each function that returns them.

use larder_tests::{Client, Larder, Options, Plugin, Query, arm, disarm, eventually, http};
use tonic::Code;

use crate::attack::Outcome::{Breaks, Counts, Cuts, Delays, Dies, Ends, Serves};
use crate::attack::{Case, store_two};
use crate::attacked::{Attacked, options};

async fn run(plugin: Plugin, cases: &[Case]) -> Larder {
    let server = Attacked::begin(options(plugin)).await;
    server.of_giants().run(cases.iter().copied()).await
}

/// The rules and their consequences are the same for both ways of instancing.
async fn run_both(cases: &[Case]) {
    for plugin in [Plugin::Hostile, Plugin::HostileExclusive] {
        run(plugin, cases).await;
    }
}

#[tokio::test]
async fn lies_of_find_are_caught() {
    run_both(&[
        ("a long list", "find", Breaks("find.limit")),
        ("a giant list", "find", Dies("trap", "fuel")),
        ("a giant resume", "find", Breaks("resume.size")),
        ("a rising floor", "find", Breaks("pages")),
        ("above the floor", "find", Breaks("pages")),
        ("too early", "find", Breaks("pages")),
        ("the same resume", "find", Breaks("resume.progress")),
    ])
    .await;
}

/// Each page differs from the one before, so only the query's timeout ends them.
#[tokio::test]
async fn endless_pages_end_with_the_query() {
    let options = options(Plugin::Hostile).environment("LARDER_LIMITS_QUERY_TIMEOUT", "5s");
    let server = Attacked::begin(options).await;
    let cases = ["endless empty pages", "resumes in a circle"];
    let cases = cases.map(|lie| (lie, "find", Ends(Code::ResourceExhausted)));
    server.run(cases).await;
}

#[tokio::test]
async fn lies_of_read_are_caught() {
    run_both(&[
        ("a giant list", "read", Dies("trap", "fuel")),
        ("a giant string", "read", Dies("trap", "fuel")),
        ("unasked traces", "read", Breaks("read.wanted")),
        ("wrong order", "read", Breaks("read.order")),
        ("twice", "read", Breaks("read.twice")),
        ("no bytes", "read", Breaks("read.empty")),
        ("endless empty pages", "read", Breaks("read.progress")),
        ("the same resume", "read", Breaks("resume.progress")),
        ("a giant resume", "read", Breaks("resume.size")),
        ("undecodable bytes", "read", Ends(Code::DataLoss)),
        ("another trace's bytes", "read", Breaks("pages")),
    ])
    .await;
}

/// The contract sets no limit to names and their number. Those that fit no message are left out, and the others are answered.
#[tokio::test]
async fn lies_of_services_and_operations_are_caught() {
    run_both(&[
        ("a long list", "services", Cuts("services")),
        ("a giant list", "services", Dies("trap", "fuel")),
        ("a long string", "services", Cuts("services")),
        ("a giant string", "services", Dies("trap", "fuel")),
        ("twice", "services", Breaks("services.unique")),
        ("nameless", "services", Breaks("services.empty")),
        ("a long list", "operations", Cuts("operations")),
        ("a giant list", "operations", Dies("trap", "fuel")),
        ("a long string", "operations", Cuts("operations")),
        ("a giant string", "operations", Dies("trap", "fuel")),
        ("twice", "operations", Breaks("operations.unique")),
        ("unasked", "operations", Breaks("operations.service")),
    ])
    .await;
}

/// Errors of the contract keep their meaning. If a client cannot help it, its spans wait.
#[tokio::test]
async fn an_error_that_a_guest_raises_keeps_its_meaning() {
    run_both(&[
        ("raise invalid-argument", "write", Ends(Code::Unavailable)),
        ("raise other", "write", Ends(Code::Unavailable)),
        ("raise unavailable", "write", Ends(Code::Unavailable)),
        ("raise resource-exhausted", "write", Delays),
        ("raise resource-exhausted", "find", Delays),
        ("raise unavailable", "find", Ends(Code::Unavailable)),
        ("raise data-loss", "find", Ends(Code::DataLoss)),
        ("raise other", "find", Ends(Code::Internal)),
        ("raise data-loss", "read", Ends(Code::DataLoss)),
    ])
    .await;
}

/// The error of a refresh is that of the query.
#[tokio::test]
async fn an_error_of_a_refresh_keeps_its_meaning() {
    run(
        Plugin::Hostile,
        &[
            ("raise resource-exhausted", "refresh", Delays),
            ("raise unavailable", "refresh", Ends(Code::Unavailable)),
            ("raise data-loss", "refresh", Ends(Code::DataLoss)),
            ("raise other", "refresh", Ends(Code::Internal)),
        ],
    )
    .await;
}

/// A giant text is cut before it reaches a header, a log line or `/plugin`.
#[tokio::test]
async fn giant_errors_and_absurd_numbers_do_no_harm() {
    let larder = run(
        Plugin::Hostile,
        &[
            ("giant error", "refresh", Ends(Code::Internal)),
            ("giant error", "find", Ends(Code::Internal)),
            ("giant error", "read", Ends(Code::Internal)),
            ("giant error", "services", Ends(Code::Internal)),
            ("giant error", "operations", Ends(Code::Internal)),
            ("giant error", "write", Ends(Code::Unavailable)),
            ("giant error", "maintain", Serves("no, no, ", 1)),
            ("giant error", "open", Dies("open", "no, no, ")),
            ("giant error", "open-reader", Dies("open", "no, no, ")),
            ("more and more", "maintain", Serves("about to more", 3)),
            ("absurd numbers", "statistics", Counts(u64::MAX)),
        ],
    )
    .await;
    let longest = larder.lines().iter().map(String::len).max();
    assert!(longest < Some(64 << 10), "a line of {longest:?} bytes");
    let metrics = larder.metrics();
    let spans = http::samples(&metrics, "larder_storage_spans");
    assert_eq!(spans.len(), 1, "{metrics}");
}

/// Starts a server without tenants, whose guest has two traces and lies.
async fn lying(attack: &str) -> (Larder, Client, Query) {
    let larder = Options::new(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    store_two(&client).await;
    arm(&client, attack).await;
    (larder, client, Query::default().service("fine"))
}

#[tokio::test]
async fn bytes_that_are_no_digest_are_a_data_loss() {
    let (larder, client, query) = lying("undecodable bytes at read").await;
    let refused = client.find_traces(&query).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused:?}");
    let (name, labels) = (
        "rpc_server_call_duration_seconds_count",
        ["FindTraces\"", "\"DATA_LOSS\""],
    );
    assert_eq!(http::count(&larder.metrics(), name, &labels), 1);
    disarm(&client).await;
    assert_eq!(client.find(&query).await.len(), 2);
    assert_eq!(larder.get("/plugin").json()["restarts"], 0);
}

#[tokio::test]
async fn a_guest_that_keeps_lying_is_replaced() {
    let (larder, client, query) = lying("a rising floor at find").await;
    eventually("a replacement", async || {
        let refused = client.find_traces(&query).await.unwrap_err();
        let codes = [Code::Internal, Code::Unavailable];
        assert!(codes.contains(&refused.code()), "{refused:?}");
        (larder.get("/plugin").json()["restarts"] == 1).then_some(())
    })
    .await;
    eventually("the next instance", async || {
        let fine = larder_tests::otlp::service("disarm");
        let one = larder_tests::otlp::span([9; 16], 2).at(5);
        client.export([fine.span(one)]).await.ok()
    })
    .await;
    assert_eq!(client.find(&query).await.len(), 2);
}

/// Nothing else shows that a search misses something.
#[tokio::test]
async fn a_fragment_that_is_sighted_and_not_read_back_is_told() {
    let options = Options::new(Plugin::Mistaken);
    let larder = options.setting("mistake", "read leaves one out").start();
    let client = larder.client().await;
    store_two(&client).await;
    let query = Query::default().service("fine");
    assert_eq!(client.find(&query).await.len(), 1);
    let (name, labels) = (
        "larder_plugin_contract_breaches_total",
        ["rule=\"find.handle\""],
    );
    eventually("the rule", async || {
        (http::count(&larder.metrics(), name, &labels) > 0).then_some(())
    })
    .await;
    let told = larder.line("does not read back");
    assert!(told.contains("misses 1 fragments"), "{told}");
    assert_eq!(larder.get("/plugin").json()["restarts"], 0);
}
