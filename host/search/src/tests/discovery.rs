//! Which attributes and values there are.

use std::sync::Arc;
use std::time::Duration;

use larder_model::storage::ErrorKind;
use larder_oracle::otlp::key_value;

use super::super::testing::{Memory, limits, of, op, run, searcher};
use super::super::{KeysQuery, Limits, Searcher, ValuesQuery};

/// Exports, of which the first and the fourth list their values.
fn memory(values: usize) -> Arc<Memory> {
    let one = |service: &str, number: u64, method: &str| {
        let span = op(number.into(), 1, number, number + 1).attribute("http.method", method);
        let span = span.attribute("http.code", 200 + i64::try_from(number).unwrap());
        vec![of(service, span)]
    };
    let mut exports = vec![
        one("cart", 1, "GET"),
        one("cart", 2, "GET"),
        one("cart", 3, "GET"),
        one("shop", 4, "POST"),
        one("shop", 5, "GET"),
    ];
    let with_event = op(1, 2, 1, 2).event("e", [key_value("cause", "x")]);
    exports[0].push(of("cart", with_event));
    Arc::new(Memory::of_listed(&exports, values))
}

fn known(memory: &Arc<Memory>) -> Searcher {
    searcher(memory, limits()).with_snapshot(memory.snapshot())
}

fn keys(memory: &Arc<Memory>, service: &str, prefix: &str) -> Vec<String> {
    let query = KeysQuery {
        service: service.to_owned(),
        prefix: prefix.to_owned(),
    };
    let found = run(known(memory).attribute_keys(query)).unwrap();
    assert_eq!(found.error, None);
    let keys = found.attributes.into_iter();
    keys.map(|it| {
        let more = if it.has_more { "+" } else { "" };
        format!("{} {} {} {}{more}", it.level, it.key, it.r#type, it.values)
    })
    .collect()
}

fn values(memory: &Arc<Memory>, query: ValuesQuery) -> (Vec<String>, bool) {
    let found = run(known(memory).attribute_values(query)).unwrap();
    assert_eq!(found.error, None);
    let values = found.values.into_iter();
    let values = values.map(|it| format!("{} {} {}", it.level, it.value, it.fragments));
    (values.collect(), found.has_more)
}

fn of_key(key: &str) -> ValuesQuery {
    ValuesQuery {
        key: key.to_owned(),
        ..ValuesQuery::default()
    }
}

#[test]
fn keys_come_with_their_level_their_type_and_the_number_of_their_values() {
    let memory = memory(100);
    let all = [
        "event cause text 1",
        "span http.code number 3",
        "span http.method text 2",
        "resource service.name text 2",
    ];
    assert_eq!(keys(&memory, "", ""), all);
    assert_eq!(keys(&memory, "", "http."), all[1..3]);
    assert_eq!(keys(&memory, "cart", ""), all);
    assert_eq!(keys(&memory, "shop", ""), all[1..]);
    assert!(keys(&memory, "nobody", "").is_empty());
    assert!(keys(&memory, "", "x").is_empty());
}

#[test]
fn a_key_with_more_values_than_are_listed_says_so() {
    let full = memory(1);
    assert_eq!(keys(&full, "", "http.code"), ["span http.code number 1+"]);
    let (found, has_more) = values(&full, of_key("http.code"));
    assert_eq!((found.len(), has_more), (1, true));
}

#[test]
fn values_come_with_the_number_of_fragments_that_have_them() {
    let memory = memory(100);
    let all = ["span GET 4", "span POST 1"];
    let all = all.map(str::to_owned).to_vec();
    assert_eq!(values(&memory, of_key("http.method")), (all.clone(), false));
    for (query, expected) in [
        (
            ValuesQuery {
                prefix: "P".to_owned(),
                ..of_key("http.method")
            },
            (all[1..].to_vec(), false),
        ),
        (
            ValuesQuery {
                limit: Some(1),
                ..of_key("http.method")
            },
            (all[..1].to_vec(), true),
        ),
        (
            ValuesQuery {
                level: "event".to_owned(),
                ..of_key("http.method")
            },
            (Vec::new(), false),
        ),
        (of_key("nothing"), (Vec::new(), false)),
    ] {
        assert_eq!(values(&memory, query.clone()), expected, "{query:?}");
    }
    // What retention has dropped is no value any more.
    memory.drop_oldest(10);
    assert_eq!(values(&memory, of_key("http.method")), (Vec::new(), false));
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let memory = memory(100);
    for query in [
        ValuesQuery {
            level: "spam".to_owned(),
            ..of_key("k")
        },
        ValuesQuery {
            limit: Some(0),
            ..of_key("k")
        },
        ValuesQuery {
            limit: Some(1001),
            ..of_key("k")
        },
    ] {
        let refused = run(known(&memory).attribute_values(query)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    }
    let unknown = searcher(&memory, limits());
    let refused = run(unknown.attribute_keys(KeysQuery::default())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("have expired"), "{refused}");
    let refused = run(unknown.attribute_values(of_key("k"))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_answer_that_exceeds_its_budget_says_so_and_has_what_was_found() {
    let memory = memory(100);
    let limits = Limits {
        timeout: Duration::ZERO,
        ..limits()
    };
    let searcher = searcher(&memory, limits).with_snapshot(memory.snapshot());
    let found = run(searcher.attribute_values(of_key("http.method"))).unwrap();
    assert!(found.values.is_empty() && found.has_more);
    assert!(found.error.unwrap().contains("limits.query_timeout"));
    let query = KeysQuery {
        service: "cart".to_owned(),
        ..KeysQuery::default()
    };
    let found = run(searcher.attribute_keys(query)).unwrap();
    assert!(found.error.unwrap().contains("limits.query_timeout"));
}
