use super::*;

impl TestAdmin {
    async fn explain(&self, accept: &str, body: &str) -> Answer {
        let request = Request::post("/explain").header(header::ACCEPT, accept);
        self.ask(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }
}

const QUERY: &str = r#"{
    "service_name": "s", "operationName": "o", "attributes": {"k": "v"}, "search_depth": 7,
    "start_time_min": "1970-01-01T00:00:01.5Z", "durationMax": "-1.5s",
    "filter": {"op": "and", "args": [
        {"call": {"op": "exists", "args": [{"attr": {"key": "k", "level": "span"}}]}},
        {"call": {"op": "in", "args": [{"field": {"name": "n", "level": "l"}}, {"list": {"values": ["a"], "type": "int"}}]}},
        {"call": {"op": "some", "args": [{"nested": {"level": "event"}}, {"scalar": {"value": "x", "type": "bool"}}]}}
    ]}
}"#;

#[tokio::test]
async fn a_query_in_the_words_of_jaeger_is_run_and_explained() {
    let answer = TestAdmin::new(None).explain("*/*", QUERY).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for part in [
        "service_name: \"s\", operation_name: \"o\"",
        "StringValue(\"v\")",
        "search_depth: 7",
        "Timestamp { seconds: 1, nanos: 500000000 }",
        "Duration { seconds: -1, nanos: -500000000 }",
        "AttributeReference { key: \"k\", level: \"span\" }",
        "FieldReference { name: \"n\", level: \"l\" }",
        "List { values: [\"a\"], r#type: \"int\" }",
        "NestedReference { level: \"event\" }",
        "Scalar { value: \"x\", r#type: \"bool\" }",
        "[1 term]",
        "2 clauses, of terms: 1, 2",
        "4 pages, 5 sightings, 6 fragments of 7 bytes read, 8 spans judged on digests",
        "values 0.25 ms, find 0.50 ms, read 1.50 ms, judge 2.50 ms",
        "3 traces match, of at most 20",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
}

const SPAN_QUERY: &str = r#"{
    "start_time_min": "1970-01-01T00:00:01Z", "startTimeMax": "1970-01-01T00:00:02Z", "pageSize": 5,
    "orderBy": [{"expression": {"field": {"name": "duration", "level": "span"}}, "direction": "desc"}]
}"#;

#[tokio::test]
async fn a_search_for_spans_is_run_and_explained() {
    let admin = TestAdmin::new(None);
    let answer = admin.explain("*/*", SPAN_QUERY).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for part in [
        "Spans(SpanQueryParameters",
        "Timestamp { seconds: 2, nanos: 0 }",
        "page_size: 5",
        "FieldReference { name: \"duration\", level: \"span\" }",
        "direction: \"desc\"",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    let mixed = r#"{"spans": true, "service_name": "s"}"#;
    let answer = admin.explain("*/*", mixed).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("no `service_name`"), "{}", answer.body);
}

#[tokio::test]
async fn what_a_search_for_spans_cannot_be_is_refused_with_words() {
    let admin = TestAdmin::new(None);
    let order = r#"[{"expression": {"field": {"name": "duration", "level": "span"}}, "direction": "desc"}]"#;
    let ordered = |fields: &str| format!(r#"{{{fields} "order_by": {order}}}"#);
    for (body, part) in [
        (
            r#"{"spans": true, "page_size": 0}"#.to_owned(),
            "`page_size` is at least 1",
        ),
        (ordered(r#""pageSize": 0,"#), "`page_size` is at least 1"),
        (ordered(r#""spans": false,"#), "`spans` is false"),
        (
            r#"{"spans": false, "page_size": 5}"#.to_owned(),
            "`search_depth` in place of `page_size`",
        ),
        (
            r#"{"page_size": 0}"#.to_owned(),
            "`search_depth` in place of `page_size`",
        ),
    ] {
        let answer = admin.explain("*/*", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    for body in [&*ordered(r#""spans": true,"#), r#"{"spans": true}"#] {
        let answer = admin.explain("*/*", body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        assert!(answer.body.contains("Spans("), "{}", answer.body);
    }
    for body in [r#"{"spans": false}"#, r#"{"order_by": []}"#] {
        let answer = admin.explain("*/*", body).await;
        assert!(answer.body.contains("Traces("), "{body}: {}", answer.body);
    }
}

const DEPENDENCIES: &str = r#"{
    "dependencies": true, "start_time": "1970-01-01T00:00:01.5Z", "endTime": "1970-01-01T00:00:02Z"
}"#;

#[tokio::test]
async fn dependencies_are_answered_and_explained() {
    let admin = TestAdmin::new(None);
    let answer = admin.explain("*/*", DEPENDENCIES).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for part in [
        "calls from GetDependenciesRequest",
        "Timestamp { seconds: 1, nanos: 500000000 }",
        "Timestamp { seconds: 2, nanos: 0 }",
        "buckets: 1 settled, 2 open, 3 suspect, 4 unknown; 5 late traces\n",
        "6 buckets added up whole, 7 in part, with 8 pages of 9 rows scanned\n",
        "14 pages, 15 sightings, 16 fragments of 17 bytes read, 12 traces of 13 spans judged\n",
        "kept 0.25 ms, find 0.50 ms, read 1.50 ms, judge 2.50 ms\n",
        "11 calls between 10 pairs of services\n",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    let answer = admin.explain("application/json", DEPENDENCIES).await;
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, "application/json")
    );
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json["coverage"]["late_traces"], 5);
    assert_eq!(json["coverage"].get("unusable"), None);
    assert_eq!(json["summed"]["scanned_rows"], 9);
    assert_eq!(json["judged_traces"], 12);
    assert_eq!(json.get("error"), None);
}

#[tokio::test]
async fn what_a_request_for_dependencies_cannot_have_is_refused_with_words() {
    let admin = TestAdmin::new(None);
    for (field, value) in [
        ("service_name", r#""s""#),
        ("operation_name", r#""o""#),
        ("attributes", r#"{"k": "v"}"#),
        ("start_time_min", r#""1970-01-01T00:00:01Z""#),
        ("start_time_max", r#""1970-01-01T00:00:01Z""#),
        ("duration_min", r#""1s""#),
        ("duration_max", r#""1s""#),
        ("search_depth", "1"),
        ("filter", r#"{"op": "and"}"#),
        ("spans", "false"),
        ("order_by", "[{}]"),
        ("page_size", "1"),
    ] {
        let body = format!(r#"{{"dependencies": true, "{field}": {value}}}"#);
        let answer = admin.explain("*/*", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let part = format!("a request for dependencies has no `{field}`");
        assert!(answer.body.contains(&part), "{part} in {}", answer.body);
    }
    for body in [
        r#"{"start_time": "1970-01-01T00:00:01Z"}"#,
        r#"{"spans": true, "end_time": "1970-01-01T00:00:01Z"}"#,
        r#"{"dependencies": false, "endTime": "1970-01-01T00:00:01Z"}"#,
    ] {
        let answer = admin.explain("*/*", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let part = "`start_time_min` and `start_time_max` in place of";
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    let body = r#"{"dependencies": true, "start_time": "noon"}"#;
    let answer = admin.explain("*/*", body).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("cannot parse \"noon\""),
        "{}",
        answer.body
    );
    let answer = admin.explain("*/*", r#"{"dependencies": false}"#).await;
    assert!(answer.body.contains("Traces("), "{}", answer.body);
}

#[tokio::test]
async fn dependencies_that_the_search_refuses_are_a_bad_request() {
    let answer = TestAdmin::new(Some(ErrorKind::InvalidArgument))
        .explain("*/*", DEPENDENCIES)
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, "the window says no\n")
    );
}

#[tokio::test]
async fn an_explanation_is_json_where_that_is_asked_for() {
    let answer = TestAdmin::new(None).explain("application/json", "{}").await;
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, "application/json")
    );
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json["plan"]["index"], "1 term");
    assert_eq!(json["judged_spans"], 8);
    assert_eq!(json.get("error"), None);
}

#[tokio::test]
async fn a_body_that_is_no_query_is_refused_with_the_place_that_is_wrong() {
    let admin = TestAdmin::new(None);
    for (body, part) in [
        ("{", "EOF"),
        (r#"{"service": "s"}"#, "unknown field `service`"),
        (
            r#"{"filter": {"op": "eq", "args": [{"attr": {"kee": "k"}}]}}"#,
            "filter.args[0]",
        ),
        (r#"{"start_time_min": "noon"}"#, "cannot parse \"noon\""),
        (r#"{"duration_min": "1"}"#, "missing unit"),
        // An array is no object, wherever it stands.
        ("[]", "sequence, expected a JSON object"),
        (r#"["s"]"#, "sequence, expected a JSON object"),
        (r#"{"filter": []}"#, "filter: invalid type: sequence"),
        (
            r#"{"filter": {"op": "not", "args": [[]]}}"#,
            "filter.args[0]",
        ),
        (r#"{"order_by": [[]]}"#, "order_by[0]"),
        ("null", "null, expected a JSON object"),
        ("{} {}", "trailing characters"),
    ] {
        let answer = admin.explain("*/*", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
}

#[tokio::test]
async fn an_argument_without_a_term_is_for_the_filter_to_refuse() {
    let body = r#"{"filter": {"op": "not", "args": [{}]}}"#;
    let answer = TestAdmin::new(None).explain("*/*", body).await;
    assert!(
        answer.body.contains("Expression { term: None }"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_query_that_the_search_refuses_is_a_bad_request() {
    let answer = TestAdmin::new(Some(ErrorKind::InvalidFilter))
        .explain("*/*", "{}")
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, "the filter says no\n")
    );
}
