use std::collections::BTreeSet;

use anyhow::Result;
use larder_oracle::otlp::spans_of;
use larder_proto::expression::v1::Expression;
use larder_proto::expression::v1::expression::Term;
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::*;
use crate::source::all_of;
use crate::truth::Truth;

type Keys = BTreeSet<(String, String)>;

/// A search for attributes that no span has would be fast and meaningless.
#[test]
fn filters_name_attributes_that_spans_have() {
    let corpus = Corpus::new(7, 20_000, 1_000);
    let mut stored = Keys::new();
    let mut add = |level: &str, attributes: &[KeyValue]| {
        let keys = attributes.iter().map(|attribute| attribute.key.clone());
        stored.extend(keys.map(|key| (level.to_owned(), key)));
    };
    for index in 0..corpus.requests() {
        let (request, _) = corpus.message(index);
        for one in spans_of(&request.resource_spans) {
            if let Some(of) = &one.resource.resource {
                add("resource", &of.attributes);
            }
            if let Some(of) = &one.scope.scope {
                add("scope", &of.attributes);
            }
            add("span", &one.span.attributes);
            for of in &one.span.events {
                add("event", &of.attributes);
            }
            for of in &one.span.links {
                add("link", &of.attributes);
            }
        }
    }
    let mut named = Keys::new();
    for (_, filter) in filters(20_000) {
        attributes(&filter, &mut named);
    }
    let levels: BTreeSet<_> = named.iter().map(|(level, _)| level.as_str()).collect();
    assert_eq!(
        levels,
        BTreeSet::from(["event", "link", "resource", "scope", "span"])
    );
    let missing: Vec<_> = named.difference(&stored).collect();
    assert!(missing.is_empty(), "no span has {missing:?}");
}

/// Collects the attributes that a filter names, as level and key.
fn attributes(call: &Call, named: &mut Keys) {
    for Expression { term } in &call.args {
        match term {
            Some(Term::Attr(attribute)) => {
                named.insert((attribute.level.clone(), attribute.key.clone()));
            }
            Some(Term::Call(call)) => attributes(call, named),
            _ => {}
        }
    }
}

#[test]
fn searches_find_something_unless_it_is_rare_or_is_not_there() -> Result<()> {
    let corpus = Corpus::new(7, 20_000, 1_000);
    let searches = searches(&corpus);
    let questions = searches.iter().map(|search| search.question.clone());
    let findings = Truth::of(questions, all_of(&corpus))?;
    let all = searches.iter().zip(findings);
    let empty = all.filter(|(_, findings)| findings.len() == 0);
    let empty: Vec<_> = empty.map(|(search, _)| search.name).collect();
    // These are rare, so a few spans may have none.
    let rare = [
        "service and user, rare",
        "all services, no match",
        "filter: span attribute",
        "filter: link attribute",
        "filter: service and few users, ten traces",
        "filter: status code above 599, no match",
        "filter: regex on a common key, no match",
    ];
    assert_eq!(empty, rare);
    Ok(())
}
