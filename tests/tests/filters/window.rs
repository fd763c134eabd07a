//! A time window and a depth beside a filter: V15.

use larder_tests::filter::{attr, eq, exists, field, lt, ne, not};
use larder_tests::otlp::span;
use larder_tests::{Query, Scene};

use crate::ask::ask;

async fn found(scene: &Scene, query: Query) -> Vec<u64> {
    ask(scene, &query).await.unwrap()
}

/// Both ends are included, and one span must satisfy both.
async fn one_span_satisfies_the_filter_and_the_window(scene: Scene) {
    let at = |number, id, offset| span(scene.trace(number), id).at(scene.at(offset));
    scene
        .store([scene
            .resource("a")
            .span(at(1, 1, 10).attribute("k", 1))
            .span(at(1, 2, 20))
            .span(at(2, 1, 10))
            .span(at(2, 2, 20).attribute("k", 1))])
        .await;
    let query = |from, to| {
        scene
            .query()
            .window(scene.at(from), scene.at(to))
            .filter(eq(attr("k"), "1"))
    };
    assert_eq!(found(&scene, query(0, 30)).await, [2, 1]);
    assert_eq!(found(&scene, query(20, 30)).await, [2]);
    assert_eq!(found(&scene, query(0, 10)).await, [1]);
    assert_eq!(found(&scene, query(11, 19)).await, [0; 0]);
    assert_eq!(found(&scene, query(20, 20)).await, [2]);
    assert_eq!(found(&scene, query(21, 30)).await, [0; 0]);
    let without = scene
        .query()
        .window(scene.at(15), scene.at(30))
        .filter(not(exists(attr("k"))));
    assert_eq!(found(&scene, without).await, [1]);
}

/// Newest matching span first, then by trace id; exactly as many as the depth allows.
async fn the_newest_come_first_and_no_more_than_asked_for(scene: Scene) {
    let mut resource = scene.resource("a");
    for number in 1..=9 {
        // Even ones have a span that does not match and is newer than all others.
        let matching = span(scene.trace(number), 1)
            .at(scene.at(100 + number / 3))
            .attribute("k", "v");
        resource = resource.span(matching);
        if number % 2 == 0 {
            resource = resource.span(span(scene.trace(number), 2).at(scene.at(900)));
        }
    }
    scene.store([resource]).await;
    let query = |depth| scene.query().depth(depth).filter(eq(attr("k"), "v"));
    let order = [9, 6, 7, 8, 3, 4, 5, 1, 2];
    assert_eq!(found(&scene, query(100)).await, order);
    for depth in 1..=9 {
        assert_eq!(
            found(&scene, query(depth)).await,
            order[..usize::try_from(depth).unwrap()]
        );
    }
    let rest = scene
        .query()
        .depth(3)
        .filter(ne(field("span", "spanID"), "0000000000000001"));
    assert_eq!(found(&scene, rest).await, [2, 4, 6]);
}

/// A filter on instants does not change the window.
async fn a_filter_by_time_combines_with_the_window(scene: Scene) {
    let at = |number: u64, lasting| {
        span(scene.trace(number), 1)
            .at(scene.at(number * 10))
            .lasting(lasting)
    };
    scene
        .store([scene
            .resource("a")
            .span(at(1, 5))
            .span(at(2, 50))
            .span(at(3, 5))])
        .await;
    let short = || lt(field("span", "duration"), "10ns");
    assert_eq!(found(&scene, scene.query().filter(short())).await, [3, 1]);
    let late = scene.query().not_before(scene.at(20)).filter(short());
    assert_eq!(found(&scene, late).await, [3]);
    let early = scene.query().not_after(scene.at(20)).filter(short());
    assert_eq!(found(&scene, early).await, [1]);
}

/// More than one page of a plugin's results, of which one in a hundred matches.
async fn matches_are_found_among_many(scene: Scene) {
    for part in 0..10 {
        let spans = (0..100).map(|index| {
            let number = part * 100 + index + 1;
            span(scene.trace(number), 1)
                .at(scene.at(number))
                .attribute("index", number.cast_signed() % 100)
        });
        scene.store([scene.resource("a").spans(spans)]).await;
    }
    let query = |depth| scene.query().depth(depth).filter(lt(attr("index"), "1"));
    let order = [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100];
    assert_eq!(found(&scene, query(100)).await, order);
    assert_eq!(found(&scene, query(10)).await, order);
    assert_eq!(found(&scene, query(4)).await, order[..4]);
    // Unset, the depth is a hundred.
    let most = scene.query().depth(0).filter(exists(attr("index")));
    assert_eq!(
        found(&scene, most).await,
        (901..=1000).rev().collect::<Vec<_>>()
    );
}

larder_tests::every_plugin![
    one_span_satisfies_the_filter_and_the_window,
    the_newest_come_first_and_no_more_than_asked_for,
    a_filter_by_time_combines_with_the_window,
    matches_are_found_among_many,
];
