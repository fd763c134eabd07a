//! Answers that are too large, or that break a rule of the contract, in each function that has them.

use larder_tests::http;
use tonic::Code;

use crate::cells::{Cell, Outcome, Siege, options};

use Outcome::{Breaks, Dies, Ends, Serves};

async fn hold(cells: &[Cell<'_>]) -> Siege {
    let options = options().environment("LARDER_LIMITS_QUERY_TIMEOUT", "5s");
    let mut siege = Siege::begin(options).await;
    siege.hold(cells.iter().copied()).await;
    siege
}

#[tokio::test]
async fn lies_of_find_are_caught() {
    hold(&[
        ("a long list", "find", Breaks("find.limit")),
        ("a giant list", "find", Dies("trap")),
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
    hold(&[
        ("endless empty pages", "find", Ends(Code::ResourceExhausted)),
        ("resumes in a circle", "find", Ends(Code::ResourceExhausted)),
    ])
    .await;
}

#[tokio::test]
async fn lies_of_read_are_caught() {
    hold(&[
        ("a giant list", "read", Dies("trap")),
        ("a giant string", "read", Dies("trap")),
        ("unasked traces", "read", Breaks("read.wanted")),
        ("wrong order", "read", Breaks("read.order")),
        ("twice", "read", Breaks("read.twice")),
        ("no bytes", "read", Breaks("read.empty")),
        ("endless empty pages", "read", Breaks("read.progress")),
        ("the same resume", "read", Breaks("resume.progress")),
        ("a giant resume", "read", Breaks("resume.size")),
    ])
    .await;
    hold(&[
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
        ("a giant list", "services", Dies("trap")),
        ("a long string", "services", Ends(Code::ResourceExhausted)),
        ("a giant string", "services", Dies("trap")),
        ("twice", "services", Breaks("services.unique")),
        ("nameless", "services", Breaks("services.empty")),
        ("giant error", "services", Ends(Code::Internal)),
    ])
    .await;
    hold(&[
        ("a long list", "operations", Ends(Code::ResourceExhausted)),
        ("a giant list", "operations", Dies("trap")),
        ("a long string", "operations", Ends(Code::ResourceExhausted)),
        ("a giant string", "operations", Dies("trap")),
        ("twice", "operations", Breaks("operations.unique")),
        ("unasked", "operations", Breaks("operations.service")),
        ("giant error", "operations", Ends(Code::Internal)),
    ])
    .await;
}

/// A giant text is cut before it reaches a header, a log line or `/plugin`.
#[tokio::test]
async fn lies_of_writes_and_upkeep_harm_nobody() {
    let siege = hold(&[
        ("giant error", "write", Ends(Code::Unavailable)),
        ("giant error", "maintain", Serves),
        ("giant error", "open", Dies("open")),
        ("giant error", "open-reader", Dies("open")),
        ("more and more", "maintain", Serves),
        ("absurd numbers", "statistics", Serves),
    ])
    .await;
    let longest = siege.larder.lines().iter().map(String::len).max();
    assert!(longest < Some(64 << 10), "a line of {longest:?} bytes");
    let metrics = siege.larder.metrics();
    let spans = http::samples(&metrics, "larder_storage_spans");
    assert_eq!(spans.len(), 1, "{metrics}");
}
