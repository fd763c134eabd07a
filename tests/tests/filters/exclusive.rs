//! A filter excludes the legacy fields with the same meaning: `host/docs/rules.md`, "What stands beside a filter".

use larder_proto::storage::v2::AnyValue;
use larder_tests::filter::{call, eq, exists, field};
use larder_tests::otlp::span;
use larder_tests::{Plugin, Query, Scene, unset_duration, unset_timestamp};
use tonic::Code;

use crate::ask::{ask, reason};

async fn refused(scene: &Scene, query: Query, text: &str) {
    let status = ask(scene, &query).await.expect_err(text);
    assert_eq!(status.message(), text);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "FILTER_INVALID");
}

fn combined(fields: &str) -> String {
    format!(
        "invalid query filter: it cannot be combined with [{fields}]; express those predicates in the filter instead"
    )
}

#[tokio::test]
async fn a_filter_excludes_legacy_fields() {
    let scene = Scene::new(Plugin::Memory).await;
    let query = || scene.query().filter(eq(field("resource", "service"), "a"));
    let rows = [
        (query().service("a"), "service_name"),
        (query().operation("a"), "operation_name"),
        (query().at_least(1), "duration_min"),
        (query().at_least(-1), "duration_min"),
        (query().at_most(1), "duration_max"),
        (query().attribute("k", "v"), "attributes"),
        (query().attribute("k", ""), "attributes"),
        (query().service("a").at_most(5), "service_name duration_max"),
        (
            query().attribute("k", 1).attribute("l", 2).operation("x"),
            "operation_name attributes",
        ),
        (
            query()
                .attribute("k", "v")
                .at_most(5)
                .at_least(1)
                .operation("x")
                .service("a"),
            "service_name operation_name duration_min duration_max attributes",
        ),
    ];
    for (query, fields) in rows {
        refused(&scene, query, &combined(fields)).await;
    }
}

/// The filter itself is checked first.
#[tokio::test]
async fn an_invalid_filter_is_refused_before_excluded_fields() {
    let scene = Scene::new(Plugin::Memory).await;
    let query = scene.query().service("a").filter(call("x", []));
    refused(&scene, query, r#"unknown filter operator "x""#).await;
}

/// Unset fields are allowed: zero durations, attributes without a condition (W1, W3). So are times and the depth.
#[tokio::test]
async fn unset_fields_are_allowed_beside_a_filter() {
    let scene = Scene::new(Plugin::Memory).await;
    let one = span(scene.trace(1), 1)
        .name(&scene.service("only"))
        .at(scene.at(5));
    scene.store([scene.resource("a").span(one)]).await;
    let only = || eq(field("span", "name"), &*scene.service("only"));

    let mut query = scene
        .query()
        .raw_attribute("k", None)
        .raw_attribute("k", Some(AnyValue { value: None }))
        .filter(only());
    query.0.duration_min = Some(unset_duration());
    query.0.duration_max = Some(unset_duration());
    assert_eq!(ask(&scene, &query).await.unwrap(), [1]);

    let mut timeless = Query::default().filter(only());
    assert_eq!(ask(&scene, &timeless).await.unwrap(), [1]);
    timeless.0.start_time_min = Some(unset_timestamp());
    timeless.0.start_time_max = Some(unset_timestamp());
    assert_eq!(ask(&scene, &timeless).await.unwrap(), [1]);
}

/// Without a filter the fields keep their meaning.
#[tokio::test]
async fn an_absent_filter_is_none() {
    let scene = Scene::new(Plugin::Memory).await;
    let one = span(scene.trace(1), 1).at(scene.at(5));
    scene.store([scene.resource("a").span(one)]).await;
    let query = scene.query().service(scene.service("a"));
    assert_eq!(ask(&scene, &query).await.unwrap(), [1]);
    let both = query.filter(exists(field("span", "name")));
    refused(&scene, both, &combined("service_name")).await;
}
