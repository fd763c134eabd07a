//! `order_by` of `FindSpans`: every order that there is, and each term that is none (RFC 0016).

use larder_proto::storage::v2::SpanSortOrder;
use larder_tests::filter::{
    IntoArgument as _, attr, attr_at, exists, field, list, nested, nothing, string, untyped,
};
use larder_tests::{Plugin, Scene, SpanSearch};

use crate::spans::{assert_refused, expected, ordered, written};

/// The fields that spans are sorted by.
const FIELDS: [&str; 4] = ["startTime", "duration", "traceID", "spanID"];

const REASON: Option<&str> = Some("ORDERING_INVALID");

/// Returns every order by none, some or all of the fields, each in either direction.
fn every_order() -> Vec<Vec<(&'static str, &'static str)>> {
    let mut orders: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    let mut longest = orders.clone();
    for _ in FIELDS {
        let mut longer = Vec::new();
        for order in &longest {
            let is_left = |field: &&str| order.iter().all(|(given, _)| given != field);
            for field in FIELDS.into_iter().filter(is_left) {
                for direction in ["asc", "desc"] {
                    longer.push([&order[..], &[(field, direction)]].concat());
                }
            }
        }
        orders.extend_from_slice(&longer);
        longest = longer;
    }
    orders
}

/// The spans have ties in every field, and two are equal in all of them.
async fn every_order_is_that_of_the_oracle(scene: Scene) {
    let written = written(&scene).await;
    let orders = every_order();
    assert_eq!(orders.len(), 1 + 8 + 48 + 192 + 384);
    for order in orders {
        let search = ordered(scene.span_search(), &order);
        let (found, token) = scene.client.page_of_spans(&search).await.unwrap();
        let expected = expected(&written, &search);
        assert_eq!((found, &*token), (expected, ""), "{order:?}");
    }
}

larder_tests::every_plugin![every_order_is_that_of_the_oracle];

async fn refused(scene: &Scene, search: &SpanSearch, text: &str) {
    let refused = scene.client.page_of_spans(search).await.unwrap_err();
    assert_refused(&refused, REASON, &format!("invalid span ordering: {text}"));
}

/// Each as the only term, and behind a sound one: the refusal has the number of the term.
#[tokio::test]
async fn a_term_that_is_no_field_to_sort_by_is_refused() {
    let scene = Scene::new(Plugin::Memory).await;
    let unset = "cannot decode order_by[N]: ";
    let other = "order_by[N] must reference a built-in span field";
    let unsupported = |name: &str| format!("order_by[N] field \"{name}\" is unsupported");
    let mut rows = vec![
        (None, unset.to_owned()),
        (Some(nothing()), unset.to_owned()),
    ];
    let others = [
        attr("startTime"),
        attr_at("span", "startTime"),
        untyped("startTime"),
        string("startTime"),
        list("string", ["startTime"]),
        exists(field("span", "startTime")).into_argument(),
        nested("span"),
        nested("event"),
        field("", "startTime"),
        field("Span", "startTime"),
        field("event", "time"),
        field("resource", "service"),
    ];
    rows.extend(others.map(|term| (Some(term), other.to_owned())));
    let names = [
        "endTime",
        "status",
        "name",
        "kind",
        "nome",
        "starttime",
        "traceId",
        "",
    ];
    rows.extend(names.map(|name| (Some(field("span", name)), unsupported(name))));
    for (expression, text) in rows {
        for number in [0, 1] {
            let before = [("duration", "desc")];
            let mut search = ordered(scene.span_search(), &before[..number]);
            search.0.order_by.push(SpanSortOrder {
                expression: expression.clone(),
                direction: "desc".to_owned(),
            });
            refused(&scene, &search, &text.replace('N', &number.to_string())).await;
        }
    }
}

#[tokio::test]
async fn a_direction_is_asc_desc_or_empty() {
    let scene = Scene::new(Plugin::Memory).await;
    for direction in ["ASC", "Desc", "descending", "ascending", " desc", "asc "] {
        let search = scene.span_search().order_by("spanID", direction);
        let text = format!("order_by[0] direction \"{direction}\" is unsupported");
        refused(&scene, &search, &text).await;
    }
}

/// There are four fields, so a fifth term repeats one, or is none.
#[tokio::test]
async fn a_fifth_term_is_refused() {
    let scene = Scene::new(Plugin::Memory).await;
    let four = FIELDS.map(|field| (field, "desc"));
    let four = ordered(scene.span_search(), &four);
    scene.client.page_of_spans(&four).await.unwrap();
    for field in FIELDS {
        for direction in ["asc", "desc"] {
            let text = format!("order_by[4] repeats field \"{field}\"");
            let five = four.clone().order_by(field, direction);
            refused(&scene, &five, &text).await;
        }
    }
    let five = four.order_by("name", "");
    refused(&scene, &five, "order_by[4] field \"name\" is unsupported").await;
}

/// The first term that is wrong is told, and of that term the first thing that is.
#[tokio::test]
async fn the_first_offence_is_told() {
    let scene = Scene::new(Plugin::Memory).await;
    let rows: [(&[(&str, &str)], &str); 3] = [
        (
            &[("startTime", "ASC"), ("name", "")],
            "order_by[0] direction \"ASC\" is unsupported",
        ),
        (
            &[("name", "ASC")],
            "order_by[0] field \"name\" is unsupported",
        ),
        (
            &[("traceID", "asc"), ("traceID", "DESC")],
            "order_by[1] repeats field \"traceID\"",
        ),
    ];
    for (order, text) in rows {
        refused(&scene, &ordered(scene.span_search(), order), text).await;
    }
}
