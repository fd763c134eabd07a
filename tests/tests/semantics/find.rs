//! `FindTraces` and `FindTraceIDs`: selection by service, name, time and duration, and the order of results. Q1 to Q7, Q16, W1, W5.
//! Every search is made by all three RPCs (traces, ids, summaries), which must agree.

use larder_tests::otlp::{service, span};
use larder_tests::{Query, Scene, duration, timestamp, unset_duration, unset_timestamp};

/// Q1: zero or less means the default of 100.
async fn a_depth_of_zero_or_less_is_the_default_of_100(scene: Scene) {
    let spans = (1..=120).map(|number| span(scene.trace(number), 1).at(scene.at(number)));
    scene.store([scene.resource("a").spans(spans)]).await;

    let newest: Vec<u64> = (21..=120).rev().collect();
    for depth in [0, -1, i32::MIN] {
        assert_eq!(
            scene.find(scene.query().depth(depth)).await,
            newest,
            "{depth}"
        );
    }
}

/// Q1: a depth above the configured maximum is clamped, without an error.
async fn a_depth_above_the_maximum_is_no_error(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(0));
    scene.store([scene.resource("a").span(one)]).await;
    for depth in [10_001, i32::MAX] {
        assert_eq!(scene.find(scene.query().depth(depth)).await, [1], "{depth}");
    }
}

/// Q2: newest start of a matching span first, whatever the order of writes; exact under the limit.
async fn the_newest_matching_span_decides_the_order(scene: Scene) {
    // Trace 1 has the newest span of all, but only its oldest one is of the requested service.
    for (number, name, offset) in [(1, "a", 10), (2, "a", 30), (3, "a", 20), (1, "b", 90)] {
        let one = span(scene.trace(number), offset).at(scene.at(offset));
        scene.store([scene.resource(name).span(one)]).await;
    }
    let asked = scene.query().service(scene.service("a"));
    assert_eq!(scene.find(asked.clone()).await, [2, 3, 1]);
    assert_eq!(scene.find(asked.clone().depth(1)).await, [2]);
    assert_eq!(scene.find(asked.depth(2)).await, [2, 3]);
    assert_eq!(scene.find(scene.query()).await, [1, 2, 3]);
}

/// Q2: equal times are ordered by trace id.
async fn equal_times_order_by_trace_id(scene: Scene) {
    for number in [5, 1, 4, 2, 3] {
        let one = span(scene.trace(number), 1).at(scene.at(7));
        scene.store([scene.resource("a").span(one)]).await;
    }
    assert_eq!(scene.find(scene.query()).await, [1, 2, 3, 4, 5]);
    assert_eq!(scene.find(scene.query().depth(2)).await, [1, 2]);
}

/// Q3: one span must satisfy all conditions; the whole trace is returned, once.
async fn one_span_must_satisfy_everything(scene: Scene) {
    let (at, whole, split) = (scene.at(0), scene.trace(1), scene.trace(2));
    let both = span(whole, 1).name("x").at(at).attribute("k", "v");
    let twin = span(whole, 2).name("x").at(at + 1).attribute("k", "v");
    let other = span(whole, 3).name("y").at(at + 2);
    let named = span(split, 1).name("x").at(at);
    let tagged = span(split, 2).name("y").at(at).attribute("k", "v");
    let elsewhere = span(split, 3).name("x").at(at).attribute("k", "v");
    scene
        .store([
            scene
                .resource("a")
                .spans([both, twin, other, named, tagged]),
            scene.resource("b").span(elsewhere),
        ])
        .await;

    let query = scene.query().service(scene.service("a"));
    let query = query.operation("x").attribute("k", "v");
    assert_eq!(scene.find(query.clone()).await, [1]);
    let found = scene.client.find_traces(&query).await.unwrap();
    assert_eq!(found[0].span_ids(), [1, 2, 3]);
}

/// Q3, W6: results are complete traces, even if they were written in parts.
async fn a_trace_written_in_pieces_is_found_whole(scene: Scene) {
    for number in [1, 2, 3, 4] {
        let one = span(scene.trace(1), number)
            .name(&format!("op-{number}"))
            .at(scene.at(number));
        let other = span(scene.trace(2), number).at(scene.at(number));
        let resource = scene.resource("a").span(one).span(other);
        scene.store([resource]).await;
    }
    let query = scene.query().operation("op-3");
    assert_eq!(scene.find(query.clone()).await, [1]);
    let found = scene.client.find_traces(&query).await.unwrap();
    assert_eq!(found[0].span_ids(), [1, 2, 3, 4]);
}

/// Q4: exact, case-sensitive.
async fn a_service_is_matched_exactly(scene: Scene) {
    let shop = scene.service("shop");
    let names = [
        shop.clone(),
        shop.to_uppercase(),
        format!("{shop}2"),
        "shop".to_owned(),
    ];
    for (number, name) in (1..).zip(&names) {
        let one = span(scene.trace(number), 1).at(scene.at(number));
        scene.store([service(name.as_str()).span(one)]).await;
    }
    assert_eq!(scene.find(scene.query().service(&shop)).await, [1]);
    assert_eq!(scene.find(scene.query()).await, [4, 3, 2, 1]);
    let unknown = scene.query().service(scene.service("unknown"));
    assert!(scene.find(unknown).await.is_empty());
}

/// Q4: a `service.name` that is not a string counts as missing, and an empty service means any.
async fn a_service_name_that_is_no_string_counts_as_none(scene: Scene) {
    let number = span(scene.trace(1), 1).at(scene.at(1));
    let named = span(scene.trace(2), 1).at(scene.at(2));
    scene
        .store([service(42).span(number), scene.resource("a").span(named)])
        .await;

    assert!(scene.find(scene.query().service("42")).await.is_empty());
    assert_eq!(scene.find(scene.query()).await, [2, 1]);
    // The attribute itself is an ordinary one (Q8, Q9).
    assert_eq!(
        scene
            .find(scene.query().attribute("service.name", "42"))
            .await,
        [1]
    );
}

/// Q5: exact; an empty operation means any.
async fn an_operation_is_the_exact_name_of_the_span(scene: Scene) {
    for (number, name) in [(1, "GET /"), (2, "get /"), (3, "GET /x"), (4, "")] {
        let one = span(scene.trace(number), 1).name(name).at(scene.at(number));
        scene.store([scene.resource("a").span(one)]).await;
    }
    assert_eq!(scene.find(scene.query().operation("GET /")).await, [1]);
    assert_eq!(scene.find(scene.query()).await, [4, 3, 2, 1]);
}

/// Q6: both ends included, to the nanosecond, of the start of the matching span.
async fn the_window_includes_both_ends(scene: Scene) {
    for number in [1, 2, 3] {
        let one = span(scene.trace(number), 1)
            .at(scene.at(number))
            .lasting(5000);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let window = |from, to| Query::default().window(scene.at(from), scene.at(to));
    assert_eq!(scene.find(window(1, 3)).await, [3, 2, 1]);
    assert_eq!(scene.find(window(2, 2)).await, [2]);
    assert_eq!(scene.find(window(2, 3)).await, [3, 2]);
    assert_eq!(scene.find(window(4, 9)).await, [0; 0]);
    assert_eq!(scene.find(window(3, 1)).await, [0; 0]);
}

/// Q6, Q3: the matching span must start in the window; the trace need not.
async fn the_window_is_of_the_matching_span(scene: Scene) {
    let spans = [
        span(scene.trace(1), 1).name("early").at(scene.at(10)),
        span(scene.trace(1), 2).name("late").at(scene.at(90)),
    ];
    scene.store([scene.resource("a").spans(spans)]).await;

    let window = |from, to| Query::default().window(scene.at(from), scene.at(to));
    assert_eq!(scene.find(window(0, 50).operation("early")).await, [1]);
    assert_eq!(scene.find(window(0, 50).operation("late")).await, [0; 0]);
    assert_eq!(scene.find(window(20, 80)).await, [0; 0]);
}

/// W1: absent and the year 1 both mean that there is no bound; 1970 is a bound.
async fn the_year_one_is_no_bound_and_1970_is_one(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(0));
    scene.store([scene.resource("a").span(one)]).await;

    let asked = Query::default().service(scene.service("a"));
    let mut unset = asked.clone();
    unset.0.start_time_min = Some(unset_timestamp());
    unset.0.start_time_max = Some(unset_timestamp());
    unset.0.duration_min = Some(unset_duration());
    unset.0.duration_max = Some(unset_duration());
    assert_eq!(scene.find(unset).await, [1]);
    assert_eq!(scene.find(asked.clone()).await, [1]);

    assert_eq!(scene.find(asked.clone().not_after(0)).await, [0; 0]);
    assert_eq!(scene.find(asked.clone().not_before(0)).await, [1]);
    let mut only_start = asked;
    only_start.0.start_time_min = Some(timestamp(scene.at(1)));
    only_start.0.start_time_max = Some(unset_timestamp());
    assert_eq!(scene.find(only_start).await, [0; 0]);
}

/// W1: times before 1970 or beyond 64 bits of nanoseconds are valid bounds.
async fn bounds_beyond_the_times_of_spans_are_honoured(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(0));
    scene.store([scene.resource("a").span(one)]).await;

    let bounded = |seconds: i64, min: bool| {
        let mut query = Query::default().service(scene.service("a"));
        let time = prost_types::Timestamp { seconds, nanos: 0 };
        let bound = if min {
            &mut query.0.start_time_min
        } else {
            &mut query.0.start_time_max
        };
        *bound = Some(time);
        query
    };
    assert_eq!(scene.find(bounded(-5, true)).await, [1]);
    assert_eq!(scene.find(bounded(-5, false)).await, [0; 0]);
    assert_eq!(scene.find(bounded(200_000_000_000, true)).await, [0; 0]);
    assert_eq!(scene.find(bounded(200_000_000_000, false)).await, [1]);
}

/// Q7: both ends included; zero means no bound.
async fn durations_include_both_ends(scene: Scene) {
    for number in [1, 2, 3] {
        let one = span(scene.trace(number), 1)
            .at(scene.at(number))
            .lasting(number * 1000);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let query = || scene.query();
    assert_eq!(scene.find(query().at_least(2000)).await, [3, 2]);
    assert_eq!(scene.find(query().at_most(2000)).await, [2, 1]);
    assert_eq!(scene.find(query().at_least(2000).at_most(2000)).await, [2]);
    assert_eq!(
        scene.find(query().at_least(2001).at_most(2999)).await,
        [0; 0]
    );
    assert_eq!(scene.find(query().at_least(0).at_most(0)).await, [3, 2, 1]);
}

/// Q7: a span that ends before it starts has a negative duration; negative bounds are valid.
async fn negative_durations_are_numbers(scene: Scene) {
    for (number, end) in [(1, 100), (2, 900), (3, 500)] {
        // They start at 500, so their durations are -400, 400 and 0.
        let mut one = span(scene.trace(number), 1).at(scene.at(500));
        one.0.end_time_unix_nano = scene.at(end);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let query = || scene.query();
    assert_eq!(scene.find(query().at_most(-1)).await, [1]);
    assert_eq!(scene.find(query().at_most(-400)).await, [1]);
    assert_eq!(scene.find(query().at_most(-401)).await, [0; 0]);
    assert_eq!(scene.find(query().at_least(-399)).await, [2, 3]);
    assert_eq!(scene.find(query().at_least(-400)).await, [1, 2, 3]);
    assert_eq!(scene.find(query().at_most(1)).await, [1, 3]);
    assert_eq!(scene.find(query().at_least(1)).await, [2]);
}

/// Q7, Q16, D2, F3: a span that ends before it starts ends at its start where a range is told or asked for, and is not long.
async fn an_end_before_the_start_is_the_start_of_a_range(scene: Scene) {
    let id = scene.trace(1);
    let mut caller = span(id, 1).at(scene.at(5000));
    caller.0.end_time_unix_nano = scene.at(4000);
    let mut callee = span(id, 2).parent(1).at(scene.at(5000));
    callee.0.end_time_unix_nano = 0;
    let resources = [
        scene.resource("a").span(caller),
        scene.resource("b").span(callee),
    ];
    scene.store(resources).await;

    let (start, end) = (timestamp(scene.at(5000)), timestamp(scene.at(5000)));
    let found = scene.client.find_trace_ids(&scene.query()).await.unwrap();
    assert_eq!((found[0].start, found[0].end), (Some(start), Some(end)));
    let summaries = scene.client.find_trace_summaries(&scene.query()).await;
    let summary = &summaries.unwrap()[0];
    assert_eq!(summary.min_start_time_unix_nano, scene.at(5000));
    assert_eq!(summary.max_end_time_unix_nano, scene.at(5000));
    for least in [1, 1000, 3_600_000_000_000] {
        assert_eq!(scene.find(scene.query().at_least(least)).await, [0; 0]);
    }
    // Both start within the first window, and after the second.
    for (to, calls) in [(5000, 1), (4999, 0)] {
        let to = Some(timestamp(scene.at(to)));
        let found = scene
            .client
            .dependencies(Some(timestamp(scene.at(4000))), to);
        assert_eq!(found.await.unwrap().len(), calls);
    }
}

/// Q7: durations beyond 64 bits of nanoseconds are valid bounds.
async fn very_long_duration_bounds_are_honoured(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(0)).lasting(5);
    scene.store([scene.resource("a").span(one)]).await;

    let age = Some(prost_types::Duration {
        seconds: 300_000_000_000,
        nanos: 0,
    });
    let mut longer = scene.query();
    longer.0.duration_min = age;
    assert_eq!(scene.find(longer).await, [0; 0]);
    let mut shorter = scene.query();
    shorter.0.duration_max = age;
    shorter.0.duration_min = Some(duration(5));
    assert_eq!(scene.find(shorter).await, [1]);
}

/// W5: no match gives an empty answer, and so does a request without a query's fields.
async fn no_match_is_an_empty_answer(scene: Scene) {
    let query = scene.query().service(scene.service("nobody"));
    assert!(scene.client.find_traces(&query).await.unwrap().is_empty());
    assert!(
        scene
            .client
            .find_trace_ids(&query)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        scene
            .client
            .find_trace_summaries(&query)
            .await
            .unwrap()
            .is_empty()
    );
}

/// Q16: `FindTraceIDs` returns start and end of the whole trace, not only of the matching spans.
async fn found_ids_carry_the_range_of_the_whole_trace(scene: Scene) {
    let id = scene.trace(1);
    for (number, name, offset, lasting) in [(1, "x", 500, 10), (2, "y", 100, 5), (3, "y", 400, 700)]
    {
        let one = span(id, number)
            .name(name)
            .at(scene.at(offset))
            .lasting(lasting);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let query = scene.query().operation("x");
    let found = scene.client.find_trace_ids(&query).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].trace_id[..], id);
    assert_eq!(found[0].start, Some(timestamp(scene.at(100))));
    assert_eq!(found[0].end, Some(timestamp(scene.at(1100))));
}

larder_tests::every_plugin_and_fixture![
    a_depth_of_zero_or_less_is_the_default_of_100,
    a_depth_above_the_maximum_is_no_error,
    the_newest_matching_span_decides_the_order,
    equal_times_order_by_trace_id,
    one_span_must_satisfy_everything,
    a_trace_written_in_pieces_is_found_whole,
    a_service_is_matched_exactly,
    a_service_name_that_is_no_string_counts_as_none,
    an_operation_is_the_exact_name_of_the_span,
    the_window_includes_both_ends,
    the_window_is_of_the_matching_span,
    the_year_one_is_no_bound_and_1970_is_one,
    bounds_beyond_the_times_of_spans_are_honoured,
    durations_include_both_ends,
    negative_durations_are_numbers,
    an_end_before_the_start_is_the_start_of_a_range,
    very_long_duration_bounds_are_honoured,
    no_match_is_an_empty_answer,
    found_ids_carry_the_range_of_the_whole_trace,
];
