//! `GetDependencies`: D1 to D5.

use larder_tests::otlp::{ResourceBuilder, resource, span};
use larder_tests::{Scene, timestamp, unset_timestamp};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::Code;

/// Returns the links between two offsets of the scene, sorted, without the scene's suffix of names.
async fn links(scene: &Scene, from: u64, to: Option<u64>) -> Vec<(String, String, u64)> {
    let end = to.map(|to| timestamp(scene.at(to)));
    let start = Some(timestamp(scene.at(from)));
    let found = scene.client.dependencies(start, end).await.unwrap();
    let mark = scene.service("");
    let plain = |name: &str| name.strip_suffix(&mark).unwrap_or(name).to_owned();
    let mut links = Vec::new();
    for link in found {
        assert_eq!(link.source, "", "D4");
        // An open window includes the times of other tests.
        if link.parent.ends_with(&mark) || link.child.ends_with(&mark) {
            links.push((plain(&link.parent), plain(&link.child), link.call_count));
        }
    }
    links.sort();
    links
}

fn link(parent: &str, child: &str, calls: u64) -> (String, String, u64) {
    (parent.to_owned(), child.to_owned(), calls)
}

/// Builds a call from `a` to `b` in trace `number`, from `from` to `to`.
fn call(scene: &Scene, number: u64, from: u64, to: u64) -> [ResourceBuilder; 2] {
    let id = scene.trace(number);
    [
        scene
            .resource("a")
            .span(span(id, 1).at(scene.at(from)).lasting(to - from)),
        scene
            .resource("b")
            .span(span(id, 2).parent(1).at(scene.at(from))),
    ]
}

/// D1: a request without a start, or with an end before it, is refused with this text.
async fn a_bad_window_is_refused(scene: Scene) {
    for start in [None, Some(unset_timestamp())] {
        let refused = scene
            .client
            .dependencies(start, Some(timestamp(scene.at(5))))
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), "start time is required");
    }
    let (late, early) = (timestamp(scene.at(5)), timestamp(scene.at(4)));
    let refused = scene
        .client
        .dependencies(Some(late), Some(early))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "end time must be greater than start time"
    );
    let instant = Some(timestamp(scene.at(5)));
    assert!(
        scene
            .client
            .dependencies(instant, instant)
            .await
            .unwrap()
            .is_empty()
    );
}

/// D2, our choice: a trace counts if all of it is in the window, ends included; without an end the window is open.
async fn a_trace_counts_if_all_of_it_lies_in_the_window(scene: Scene) {
    scene.store(call(&scene, 1, 100, 200)).await;
    let one = vec![link("a", "b", 1)];

    assert_eq!(links(&scene, 100, Some(200)).await, one);
    assert_eq!(links(&scene, 0, Some(999)).await, one);
    assert_eq!(links(&scene, 101, Some(200)).await, []);
    assert_eq!(links(&scene, 100, Some(199)).await, []);
    assert_eq!(links(&scene, 100, None).await, one);
    assert_eq!(links(&scene, 101, None).await, []);

    let (start, end) = (Some(timestamp(scene.at(100))), Some(unset_timestamp()));
    let open = scene.client.dependencies(start, end).await.unwrap();
    assert!(open.iter().any(|link| link.parent == scene.service("a")));
}

/// D2: the window applies to whole traces, whose spans may come in many writes.
async fn the_window_is_of_the_whole_trace_however_it_was_written(scene: Scene) {
    for resource in call(&scene, 1, 100, 200) {
        scene.store([resource]).await;
    }
    let late = span(scene.trace(1), 3).at(scene.at(900));
    scene.store([scene.resource("c").span(late)]).await;

    assert_eq!(links(&scene, 0, Some(500)).await, []);
    assert_eq!(links(&scene, 0, Some(900)).await, [link("a", "b", 1)]);
}

/// D3: a call is counted for each span whose parent is in the same trace; the first span with that id is the parent. Links do not count.
async fn a_call_is_a_span_whose_parent_is_in_its_trace(scene: Scene) {
    let (id, at) = (scene.trace(1), scene.at(10));
    let first = |name| scene.resource(name);
    scene
        .store([
            first("a").span(span(id, 1).at(at)),
            first("b").span(span(id, 1).at(at)),
            first("c").span(span(id, 2).parent(1).at(at)),
            // No parent, a parent in another trace, a parent of zeros, and links: no calls.
            first("d").span(span(id, 3).at(at).link(id, 1, [])),
            first("e").span(span(id, 4).parent(77).at(at)),
        ])
        .await;
    let zero = span(id, 5).parent(0).at(at);
    let elsewhere = span(scene.trace(2), 6).parent(1).at(at);
    scene.store([first("f").span(zero).span(elsewhere)]).await;

    assert_eq!(links(&scene, 0, Some(999)).await, [link("a", "c", 1)]);
}

/// D3: a server's span that shares its id with the client's, as in Zipkin's model, is the parent of the spans of its own service.
async fn of_spans_that_share_an_id_the_parent_is_of_the_child_s_service(scene: Scene) {
    let at = scene.at(10);
    // Either order of writing gives the same.
    for (number, services) in [(1, ["a", "b"]), (2, ["b", "a"])] {
        let id = scene.trace(number);
        for name in services {
            let resource = scene.resource(name);
            let resource = match name {
                "a" => resource
                    .span(span(id, 1).kind(SpanKind::Server).at(at))
                    .span(span(id, 2).parent(1).kind(SpanKind::Client).at(at)),
                _ => resource
                    .span(span(id, 2).parent(1).kind(SpanKind::Server).at(at))
                    .span(span(id, 3).parent(2).kind(SpanKind::Internal).at(at)),
            };
            scene.store([resource]).await;
        }
    }
    assert_eq!(links(&scene, 0, Some(999)).await, [link("a", "b", 2)]);
}

/// D3: calls within a service do not count; spans without a service are of `missing-service-name`.
async fn calls_within_a_service_do_not_count(scene: Scene) {
    let (id, at) = (scene.trace(1), scene.at(10));
    scene
        .store([
            scene
                .resource("a")
                .span(span(id, 1).at(at))
                .span(span(id, 2).parent(1).at(at)),
            resource().span(span(id, 3).parent(2).at(at)),
            scene.resource("b").span(span(id, 4).parent(3).at(at)),
        ])
        .await;
    let missing = "missing-service-name";
    let expected = [link("a", missing, 1), link(missing, "b", 1)];
    assert_eq!(links(&scene, 0, Some(999)).await, expected);
}

/// D4: counted over all traces; a copy of a span does not count again, a span that differs does.
async fn calls_are_counted_over_all_traces_without_copies(scene: Scene) {
    for number in 1..=7 {
        scene.store(call(&scene, number, 100, 200)).await;
    }
    let [_, child] = call(&scene, 1, 100, 200);
    scene.store([child]).await;
    assert_eq!(links(&scene, 0, Some(999)).await, [link("a", "b", 7)]);
    let other = span(scene.trace(1), 2)
        .parent(1)
        .at(scene.at(100))
        .name("b");
    scene.store([scene.resource("b").span(other)]).await;
    assert_eq!(links(&scene, 0, Some(999)).await, [link("a", "b", 8)]);
}

/// D5: Jaeger asks for `[end - lookback, end]`, in whole days as well as in moments.
async fn the_window_of_jaeger_s_query_service_works(scene: Scene) {
    scene.store(call(&scene, 1, 100, 200)).await;
    assert_eq!(
        links(&scene, 0, Some(999_999_999_999)).await,
        [link("a", "b", 1)]
    );
    assert_eq!(links(&scene, 300, Some(999_999_999_999)).await, []);
}

larder_tests::every_plugin_and_fixture![
    a_bad_window_is_refused,
    a_trace_counts_if_all_of_it_lies_in_the_window,
    the_window_is_of_the_whole_trace_however_it_was_written,
    a_call_is_a_span_whose_parent_is_in_its_trace,
    of_spans_that_share_an_id_the_parent_is_of_the_child_s_service,
    calls_within_a_service_do_not_count,
    calls_are_counted_over_all_traces_without_copies,
    the_window_of_jaeger_s_query_service_works,
];
