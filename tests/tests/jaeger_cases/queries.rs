//! Jaeger's 25 searches. Its query service converts every tag to a string (W4), and so do these.

use larder_tests::Query;

use crate::fixtures::START;

/// A search and the fixtures that it must find.
pub(crate) struct Case {
    pub(crate) caption: &'static str,
    pub(crate) query: Query,
    pub(crate) expected: &'static [&'static str],
}

const SECOND: u64 = 1_000_000_000;

/// Searches an hour around the spans, for the service of query `number`.
fn search(number: u64) -> Query {
    Query::default()
        .service(format!("query{number:02}-service"))
        .window(START - 3600 * SECOND, START + 3600 * SECOND)
        .depth(1000)
}

/// Adds the operation of that query.
fn named(number: u64) -> Query {
    search(number).operation(format!("query{number:02}-operation"))
}

fn tagged(query: Query) -> Query {
    prefixed(query, "sameplacetag")
}

fn prefixed(query: Query, prefix: &str) -> Query {
    let values = ["sameplacevalue", "123", "72.5", "true"];
    (1..).zip(values).fold(query, |query, (number, value)| {
        query.attribute(format!("{prefix}{number}"), value)
    })
}

fn range(query: Query) -> Query {
    query.at_least(4500).at_most(5500)
}

type Row = (&'static str, Query, &'static [&'static str]);

/// Returns all cases, in Jaeger's order.
pub(crate) fn cases() -> Vec<Case> {
    let rows = one_spot().into_iter().chain(no_tags()).chain(with_tags());
    let rows = rows.chain(many_spots()).chain(last());
    rows.map(|(caption, query, expected)| Case {
        caption,
        query,
        expected,
    })
    .collect()
}

fn one_spot() -> Vec<Row> {
    let many_indices = search(5).window(START - 60_360 * SECOND, START - 59_940 * SECOND);
    vec![
        ("tags: span", tagged(search(1)), &["span_tags_trace"]),
        ("tags: event", tagged(search(2)), &["log_tags_trace"]),
        ("tags: resource", tagged(search(3)), &["process_tags_trace"]),
        (
            "tags: several",
            tagged(search(4)),
            &["multi_spot_tags_trace"],
        ),
        ("several indices", many_indices, &["multi_index_trace"]),
    ]
}

fn no_tags() -> Vec<Row> {
    let short = named(7).at_most(2000);
    vec![
        ("operation", named(6), &["opname_trace"]),
        ("operation, longest", short, &["opname_maxdur_trace"]),
        ("operation, range", range(named(8)), &["opname_dur_trace"]),
        ("range", range(search(9)), &["dur_trace"]),
        ("longest", search(10).at_most(1000), &["max_dur_trace"]),
        ("default", search(11), &["default"]),
    ]
}

fn with_tags() -> Vec<Row> {
    let named = |number| tagged(named(number));
    let short = named(13).at_most(2000);
    let shortest = tagged(search(16)).at_most(1000);
    let ranged = range(tagged(search(15)));
    vec![
        ("tags, operation", named(12), &["tags_opname_trace"]),
        (
            "tags, operation, longest",
            short,
            &["tags_opname_maxdur_trace"],
        ),
        (
            "tags, operation, range",
            range(named(14)),
            &["tags_opname_dur_trace"],
        ),
        ("tags, range", ranged, &["tags_dur_trace"]),
        ("tags, longest", shortest, &["tags_maxdur_trace"]),
    ]
}

fn many_spots() -> Vec<Row> {
    let named = |number| tagged(named(number));
    let short = named(18).at_most(2000);
    let shortest = tagged(search(21)).at_most(1000);
    let ranged = range(tagged(search(20)));
    vec![
        (
            "spots, operation",
            named(17),
            &["multispottag_opname_trace"],
        ),
        (
            "spots, operation, longest",
            short,
            &["multispottag_opname_maxdur_trace"],
        ),
        (
            "spots, operation, range",
            range(named(19)),
            &["multispottag_opname_dur_trace"],
        ),
        ("spots, range", ranged, &["multispottag_dur_trace"]),
        ("spots, longest", shortest, &["multispottag_maxdur_trace"]),
    ]
}

fn last() -> Vec<Row> {
    let three = &["multiple1_trace", "multiple2_trace", "multiple3_trace"];
    let scope = prefixed(search(24), "sameplacescopeattribute");
    let link = prefixed(search(25), "sameplacelinkattribute");
    vec![
        ("several traces", search(22), three),
        ("scope", tagged(search(23)), &["scope_name_version_trace"]),
        ("scope attributes", scope, &["scope_attributes_trace"]),
        ("link attributes", link, &["link_attributes_trace"]),
    ]
}
