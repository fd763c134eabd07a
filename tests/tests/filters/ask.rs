//! Evaluates filters by every RPC that searches, for traces and for spans, and reports the failed rows of a table.

use larder_proto::expression::v1::Call;
use larder_tests::filter::text;
use larder_tests::otlp::spans_of;
use larder_tests::status::error_info;
use larder_tests::{Query, Scene};
use tonic::{Code, Status};

/// Returns the numbers of the matching traces, newest first. All three RPCs for traces must agree, also on a refusal.
pub(crate) async fn ask(scene: &Scene, query: &Query) -> Result<Vec<u64>, Status> {
    let found = scene.client.search(query).await?;
    Ok(scene.numbers(&found))
}

/// Returns the number of the trace of each matching span, newest first.
async fn ask_spans(scene: &Scene, filter: &Call) -> Result<Vec<u64>, Status> {
    let search = scene.span_search().filter(filter.clone());
    let mut ids: Vec<[u8; 16]> = Vec::new();
    let mut token = String::new();
    loop {
        let page = search.clone().page(1000, &token);
        let (found, next) = scene.client.page_of_spans(&page).await?;
        ids.extend(spans_of(&found).map(|one| {
            let id: [u8; 16] = one.span.trace_id[..].try_into().unwrap();
            id
        }));
        if next.is_empty() {
            return Ok(scene.numbers(&ids));
        }
        token = next;
    }
}

/// Returns the reason of `ErrorInfo`; empty if there is none.
pub(crate) fn reason(status: &Status) -> String {
    error_info(status).unwrap_or_default().reason
}

/// Asserts which traces each filter finds. `FindSpans` must find one span of each of them and no other, so no trace may have more.
///
/// # Panics
/// If rows fail; the message lists all of them.
pub(crate) async fn finds(scene: &Scene, rows: impl IntoIterator<Item = (Call, Vec<u64>)>) {
    let rows = rows
        .into_iter()
        .map(|(filter, traces)| (filter, traces.clone(), traces));
    finds_spans(scene, rows).await;
}

/// Like [`finds`], for traces of several spans: each row also has the number of the trace of each span found.
pub(crate) async fn finds_spans(
    scene: &Scene,
    rows: impl IntoIterator<Item = (Call, Vec<u64>, Vec<u64>)>,
) {
    let mut wrong = Vec::new();
    for (filter, traces, spans) in rows {
        let query = scene.query().filter(filter.clone());
        for (what, found, expected) in [
            ("traces", ask(scene, &query).await, traces),
            ("spans of", ask_spans(scene, &filter).await, spans),
        ] {
            let line = match found {
                Ok(found) if found == expected => continue,
                Ok(found) => format!("{found:?}, not {expected:?}"),
                Err(refused) => format!("{:?}", refused.message()),
            };
            wrong.push(format!("{}: {what} {line}", text(&filter)));
        }
    }
    show(&wrong);
}

/// Asserts whether each filter finds trace 1, the only one of its scene.
pub(crate) async fn judges(scene: &Scene, rows: impl IntoIterator<Item = (Call, bool)>) {
    let rows = rows.into_iter().map(|(filter, matches)| {
        let found = if matches { vec![1] } else { Vec::new() };
        (filter, found)
    });
    finds(scene, rows).await;
}

/// Asserts that each filter is refused with a text, `INVALID_ARGUMENT` and `FILTER_INVALID`, in searches for traces and for spans.
pub(crate) async fn refuses(
    scene: &Scene,
    rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>,
) {
    refuses_with(scene, rows, |message, text| message == text).await;
}

/// Asserts that each filter is refused with a text that has this prefix and continues.
pub(crate) async fn refuses_beginning(
    scene: &Scene,
    rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>,
) {
    let continues = |message: &str, start: &str| {
        message
            .strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty())
    };
    refuses_with(scene, rows, continues).await;
}

async fn refuses_with(
    scene: &Scene,
    rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>,
    fits: impl Fn(&str, &str) -> bool,
) {
    let mut wrong = Vec::new();
    for (filter, expected) in rows {
        let expected = expected.as_ref();
        let query = scene.query().filter(filter.clone());
        for (what, answer) in [
            ("traces", ask(scene, &query).await),
            ("spans", ask_spans(scene, &filter).await),
        ] {
            let line = match answer {
                Ok(found) => format!("answered with {found:?}"),
                Err(status) if !fits(status.message(), expected) => {
                    format!("{:?}", status.message())
                }
                Err(status) if status.code() != Code::InvalidArgument => {
                    format!("{:?}", status.code())
                }
                Err(status) if reason(&status) != "FILTER_INVALID" => {
                    format!("the reason {:?}", reason(&status))
                }
                Err(_) => continue,
            };
            let filter = text(&filter);
            wrong.push(format!("{filter}: {what}: {line}, not {expected:?}"));
        }
    }
    show(&wrong);
}

fn show(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
