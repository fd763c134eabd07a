//! Answers that are too large, or that break a rule of the contract, in each function that has them.

use larder_tests::{Larder, http};
use tonic::Code;

use crate::cells::Cell;
use crate::cells::Outcome::{Breaks, Counts, Dies, Ends, Serves};
use crate::siege::{Siege, options};

async fn hold(cells: &[Cell]) -> Larder {
    let siege = Siege::begin(options()).await;
    siege.of_giants().hold(cells.iter().copied()).await
}

#[tokio::test]
async fn lies_of_find_are_caught() {
    hold(&[
        ("a long list", "find", Breaks("find.limit")),
        ("a giant list", "find", Dies("trap", "fuel")),
        ("a giant resume", "find", Breaks("resume.size")),
        ("a rising floor", "find", Breaks("pages")),
        ("above the floor", "find", Breaks("pages")),
        ("the same resume", "find", Breaks("resume.progress")),
        ("giant error", "find", Ends(Code::Internal)),
    ])
    .await;
}

/// Each page differs from the one before it: only the time of the query ends them.
#[tokio::test]
async fn endless_pages_end_with_the_query() {
    let options = options().environment("LARDER_LIMITS_QUERY_TIMEOUT", "5s");
    let siege = Siege::begin(options).await;
    let cells = ["endless empty pages", "resumes in a circle"];
    let cells = cells.map(|lie| (lie, "find", Ends(Code::ResourceExhausted)));
    siege.hold(cells).await;
}

#[tokio::test]
async fn lies_of_read_are_caught() {
    hold(&[
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
        ("giant error", "read", Ends(Code::Internal)),
    ])
    .await;
}

#[tokio::test]
async fn lies_of_services_and_operations_are_caught() {
    hold(&[
        ("a long list", "services", Ends(Code::ResourceExhausted)),
        ("a giant list", "services", Dies("trap", "fuel")),
        ("a long string", "services", Ends(Code::ResourceExhausted)),
        ("a giant string", "services", Dies("trap", "fuel")),
        ("twice", "services", Breaks("services.unique")),
        ("nameless", "services", Breaks("services.empty")),
        ("giant error", "services", Ends(Code::Internal)),
        ("a long list", "operations", Ends(Code::ResourceExhausted)),
        ("a giant list", "operations", Dies("trap", "fuel")),
        ("a long string", "operations", Ends(Code::ResourceExhausted)),
        ("a giant string", "operations", Dies("trap", "fuel")),
        ("twice", "operations", Breaks("operations.unique")),
        ("unasked", "operations", Breaks("operations.service")),
        ("giant error", "operations", Ends(Code::Internal)),
    ])
    .await;
}

/// A giant text is cut before it reaches a header, a log line or `/plugin`.
#[tokio::test]
async fn lies_of_writes_and_upkeep_harm_nobody() {
    let larder = hold(&[
        ("giant error", "write", Ends(Code::Unavailable)),
        ("giant error", "maintain", Serves("no, no, ", 1)),
        ("giant error", "open", Dies("open", "no, no, ")),
        ("giant error", "open-reader", Dies("open", "no, no, ")),
        ("more and more", "maintain", Serves("about to more", 3)),
        ("absurd numbers", "statistics", Counts(u64::MAX)),
    ])
    .await;
    let longest = larder.lines().iter().map(String::len).max();
    assert!(longest < Some(64 << 10), "a line of {longest:?} bytes");
    let metrics = larder.metrics();
    let spans = http::samples(&metrics, "larder_storage_spans");
    assert_eq!(spans.len(), 1, "{metrics}");
}
