//! Keys with a special meaning in a query's attributes: Q10 to Q15.

use larder_tests::otlp::{key_value, span};
use larder_tests::{Query, Scene};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

fn with(scene: &Scene, key: &str, value: &str) -> Query {
    scene.query().attribute(key, value)
}

/// Stores traces 1 to 3 with status unset, ok and error; 4 has a status without a code.
async fn store_statuses(scene: &Scene) {
    let codes = [
        None,
        Some(StatusCode::Ok),
        Some(StatusCode::Error),
        Some(StatusCode::Unset),
    ];
    for (number, code) in (1..).zip(codes) {
        let mut one = span(scene.trace(number), 1).at(scene.at(number));
        if let Some(code) = code {
            one = one.status(code);
        }
        // The literal attribute is ignored.
        one = one
            .attribute("error", "true")
            .attribute("span.status", "ok");
        scene.store([scene.resource("a").span(one)]).await;
    }
}

/// Q10: true means status error, false any other; the words are those of Go's `ParseBool`.
async fn error_asks_for_the_status(scene: Scene) {
    store_statuses(&scene).await;
    for word in ["1", "t", "T", "TRUE", "true", "True"] {
        assert_eq!(scene.find(with(&scene, "error", word)).await, [3], "{word}");
    }
    for word in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(
            scene.find(with(&scene, "error", word)).await,
            [4, 2, 1],
            "{word}"
        );
    }
    for word in ["", "yes", "tRUE", " true", "2"] {
        assert_eq!(
            scene.find(with(&scene, "error", word)).await,
            [0; 0],
            "{word}"
        );
    }
    assert_eq!(
        scene.find(scene.query().attribute("error", true)).await,
        [3]
    );
    assert_eq!(
        scene.find(scene.query().attribute("error", false)).await,
        [4, 2, 1]
    );
    assert_eq!(
        scene.find(scene.query().attribute("error", 1)).await,
        [0; 0]
    );
    assert_eq!(
        scene.find(scene.query().attribute("error", 1.0)).await,
        [0; 0]
    );
}

/// Q11, with our choice: an unknown word matches nothing.
async fn span_status_asks_for_the_status(scene: Scene) {
    store_statuses(&scene).await;
    for (word, found) in [("OK", vec![2]), ("ok", vec![2]), ("Error", vec![3])] {
        assert_eq!(
            scene.find(with(&scene, "span.status", word)).await,
            found,
            "{word}"
        );
    }
    for word in ["unset", "UNSET"] {
        assert_eq!(
            scene.find(with(&scene, "span.status", word)).await,
            [4, 1],
            "{word}"
        );
    }
    for word in ["", "errr", "2"] {
        assert_eq!(
            scene.find(with(&scene, "span.status", word)).await,
            [0; 0],
            "{word}"
        );
    }
}

/// Q12, with our choice: an unknown word matches nothing.
async fn span_kind_asks_for_the_kind(scene: Scene) {
    let kinds = [
        (SpanKind::Unspecified, "unspecified"),
        (SpanKind::Internal, "internal"),
        (SpanKind::Server, "server"),
        (SpanKind::Client, "client"),
        (SpanKind::Producer, "producer"),
        (SpanKind::Consumer, "consumer"),
    ];
    for (number, (kind, _)) in (1..).zip(kinds) {
        let one = span(scene.trace(number), 1).at(scene.at(number)).kind(kind);
        let one = one.attribute("span.kind", "server");
        scene.store([scene.resource("a").span(one)]).await;
    }
    for (number, (_, word)) in (1..).zip(kinds) {
        for word in [word.to_owned(), word.to_uppercase()] {
            assert_eq!(
                scene.find(with(&scene, "span.kind", &word)).await,
                [number],
                "{word}"
            );
        }
    }
    for word in ["", "sever", "SPAN_KIND_SERVER", "2"] {
        assert_eq!(
            scene.find(with(&scene, "span.kind", word)).await,
            [0; 0],
            "{word}"
        );
    }
}

/// Q13: exact, compared with the scope.
async fn scope_name_and_version_are_the_scope_s(scene: Scene) {
    let scopes = [("lib", "1.0"), ("lib", "2.0"), ("other", "1.0"), ("", "")];
    for (number, (name, version)) in (1..).zip(scopes) {
        let one = span(scene.trace(number), 1).at(scene.at(number));
        // Ignored: attributes of that name, and OpenTelemetry's own names.
        let one = one
            .attribute("scope.name", "decoy")
            .attribute("otel.scope.name", "decoy");
        let resource = scene.resource("a").scope(name, version, []).span(one);
        scene.store([resource]).await;
    }
    assert_eq!(scene.find(with(&scene, "scope.name", "lib")).await, [2, 1]);
    assert_eq!(
        scene.find(with(&scene, "scope.version", "1.0")).await,
        [3, 1]
    );
    let both = with(&scene, "scope.name", "lib").attribute("scope.version", "1.0");
    assert_eq!(scene.find(both).await, [1]);
    assert_eq!(scene.find(with(&scene, "scope.name", "Lib")).await, [0; 0]);
    assert_eq!(
        scene.find(with(&scene, "scope.name", "decoy")).await,
        [0; 0]
    );
    assert_eq!(
        scene.find(with(&scene, "otel.scope.name", "decoy")).await,
        [4, 3, 2, 1]
    );
}

/// Q14: compared only with the resource's attribute of that key.
async fn a_resource_key_asks_only_the_resource(scene: Scene) {
    let bare = |number| span(scene.trace(number), 1).at(scene.at(number));
    scene
        .store([
            scene.resource("a").attribute("host", "h1").span(bare(1)),
            scene.resource("a").span(bare(2).attribute("host", "h1")),
            scene
                .resource("a")
                .span(bare(3).attribute("resource.host", "h1")),
            scene
                .resource("a")
                .attribute("resource.host", "h1")
                .span(bare(4)),
            scene.resource("a").attribute("host", 7).span(bare(5)),
        ])
        .await;
    assert_eq!(scene.find(with(&scene, "resource.host", "h1")).await, [1]);
    assert_eq!(scene.find(with(&scene, "resource.host", "7")).await, [5]);
    assert_eq!(
        scene
            .find(with(&scene, "resource.resource.host", "h1"))
            .await,
        [4]
    );
    let service = with(&scene, "resource.service.name", &scene.service("a"));
    assert_eq!(scene.find(service).await, [5, 4, 3, 2, 1]);
}

/// Q15: special and ordinary keys combined, on one span.
async fn special_and_plain_keys_combine_on_one_span(scene: Scene) {
    let bare = |number, id| span(scene.trace(number), id).at(scene.at(number));
    let failed = |one: larder_tests::otlp::SpanBuilder| one.status(StatusCode::Error);
    scene
        .store([scene
            .resource("a")
            .scope("lib", "1", [key_value("x", 1)])
            .span(
                failed(bare(1, 1))
                    .kind(SpanKind::Server)
                    .attribute("k", "v"),
            )
            .span(
                failed(bare(2, 1))
                    .kind(SpanKind::Client)
                    .attribute("k", "v"),
            )
            .span(bare(3, 1).kind(SpanKind::Server).attribute("k", "v"))
            .span(failed(bare(3, 2)).kind(SpanKind::Server))])
        .await;
    let query = with(&scene, "error", "true")
        .attribute("span.kind", "server")
        .attribute("scope.name", "lib")
        .attribute("k", "v")
        .attribute("x", "1");
    assert_eq!(scene.find(query).await, [1]);
}

larder_tests::every_plugin_and_fixture![
    error_asks_for_the_status,
    span_status_asks_for_the_status,
    span_kind_asks_for_the_kind,
    scope_name_and_version_are_the_scope_s,
    a_resource_key_asks_only_the_resource,
    special_and_plain_keys_combine_on_one_span,
];
