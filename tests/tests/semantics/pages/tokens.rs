//! Page tokens: the queries that may continue with them, and texts that are no tokens.

use larder_tests::filter::{
    and, attr, eq, exists, field, in_list, int, list, not, not_in, or, string,
};
use larder_tests::{Query, Scene, otlp, unset_duration, unset_timestamp};
use tonic::Status;

use super::{INVALID, all, assert_refused, page, refusal, store};

/// A token of version 1.
const VERSION_1: &str = "CAERAAECAwQFBgcZAAECAwQFBgciEAcHBwcHBwcHBwcHBwcHBwc";

const OTHER_QUERY: &str = "invalid pagination: page token belongs to a different query; continue with the query it was returned for";

fn with_unset_bounds(mut query: Query) -> Query {
    query.0.start_time_min = Some(unset_timestamp());
    query.0.start_time_max = Some(unset_timestamp());
    query.0.duration_min = Some(unset_duration());
    query.0.duration_max = Some(unset_duration());
    query
}

/// Equal by meaning, as far as Jaeger compares queries.
async fn an_equal_query_continues(scene: Scene) {
    for (number, offset) in [(1, 30), (2, 20), (3, 10)] {
        let one = otlp::span(scene.trace(number), 1).at(scene.at(offset));
        let one = one.name("op").attribute("a", "1").attribute("b", 2);
        scene.store([scene.resource("s").span(one)]).await;
    }
    let name = scene.service("s");
    let legacy = Query::default().service(&name);
    let here = || eq(field("resource", "service"), name.as_str());
    let filter = |filter| Query::default().filter(and([here(), filter]));
    let (a, b) = (|| eq(attr("a"), "1"), || eq(attr("b"), int(2)));
    let span_name = || field("span", "name");
    let turned = or([not(exists(attr("a"))), and([b(), a()])]);
    for (one, other) in [
        (legacy.clone(), with_unset_bounds(legacy.clone())),
        (
            legacy.clone().attribute("a", "1").attribute("b", 2),
            legacy.clone().attribute("b", 2).attribute("a", "1"),
        ),
        (
            legacy.clone().attribute("a", "1"),
            legacy
                .clone()
                .attribute("a", "replaced")
                .attribute("a", "1")
                .raw_attribute("a", None),
        ),
        (
            Query::default().filter(and([here(), a(), b()])),
            Query::default().filter(and([b(), here(), a()])),
        ),
        (
            filter(or([and([a(), b()]), not(exists(attr("a")))])),
            Query::default().filter(and([turned, here()])),
        ),
        (
            filter(in_list(attr("a"), "string", ["1", "x"])),
            filter(in_list(attr("a"), "string", ["x", "1"])),
        ),
        (
            filter(not_in(attr("b"), list("int", ["7", "8"]))),
            filter(not_in(attr("b"), list("int", ["8", "7"]))),
        ),
        (
            filter(eq(span_name(), "op")),
            filter(eq(span_name(), string("op"))),
        ),
        (
            filter(in_list(span_name(), "", ["op", "x"])),
            filter(in_list(span_name(), "string", ["x", "op"])),
        ),
    ] {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let (ids, token) = page(&scene.client, &first.clone().page(1, "")).await;
            assert_eq!(scene.numbers(&ids), [1], "{first:?}");
            let (ids, token) = page(&scene.client, &second.clone().page(1, &token)).await;
            assert_eq!(scene.numbers(&ids), [2], "{second:?}");
            let (ids, token) = page(&scene.client, &first.clone().page(1, &token)).await;
            assert_eq!((scene.numbers(&ids), &*token), (vec![3], ""), "{first:?}");
        }
    }
}

async fn another_query_is_refused(scene: Scene) {
    store(&scene, &[(1, 30), (2, 20), (3, 10)]).await;
    let query = all(&scene);
    let (_, token) = page(&scene.client, &query.clone().page(1, "")).await;
    for other in [
        Query::default(),
        query.clone().service(scene.service("a")),
        query.clone().operation("x"),
        query.clone().attribute("k", "v"),
        query.clone().not_before(scene.at(1)),
        query.clone().not_after(scene.at(29)),
        query.clone().at_least(1),
        query.clone().at_most(1),
        query.clone().filter(exists(attr("k"))),
    ] {
        let refused = refusal(&scene.client, &other.page(1, &token)).await;
        assert_refused(&refused, INVALID, OTHER_QUERY);
    }
    let by = |filter| query.clone().filter(filter);
    let filter = not(in_list(attr("k"), "string", ["x", "y"]));
    let (_, token) = page(&scene.client, &by(filter).page(1, "")).await;
    for other in [
        in_list(attr("k"), "string", ["x", "y"]),
        not(in_list(attr("k"), "string", ["x", "z"])),
        not(in_list(attr("l"), "string", ["x", "y"])),
    ] {
        let refused = refusal(&scene.client, &by(other).page(1, &token)).await;
        assert_refused(&refused, INVALID, OTHER_QUERY);
    }
}

async fn what_is_no_token_is_refused(scene: Scene) {
    store(&scene, &[(1, 10)]).await;
    let long = "A".repeat(100_000);
    for (token, text) in [
        ("not-a-token!", "page token is not valid base64"),
        ("aGVsbG8=", "page token is not valid base64"),
        // "hello"
        ("aGVsbG8", "page token is malformed: "),
        (long.as_str(), "page token is malformed: "),
        (VERSION_1, "page token version 1 is not supported"),
    ] {
        let text = format!("invalid pagination: {text}");
        let refused = refusal(&scene.client, &all(&scene).page(1, token)).await;
        assert_refused(&refused, INVALID, &text);
        let refused = refusal_of_spans(&scene, token).await;
        assert_refused(&refused, INVALID, &text);
    }
}

async fn a_token_with_a_changed_letter_is_refused(scene: Scene) {
    store(&scene, &[(1, 20), (2, 10)]).await;
    let (_, token) = page(&scene.client, &all(&scene).page(1, "")).await;
    for changed in changed(&token) {
        let refused = refusal(&scene.client, &all(&scene).page(1, &changed)).await;
        assert_refused(&refused, INVALID, "invalid pagination: page token ");
    }
    let first = scene.span_search().page(1, "");
    let (_, token) = scene.client.page_of_spans(&first).await.unwrap();
    for changed in changed(&token) {
        let refused = refusal_of_spans(&scene, &changed).await;
        assert_refused(&refused, INVALID, "invalid pagination: page token ");
    }
}

/// Returns every text that differs from a token in one letter.
fn changed(token: &str) -> impl Iterator<Item = String> {
    (0..token.len()).map(move |at| {
        let letter = if &token[at..=at] == "A" { "B" } else { "A" };
        let mut changed = token.to_owned();
        changed.replace_range(at..=at, letter);
        changed
    })
}

/// Ids and summaries are of one kind of search, spans of another. Both searches have the same window, and nothing else.
async fn a_token_of_another_kind_of_search_is_refused(scene: Scene) {
    store(&scene, &[(1, 20), (2, 10)]).await;
    let (_, of_traces) = page(&scene.client, &all(&scene).page(1, "")).await;
    let first = scene.span_search().page(1, "");
    let (_, of_spans) = scene.client.page_of_spans(&first).await.unwrap();
    let does_not_carry = "invalid pagination: page token does not carry a";
    let refused = refusal_of_spans(&scene, &of_traces).await;
    assert_refused(
        &refused,
        INVALID,
        &format!("{does_not_carry} span position"),
    );
    let refused = refusal(&scene.client, &all(&scene).page(1, &of_spans)).await;
    assert_refused(
        &refused,
        INVALID,
        &format!("{does_not_carry} trace position"),
    );
}

/// Returns the refusal of a page of the scene's spans.
async fn refusal_of_spans(scene: &Scene, token: &str) -> Status {
    let search = scene.span_search().page(1, token);
    let refused = scene.client.page_of_spans(&search).await;
    refused.expect_err("no page of spans")
}

larder_tests::every_plugin![
    an_equal_query_continues,
    another_query_is_refused,
    what_is_no_token_is_refused,
    a_token_with_a_changed_letter_is_refused,
    a_token_of_another_kind_of_search_is_refused,
];
