//! Keys that stand for fields, as in old queries that Jaeger rewrites: V14.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, attr_at, boolean, eq, exists, gt, in_list, list, ne, not, not_in, regex, string,
};
use larder_tests::otlp::{key_value, span};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::ask::{finds, judges};

/// `error` refers to the status, which always exists, and hides an attribute of that name.
async fn error_is_the_status(scene: Scene) {
    let at = |number: u64| span(scene.trace(number), 1).at(scene.at(100 - number));
    scene
        .store([scene
            .resource("a")
            .span(at(1).status(StatusCode::Error))
            .span(at(2).status(StatusCode::Ok).attribute("error", true))
            .span(at(3).attribute("error", "true"))
            .span(at(4).status(StatusCode::Error).attribute("error", false))])
        .await;
    for level in ["", "span"] {
        let error = || attr_at(level, "error");
        let rows = [
            (exists(error()), vec![1, 2, 3, 4]),
            (eq(error(), boolean(true)), vec![1, 4]),
            (eq(error(), boolean(false)), vec![2, 3]),
            (ne(error(), boolean(true)), vec![2, 3]),
            (eq(error(), "true"), vec![1, 4]),
            (eq(error(), "T"), vec![1, 4]),
            (eq(error(), "0"), vec![2, 3]),
            (eq(error(), "yes"), vec![]),
            (ne(error(), "yes"), vec![1, 2, 3, 4]),
            (eq(error(), string("true")), vec![]),
            (ne(error(), string("true")), vec![1, 2, 3, 4]),
            (in_list(error(), "bool", ["1"]), vec![1, 4]),
            (not_in(error(), list("bool", ["1"])), vec![2, 3]),
            (in_list(error(), "string", ["true"]), vec![]),
            (gt(error(), "false"), vec![]),
            (regex(error(), "true"), vec![]),
        ];
        finds(&scene, rows).await;
    }
}

/// At other levels it is an ordinary key.
async fn elsewhere_error_is_an_attribute(scene: Scene) {
    let kv = || key_value("error", "x");
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .event("e", [kv()])
        .link([1; 16], 1, [kv()]);
    let resource = scene
        .resource("a")
        .attribute("error", "x")
        .attribute("resource.error", "y");
    scene
        .store([resource.scope("s", "", [kv()]).span(one)])
        .await;
    let levels = ["resource", "scope", "event", "link"];
    judges(
        &scene,
        levels.map(|level| (eq(attr_at(level, "error"), string("x")), true)),
    )
    .await;
    judges(
        &scene,
        levels.map(|level| (exists(attr_at(level, "span.kind")), false)),
    )
    .await;
    let rows = [
        (eq(attr("error"), string("x")), false),
        (eq(attr("resource.error"), string("x")), true),
        (eq(attr("resource.error"), string("y")), false),
    ];
    judges(&scene, rows).await;
}

async fn kind_status_and_scope_are_the_fields(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .kind(SpanKind::Server)
        .status(StatusCode::Ok)
        .attribute("span.kind", "literal")
        .attribute("span.status", "literal")
        .attribute("scope.name", "literal")
        .attribute("scope.version", "literal");
    let resource = scene.resource("a").attribute("span.kind", "outer");
    scene
        .store([resource.scope("lib", "1.5", []).span(one)])
        .await;
    for level in ["", "span"] {
        let at = |key| attr_at(level, key);
        let rows = [
            (eq(at("span.kind"), "server"), true),
            (eq(at("span.kind"), string("server")), true),
            // This is not a field, so the word is not checked.
            (eq(at("span.kind"), "SERVER"), false),
            (ne(at("span.kind"), "SERVER"), true),
            (eq(at("span.kind"), "literal"), false),
            (eq(at("span.kind"), "outer"), false),
            (ne(at("span.kind"), "client"), true),
            (gt(at("span.kind"), "client"), true),
            (in_list(at("span.kind"), "string", ["server"]), true),
            (regex(at("span.kind"), "erv"), true),
            (eq(at("span.status"), "ok"), true),
            (eq(at("span.status"), "OK"), false),
            (eq(at("scope.name"), "lib"), true),
            (eq(at("scope.name"), "literal"), false),
            (eq(at("scope.version"), "1.5"), true),
            (eq(at("scope.version"), "1.50"), false),
        ];
        judges(&scene, rows).await;
    }
    let rows = [
        (eq(attr_at("resource", "span.kind"), "outer"), true),
        (exists(attr_at("scope", "scope.name")), false),
        (eq(attr_at("scope", "name"), "lib"), false),
    ];
    judges(&scene, rows).await;
}

/// They are absent if the fields are.
async fn a_scope_without_a_name_has_none(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("scope.name", "literal");
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (exists(attr("scope.name")), false),
        (ne(attr("scope.name"), "x"), false),
        (not(exists(attr_at("span", "scope.version"))), true),
        (eq(attr("span.kind"), "unspecified"), true),
        (eq(attr("span.status"), "unset"), true),
    ];
    judges(&scene, rows).await;
}

/// Applies only without a level.
async fn a_prefix_points_to_the_resource(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("resource.env", "span's")
        .attribute("own", "s");
    let resource = scene
        .resource("a")
        .attribute("env", "prod")
        .attribute("resource.env", "nested")
        .attribute("resource.k", "v");
    scene.store([resource.span(one)]).await;
    let rows = [
        (eq(attr("resource.env"), "prod"), true),
        (ne(attr("resource.env"), "prod"), false),
        (eq(attr("resource.env"), "span's"), false),
        (eq(attr("resource.env"), "nested"), false),
        (eq(attr("resource.resource.env"), "nested"), true),
        (exists(attr("resource.own")), false),
        (exists(attr("resource.k")), false),
        (eq(attr("resource.resource.k"), "v"), true),
        (eq(attr_at("span", "resource.env"), "span's"), true),
        (eq(attr_at("resource", "resource.env"), "nested"), true),
        (
            eq(attr("resource.service.name"), &*scene.service("a")),
            true,
        ),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    error_is_the_status,
    elsewhere_error_is_an_attribute,
    kind_status_and_scope_are_the_fields,
    a_scope_without_a_name_has_none,
    a_prefix_points_to_the_resource,
];
