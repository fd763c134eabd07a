//! Evaluates filters by every RPC that searches, and reports the failed rows of a table.

use larder_proto::expression::v1::Call;
use larder_tests::filter::text;
use larder_tests::status::error_info;
use larder_tests::{Query, Scene};
use tonic::{Code, Status};

/// Returns the numbers of the matching traces, newest first. All three RPCs must agree, also on a refusal.
pub(crate) async fn ask(scene: &Scene, query: &Query) -> Result<Vec<u64>, Status> {
    let found = scene.client.search(query).await?;
    Ok(scene.numbers(&found))
}

/// Returns the reason of `ErrorInfo`; empty if there is none.
pub(crate) fn reason(status: &Status) -> String {
    error_info(status).unwrap_or_default().reason
}

/// Asserts which traces each filter finds.
///
/// # Panics
/// If rows fail; the message lists all of them.
pub(crate) async fn finds(scene: &Scene, rows: impl IntoIterator<Item = (Call, Vec<u64>)>) {
    let mut wrong = Vec::new();
    for (filter, expected) in rows {
        let found = ask(scene, &scene.query().filter(filter.clone())).await;
        match found {
            Ok(found) if found == expected => {}
            Ok(found) => wrong.push(format!("{}: {found:?}, not {expected:?}", text(&filter))),
            Err(refused) => wrong.push(format!("{}: {:?}", text(&filter), refused.message())),
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

/// Asserts that each filter is refused with a text, `INVALID_ARGUMENT` and `FILTER_INVALID`.
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
        let line = match ask(scene, &scene.query().filter(filter.clone())).await {
            Ok(found) => format!("answered with {found:?}"),
            Err(status) if !fits(status.message(), expected) => format!("{:?}", status.message()),
            Err(status) if status.code() != Code::InvalidArgument => format!("{:?}", status.code()),
            Err(status) if reason(&status) != "FILTER_INVALID" => {
                format!("the reason {:?}", reason(&status))
            }
            Err(_) => continue,
        };
        wrong.push(format!("{}: {line}, not {expected:?}", text(&filter)));
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
