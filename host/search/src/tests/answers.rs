//! The content of the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_model::storage::{ErrorKind, TraceId};
use larder_oracle::{Query, filter, otlp};
use larder_proto::storage::v2::{
    Dependency, GetDependenciesRequest, GetOperationsRequest, GetTraceParams, GetTracesRequest,
    Operation, Pagination, TraceQueryParameters,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use super::super::Limits;
use super::super::testing::{Memory, all, limits, of, op, run, searcher, spans};
use super::super::time::{instant, timestamp};
use super::{by_id, by_service, traces};

fn ids(memory: &Arc<Memory>, query: TraceQueryParameters) -> Vec<u128> {
    let found = run(searcher(memory, limits()).find_trace_ids(query))
        .unwrap()
        .trace_ids;
    let id = |bytes: &[u8]| TraceId::from_query(bytes).0;
    found.iter().map(|found| id(&found.trace_id)).collect()
}

#[test]
fn the_newest_matching_span_decides_the_order_and_ties_go_by_id() {
    let memory = Arc::new(Memory::of(&[
        // Newer spans that do not match give a trace no place.
        vec![of("s", op(1, 1, 10, 11)), of("other", op(1, 2, 99, 100))],
        vec![of("s", op(4, 1, 20, 21))],
        vec![of("s", op(3, 1, 20, 21))],
        vec![of("s", op(2, 1, 5, 6))],
        vec![of("s", op(2, 2, 30, 31))],
    ]));
    assert_eq!(ids(&memory, by_service("s")), [2, 3, 4, 1]);
    let query = TraceQueryParameters {
        search_depth: 2,
        ..by_service("s")
    };
    assert_eq!(ids(&memory, query), [2, 3]);
}

#[test]
fn one_span_has_to_satisfy_everything() {
    let memory = Arc::new(Memory::of(&[
        vec![
            of("s", op(1, 1, 1, 2).name("a")),
            of("s", op(1, 2, 1, 2).attribute("k", "v")),
        ],
        vec![of("s", op(2, 1, 1, 2).name("a").attribute("k", "v"))],
    ]));
    let query = Query::default().operation("a").attribute("k", "v");
    assert_eq!(ids(&memory, query.0), [2]);
}

#[test]
fn a_found_id_has_the_times_of_its_whole_trace() {
    let memory = Arc::new(Memory::of(&[
        vec![of("s", op(1, 1, 50, 60))],
        vec![of("other", op(1, 2, 40, 90))],
    ]));
    let found = run(searcher(&memory, limits()).find_trace_ids(by_service("s")))
        .unwrap()
        .trace_ids;
    assert_eq!(found[0].start, Some(timestamp(40)));
    assert_eq!(found[0].end, Some(timestamp(90)));
}

#[test]
fn a_large_trace_comes_in_messages_below_the_limit() {
    let batches: Vec<_> = (1..=50).map(|n| vec![of("s", op(1, n, n, n))]).collect();
    let memory = Arc::new(Memory::of(&batches));
    let limits = Limits {
        max_message_bytes: 200,
        ..limits()
    };
    let messages = all(searcher(&memory, limits).get_traces(by_id(&[1]))).unwrap();
    assert!(messages.len() > 1);
    assert!(
        messages
            .iter()
            .all(|message| (1..=200).contains(&message.0.len()))
    );
    let spans = messages.iter().flat_map(spans);
    let ids: Vec<_> = spans.map(|span| span.span_id).collect();
    let expected: Vec<_> = (1..=50_u64).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn small_pieces_of_a_trace_are_joined_and_traces_are_not() {
    let batches = (1..=50).map(|n| vec![of("s", op(1 + u128::from(n % 2), n, n, n))]);
    let batches = batches.collect::<Vec<_>>();
    let memory = Arc::new(Memory::of(&batches));
    let messages = all(searcher(&memory, limits()).get_traces(by_id(&[2, 1]))).unwrap();
    let traces = messages
        .iter()
        .map(|message| TraceId::from_query(&spans(message)[0].trace_id).0);
    assert_eq!(traces.collect::<Vec<_>>(), [2, 1]);
}

/// Traces 1 and 2 of `count` spans each, in pieces of one span. The plugin has dropped seven more spans of trace 2.
fn with_a_cut_trace(count: u64) -> Memory {
    let spans = (1..=count).flat_map(|n| [(1, n), (2, n)]);
    let batches = spans.map(|(trace, n)| vec![of("s", op(trace, n, n, n))]);
    let mut memory = Memory::of(&batches.collect::<Vec<_>>());
    memory.lie_about_pieces = Some(Box::new(|page| {
        let first = page.pieces.iter_mut().find(|it| it.trace_id == TraceId(2));
        if let Some(first) = first {
            first.dropped_spans = 7;
        }
    }));
    memory
}

#[test]
fn a_trace_of_which_only_the_beginning_is_kept_says_so_on_its_first_span() {
    let memory = Arc::new(with_a_cut_trace(3));
    let searcher = searcher(&memory, limits());
    let mark = otlp::key_value("larder.dropped.spans", 7_i64);
    for messages in [
        all(searcher.get_traces(by_id(&[1, 2]))).unwrap(),
        all(searcher.find_traces(by_service("s"))).unwrap(),
    ] {
        let spans: Vec<_> = messages.iter().flat_map(spans).collect();
        assert_eq!(spans.len(), 6);
        for span in spans {
            let is_marked = span.trace_id == 2_u128.to_be_bytes() && span.start_time_unix_nano == 1;
            let marks = if is_marked {
                vec![mark.clone()]
            } else {
                vec![]
            };
            assert_eq!(span.attributes, marks, "{span:?}");
        }
    }
}

#[test]
fn a_search_judges_a_trace_as_it_was_written_and_not_the_mark() {
    let memory = Arc::new(with_a_cut_trace(3));
    let marked = Query::default().attribute("larder.dropped.spans", "7");
    assert!(ids(&memory, marked.0).is_empty());
    let absent = filter::not(filter::exists(filter::attr("larder.dropped.spans")));
    let query = Query::default().filter(absent);
    assert_eq!(ids(&memory, query.0), [1, 2]);
    let searcher = searcher(&memory, limits());
    let summaries = all(searcher.find_trace_summaries(by_service("s"))).unwrap();
    let summaries = summaries.iter().flat_map(|message| &message.summaries);
    let counts: Vec<_> = summaries.map(|summary| summary.span_count).collect();
    assert_eq!(counts, [3, 3]);
}

#[test]
fn a_first_span_that_fits_a_message_only_without_the_mark_goes_without_it() {
    let memory = Arc::new(with_a_cut_trace(1));
    let piece = all(searcher(&memory, limits()).get_traces(by_id(&[1]))).unwrap();
    let limits = Limits {
        max_message_bytes: piece[0].0.len(),
        ..limits()
    };
    let messages = all(searcher(&memory, limits).get_traces(by_id(&[2]))).unwrap();
    assert_eq!(messages[0].0.len(), piece[0].0.len());
    assert!(spans(&messages[0])[0].attributes.is_empty());
}

#[test]
fn a_piece_that_fits_no_message_names_the_setting() {
    let memory = Arc::new(Memory::of(&traces(1)));
    let limits = Limits {
        max_message_bytes: 20,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let error = all(searcher.get_traces(by_id(&[1]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
    assert_eq!(error.setting(), Some("grpc.max_message_bytes"));
    let error = all(searcher.find_trace_summaries(by_service("s"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
    let error = run(searcher.find_trace_ids(by_service("s"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
}

#[test]
fn ids_are_padded_and_cut_and_given_once() {
    let memory = Arc::new(Memory::of(&[vec![of("s", op(0xab << 120, 1, 1, 2))]]));
    let long = [vec![0xab], vec![0; 20]].concat();
    let query = [vec![0xab], long, vec![0xcd], Vec::new()]
        .map(|trace_id| GetTraceParams {
            trace_id,
            // A hint of time that is wrong does not matter (G1).
            start_time: Some(timestamp(77)),
            end_time: Some(timestamp(78)),
        })
        .to_vec();
    let messages = all(searcher(&memory, limits()).get_traces(GetTracesRequest { query }));
    assert_eq!(messages.unwrap().len(), 1);
}

#[test]
fn nothing_found_is_an_empty_answer() {
    let memory = Arc::new(Memory::of(&traces(3)));
    let searcher = searcher(&memory, limits());
    assert_eq!(all(searcher.get_traces(by_id(&[77]))).unwrap(), []);
    assert_eq!(all(searcher.find_traces(by_service("t"))).unwrap(), []);
    assert_eq!(
        all(searcher.find_trace_summaries(by_service("t"))).unwrap(),
        []
    );
    assert_eq!(
        run(searcher.find_trace_ids(by_service("t")))
            .unwrap()
            .trace_ids,
        []
    );
}

#[test]
fn an_invalid_query_is_refused_by_every_search() {
    let memory = Arc::new(Memory::of(&traces(3)));
    let searcher = searcher(&memory, limits());
    let query = || TraceQueryParameters {
        start_time_min: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..TraceQueryParameters::default()
    };
    let errors = [
        all(searcher.find_traces(query())).unwrap_err(),
        all(searcher.find_trace_summaries(query())).unwrap_err(),
        run(searcher.find_trace_ids(query())).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(memory.finds.load(Ordering::Relaxed), 0);
}

#[test]
fn summaries_are_cut_into_messages_below_the_limit() {
    let memory = Arc::new(Memory::of(&traces(30)));
    let limits = Limits {
        max_message_bytes: 200,
        ..limits()
    };
    let messages = all(searcher(&memory, limits).find_trace_summaries(by_service("s"))).unwrap();
    assert!(messages.len() > 1);
    assert!(messages.iter().all(|message| message.encoded_len() <= 200));
    let starts = messages.iter().flat_map(|message| &message.summaries);
    let starts: Vec<_> = starts
        .map(|summary| summary.min_start_time_unix_nano)
        .collect();
    assert_eq!(starts, (1..=30).rev().collect::<Vec<_>>());
}

#[test]
fn of_roots_that_start_together_the_first_written_names_the_trace() {
    // Whatever order the digests come in.
    for seed in 0..8 {
        let batches: Vec<_> = ["b", "a", "c"]
            .map(|name| vec![of("s", op(1, 1, 5, 6).name(name))])
            .to_vec();
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let messages = all(searcher(&memory, limits()).find_trace_summaries(by_service("s")));
        let summary = &messages.unwrap()[0].summaries[0];
        assert_eq!(summary.root_operation_name, "b");
        assert_eq!(summary.span_count, 3);
    }
}

#[test]
fn copies_are_found_in_whatever_piece_they_are() {
    for seed in 0..8 {
        let one = || of("a", op(1, 1, 5, 9));
        let child = || of("b", op(1, 2, 6, 7).parent(1));
        let mut batches = [
            vec![one(), child()],
            vec![child(), one(), one()],
            // Equal but for the operation; equal but for the resource.
            vec![of("a", op(1, 1, 5, 9).name("other"))],
            vec![otlp::service("b").attribute("k", 1).0],
        ];
        batches[3][0].scope_spans = child().scope_spans;
        let memory = Arc::new(Memory::of(&batches).odd(seed));
        let messages = all(searcher(&memory, limits()).find_trace_summaries(by_service("a")));
        let summary = &messages.unwrap()[0].summaries[0];
        assert_eq!(summary.root_operation_name, "op");
        assert_eq!((summary.span_count, summary.orphan_span_count), (4, 0));
        assert_eq!(dependencies(&memory, 1, None), [call("a", "b", 2)]);
    }
}

fn dependencies(memory: &Arc<Memory>, start: u64, end: Option<u64>) -> Vec<(String, String, u64)> {
    let request = GetDependenciesRequest {
        start_time: Some(timestamp(start)),
        end_time: end.map(timestamp),
    };
    let found = run(searcher(memory, limits()).dependencies(request, None)).unwrap();
    let triple = |d: Dependency| (d.parent, d.child, d.call_count);
    found.into_iter().map(triple).collect()
}

fn call(parent: &str, child: &str, count: u64) -> (String, String, u64) {
    (parent.to_owned(), child.to_owned(), count)
}

#[test]
fn a_call_is_a_span_whose_parent_is_in_its_trace() {
    let memory = Arc::new(Memory::of(&[
        vec![
            of("a", op(1, 1, 10, 20)),
            of("b", op(1, 2, 11, 19).parent(1)),
            of("b", op(1, 3, 12, 18).parent(2)),
            of("", op(1, 4, 13, 17).parent(2)),
            of("c", op(1, 5, 14, 16).parent(77)),
        ],
        // The same id in another trace is another span.
        vec![of("d", op(2, 6, 14, 16).parent(1))],
    ]));
    let expected = [call("a", "b", 1), call("b", "empty-service-name", 1)];
    assert_eq!(dependencies(&memory, 1, None), expected);
}

#[test]
fn only_a_trace_that_lies_within_the_window_counts_ends_included() {
    let memory = Arc::new(Memory::of(&[
        vec![of("a", op(1, 1, 10, 20))],
        vec![of("b", op(1, 2, 12, 18).parent(1))],
    ]));
    let expected = [call("a", "b", 1)];
    assert_eq!(dependencies(&memory, 10, Some(20)), expected);
    assert_eq!(dependencies(&memory, 11, Some(20)), []);
    assert_eq!(dependencies(&memory, 10, Some(19)), []);
    assert_eq!(dependencies(&memory, 10, None), expected);
}

#[test]
fn a_span_that_ends_before_it_starts_ends_at_its_start() {
    let memory = Arc::new(Memory::of(&[
        vec![of("a", op(1, 1, 30, 15))],
        vec![of("b", op(1, 2, 31, 16).parent(1))],
    ]));
    assert_eq!(dependencies(&memory, 10, Some(20)), []);
    assert_eq!(dependencies(&memory, 10, Some(30)), []);
    assert_eq!(dependencies(&memory, 10, Some(31)), [call("a", "b", 1)]);
    assert_eq!(dependencies(&memory, 31, Some(32)), []);
}

#[test]
fn of_parents_that_share_an_id_one_of_the_child_s_service_is_the_parent() {
    for seed in 0..8 {
        let memory = Memory::of(&[
            vec![of("a", op(1, 1, 1, 9))],
            vec![of("a", op(1, 2, 2, 8).parent(1))],
            vec![of("b", op(1, 3, 4, 6).parent(2))],
            vec![of("b", op(1, 2, 3, 7).parent(1))],
        ]);
        let memory = Arc::new(memory.odd(seed));
        assert_eq!(dependencies(&memory, 1, None), [call("a", "b", 1)]);
    }
}

#[test]
fn of_parents_that_share_an_id_the_first_written_calls() {
    for seed in 0..8 {
        let memory = Memory::of(&[
            vec![of("b", op(1, 1, 1, 2))],
            vec![of("a", op(1, 1, 1, 2))],
            vec![of("c", op(1, 2, 1, 2).parent(1))],
        ]);
        let memory = Arc::new(memory.odd(seed));
        assert_eq!(dependencies(&memory, 1, None), [call("b", "c", 1)]);
    }
}

#[test]
fn dependencies_refuse_what_is_no_window() {
    let memory = Arc::new(Memory::of(&traces(1)));
    let searcher = searcher(&memory, limits());
    let ask = |start: Option<u64>, end: Option<u64>| {
        let request = GetDependenciesRequest {
            start_time: start.map(timestamp),
            end_time: end.map(timestamp),
        };
        run(searcher.dependencies(request, None))
    };
    let error = ask(None, Some(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "start time is required");
    let error = ask(Some(6), Some(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "end time must be greater than start time");
    assert_eq!(ask(Some(5), Some(5)).unwrap(), []);
    assert_eq!(instant("t", Some(&timestamp(5))).unwrap(), Some(5));
}

#[test]
fn services_are_sorted_once_each_and_named() {
    let memory = Arc::new(Memory::of(&[
        vec![of("b", op(1, 1, 1, 2)), of("", op(1, 2, 1, 2))],
        vec![of("a", op(2, 1, 1, 2)), of("b", op(2, 2, 1, 2))],
    ]));
    assert_eq!(
        run(searcher(&memory, limits()).services()).unwrap(),
        ["a", "b", "empty-service-name"]
    );
}

#[test]
fn operations_are_sorted_and_of_the_kind_asked_for() {
    let named = |id, name| op(1, id, 1, 2).name(name);
    let memory = Arc::new(Memory::of(&[
        vec![of("s", named(1, "b").kind(SpanKind::Server))],
        vec![
            of("s", named(2, "a")),
            of("s", named(3, "b")),
            of("s", named(4, "b").kind(SpanKind::Server)),
            of("t", named(5, "x").kind(SpanKind::Server)),
            of("s", named(6, "").kind(SpanKind::Client)),
        ],
    ]));
    let ask = |service: &str, span_kind: &str| {
        let request = GetOperationsRequest {
            service: service.to_owned(),
            span_kind: span_kind.to_owned(),
        };
        let found = run(searcher(&memory, limits()).operations(request)).unwrap();
        let pair = |o: Operation| format!("{}/{}", o.name, o.span_kind);
        found.into_iter().map(pair).collect::<Vec<_>>()
    };
    let all = ["a/", "b/", "b/server", "empty-span-name/client"];
    assert_eq!(ask("s", ""), all);
    assert_eq!(ask("s", "server"), ["b/server"]);
    assert_eq!(ask("s", "SERVER"), Vec::<String>::new());
    assert_eq!(ask("s", "nonsense"), Vec::<String>::new());
    assert_eq!(ask("unknown", ""), Vec::<String>::new());
}

#[test]
fn lists_that_fit_no_message_name_the_setting() {
    let memory = Arc::new(Memory::of(&traces(1)));
    let limits = Limits {
        max_message_bytes: 1,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let request = GetOperationsRequest {
        service: "s".to_owned(),
        span_kind: String::new(),
    };
    for error in [
        run(searcher.services()).unwrap_err(),
        run(searcher.operations(request)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
        assert_eq!(error.setting(), Some("grpc.max_message_bytes"));
    }
}

/// Lists are cut where a message is full, and what was written last goes in first. The storage of tests gives it first.
#[test]
fn lists_are_cut_to_a_message_and_tell_it() {
    let written = |id: u64| {
        let one = op(u128::from(id), id, 1, 2);
        vec![of(&format!("service {id:020}"), one)]
    };
    let memory = Arc::new(Memory::of(&(1..=100).map(written).collect::<Vec<_>>()));
    let limits = Limits {
        max_message_bytes: 1000,
        ..limits()
    };
    let services = searcher(&memory, limits);
    assert_eq!(services.omission().all().next(), None);
    let found = run(services.services()).unwrap();
    let kept = found.len();
    assert!((20..30).contains(&kept), "{kept}");
    let newest: Vec<String> = (101 - kept as u64..=100)
        .map(|id| format!("service {id:020}"))
        .collect();
    assert_eq!(found, newest);
    let omitted = services.omission().all().next().unwrap();
    assert_eq!(
        omitted.to_string(),
        format!(
            "list=services; left-out={}; setting=grpc.max_message_bytes",
            100 - kept
        )
    );
}

/// A search that asks for more than the limit of traces tells whether there are more.
#[test]
fn a_depth_over_the_limit_tells_whether_it_cut_the_answer() {
    let memory = Arc::new(Memory::of(&traces(10)));
    for (max_depth, asked, cut) in [(5, 7, true), (10, 20, false), (5, 5, false)] {
        let limits = Limits {
            max_depth,
            ..limits()
        };
        let query = || TraceQueryParameters {
            search_depth: asked,
            ..by_service("s")
        };
        let wanted = asked.min(i32::try_from(max_depth).unwrap());
        let wanted = usize::try_from(wanted.min(10)).unwrap();
        let list = || cut.then_some("search_depth");
        let ids = searcher(&memory, limits);
        let found = run(ids.find_trace_ids(query())).unwrap();
        assert_eq!(found.trace_ids.len(), wanted);
        assert_eq!(
            ids.omission().all().next().map(|omitted| omitted.list),
            list()
        );
        let whole = searcher(&memory, limits);
        all(whole.find_traces(query())).unwrap();
        assert_eq!(
            whole.omission().all().next().map(|omitted| omitted.list),
            list()
        );
        let short = searcher(&memory, limits);
        all(short.find_trace_summaries(query())).unwrap();
        assert_eq!(
            short.omission().all().next().map(|omitted| omitted.list),
            list()
        );
    }
}

/// Without tokens nothing leads to the rest of a page that the limit of traces cuts, so the answer tells that it is cut.
#[test]
fn a_page_over_the_limit_has_a_token_or_a_sign() {
    let memory = Arc::new(Memory::of(&traces(10)));
    for (page_size, pagination, has_token, sign) in [
        (7, true, true, None),
        (7, false, false, Some("search_depth")),
        (5, true, true, None),
        (5, false, false, None),
    ] {
        let limits = Limits {
            max_depth: 5,
            pagination,
            ..limits()
        };
        let query = || TraceQueryParameters {
            pagination: Some(Pagination {
                page_size,
                page_token: String::new(),
            }),
            ..by_service("s")
        };
        let ids = searcher(&memory, limits);
        let found = run(ids.find_trace_ids(query())).unwrap();
        assert_eq!(found.trace_ids.len(), 5);
        assert_eq!(!found.next_page_token.is_empty(), has_token);
        let list = ids.omission().all().next().map(|omitted| omitted.list);
        assert_eq!(list, sign);

        let short = searcher(&memory, limits);
        let messages = all(short.find_trace_summaries(query())).unwrap();
        let token = &messages.last().unwrap().next_page_token;
        assert_eq!(token, &found.next_page_token);
        let list = short.omission().all().next().map(|omitted| omitted.list);
        assert_eq!(list, sign);
    }
}

/// Ids that fit no message: the newest that fit, and with pages a token for the rest.
#[test]
fn ids_are_cut_to_a_message_and_pages_go_on() {
    let memory = Arc::new(Memory::of(&traces(100)));
    let limits = Limits {
        max_message_bytes: 1000,
        ..limits()
    };
    let cut = searcher(&memory, limits);
    let found = run(cut.find_trace_ids(by_service("s"))).unwrap();
    assert!((10..50).contains(&found.trace_ids.len()));
    assert_eq!(found.next_page_token, "");
    assert_eq!(
        cut.omission().all().next().map(|omitted| omitted.list),
        Some("trace_ids")
    );
    let whole = searcher(&memory, super::super::testing::limits());
    let whole = run(whole.find_trace_ids(by_service("s")))
        .unwrap()
        .trace_ids;
    assert_eq!(found.trace_ids, whole[..found.trace_ids.len()]);

    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = searcher(&memory, limits);
        let query = TraceQueryParameters {
            pagination: Some(Pagination {
                page_size: 100,
                page_token,
            }),
            ..by_service("s")
        };
        let found = run(page.find_trace_ids(query)).unwrap();
        assert_eq!(
            page.omission().all().next(),
            None,
            "the next page has the rest"
        );
        paged.extend(found.trace_ids);
        page_token = found.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole);
}
