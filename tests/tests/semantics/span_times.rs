//! Times of `FindSpans` at their limits: durations of more than 63 bits, and windows that begin before 1970 or have one end.

use larder_tests::filter::{eq, field, gt, gte, lt, lte};
use larder_tests::otlp::{service, span};
use larder_tests::{Options, Plugin, Scene, SpanSearch, timestamp, unset_timestamp};
use prost_types::Timestamp;
use tonic::Code;

use crate::span_pages::numbers;
use crate::spans::{assert_refused, ordered};

/// 2^63, one more than the most nanoseconds that a signed duration has.
const HALF: u64 = 1 << 63;

/// A difference of two times has 65 bits, and sorts and compares as the number that it is.
async fn durations_beyond_63_bits_do_not_wrap(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    // From the shortest to the longest.
    let times = [
        (1, u64::MAX, 0),
        (2, HALF + 3, 2),
        (3, HALF, 0),
        (4, 6, 5),
        (5, 5, 5),
        (6, 5, 6),
        (7, 1, HALF),
        (8, 1, HALF + 1),
        (9, 0, u64::MAX),
    ];
    for (number, start, end) in times {
        let mut one = span([number; 16], 1).at(start);
        one.0.end_time_unix_nano = end;
        client.store([service("a").span(one)]).await;
    }
    let all = || SpanSearch::within(0, u64::MAX);
    let mut by_duration = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    for direction in ["asc", "desc"] {
        let search = all().order_by("duration", direction);
        for size in [1, 2, 4, 10] {
            let found = client.pages_of_spans(&search, size).await.concat();
            assert_eq!(numbers(&found), by_duration, "{direction}, {size} a page");
        }
        by_duration.reverse();
    }
    // The first and the last nanosecond that a span can start at; of equal starts the trace ids decide.
    let by_start = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let found = client.pages_of_spans(&all(), 2).await.concat();
    assert_eq!(numbers(&found), by_start);
    let oldest = ordered(all(), &[("startTime", "asc"), ("traceID", "desc")]);
    let found = client.pages_of_spans(&oldest, 2).await.concat();
    assert!(numbers(&found).iter().rev().eq(&by_start));

    // The shortest and the longest duration that a filter can name, in Go's notation.
    let duration = || field("span", "duration");
    let (shortest, longest) = ("-2562047h47m16.854775808s", "2562047h47m16.854775807s");
    for (filter, expected) in [
        (gt(duration(), longest), vec![8, 9]),
        (gte(duration(), longest), vec![7, 8, 9]),
        (eq(duration(), longest), vec![7]),
        (lt(duration(), shortest), vec![1, 2]),
        (lte(duration(), shortest), vec![1, 2, 3]),
        (eq(duration(), shortest), vec![3]),
        (gt(duration(), "0"), vec![6, 7, 8, 9]),
        (lt(duration(), "0"), vec![1, 2, 3, 4]),
    ] {
        let search = all().filter(filter).order_by("duration", "asc");
        let (found, _) = client.page_of_spans(&search).await.unwrap();
        assert_eq!(numbers(&found), expected, "{search:?}");
    }
}

larder_tests::with_plugins!(durations_beyond_63_bits_do_not_wrap: kv = Kv, memory = Memory, minimal = Minimal);

/// A search in a window with these ends, which may be before 1970.
fn window(min: Timestamp, max: Timestamp) -> SpanSearch {
    let mut search = SpanSearch::default();
    search.0.start_time_min = Some(min);
    search.0.start_time_max = Some(max);
    search
}

/// No span starts before 1970. A window may: it ends before as well, and finds nothing, or finds what is in the rest of it.
async fn a_window_may_begin_before_1970(scene: Scene) {
    for number in 1..=5 {
        let one = span(scene.trace(number), 1).at(scene.at(10 * number));
        scene.store([scene.resource("early").span(one)]).await;
    }
    let name = scene.service("early");
    // Others write to the server too.
    let of_scene = |search: SpanSearch| search.filter(eq(field("resource", "service"), &*name));
    let seconds = |seconds| Timestamp { seconds, nanos: 0 };
    // The first nanosecond that is not taken for an absent time.
    let first = Timestamp {
        nanos: 1,
        ..unset_timestamp()
    };
    let last = timestamp(scene.at(40));
    for min in [first, seconds(-315_619_200), seconds(-1)] {
        for (direction, expected) in [("desc", [4, 3, 2, 1]), ("asc", [1, 2, 3, 4])] {
            let search = of_scene(window(min, last)).order_by("startTime", direction);
            for size in [1, 3, 4] {
                let found = scene.client.pages_of_spans(&search, size).await.concat();
                let ids = found.iter().map(|one| {
                    let id = &one.scope_spans[0].spans[0].trace_id;
                    id[..].try_into().unwrap()
                });
                let ids: Vec<[u8; 16]> = ids.collect();
                assert_eq!(scene.numbers(&ids), expected, "{min:?} {direction}");
            }
        }
        for max in [min, seconds(-1)] {
            let (found, token) = scene.client.page_of_spans(&window(min, max)).await.unwrap();
            assert_eq!((found.len(), &*token), (0, ""), "{min:?} to {max:?}");
        }
    }
    let text = "start_time_min must be before start_time_max";
    let turned = window(seconds(-1), seconds(-2));
    let refused = scene.client.page_of_spans(&turned).await.unwrap_err();
    assert_refused(&refused, None, text);
    // As late as a `Timestamp` goes, and later than any span.
    let late = window(seconds(253_402_300_798), seconds(253_402_300_799));
    let (found, _) = scene.client.page_of_spans(&late).await.unwrap();
    assert_eq!(found.len(), 0);
}

larder_tests::every_plugin![a_window_may_begin_before_1970];

/// The year 1 is what Jaeger's client sends for an absent time.
#[tokio::test]
async fn a_window_needs_both_ends() {
    let scene = Scene::new(Plugin::Memory).await;
    let sound = scene.span_search().0;
    let (min, max) = (sound.start_time_min, sound.start_time_max);
    let (absent, unset) = (None, Some(unset_timestamp()));
    for (min, max) in [
        (min, absent),
        (min, unset),
        (absent, max),
        (unset, max),
        (absent, unset),
        (unset, absent),
        (unset, unset),
    ] {
        let mut search = scene.span_search();
        search.0.start_time_min = min;
        search.0.start_time_max = max;
        let refused = scene.client.page_of_spans(&search).await.unwrap_err();
        let text = "start_time_min and start_time_max are required";
        assert_refused(&refused, None, text);
    }
}

#[tokio::test]
async fn a_time_that_is_none_is_refused_by_its_name() {
    let scene = Scene::new(Plugin::Memory).await;
    let malformed = Timestamp {
        seconds: 0,
        nanos: 1_000_000_000,
    };
    let mut early = scene.span_search();
    early.0.start_time_min = Some(malformed);
    let mut late = scene.span_search();
    late.0.start_time_max = Some(malformed);
    for (search, name) in [(early, "start_time_min"), (late, "start_time_max")] {
        let refused = scene.client.page_of_spans(&search).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with(name), "{refused:?}");
    }
}
