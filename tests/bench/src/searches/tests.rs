use std::collections::BTreeSet;

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{Call, Expression};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message;

use super::filters;
use crate::generate::Corpus;

/// A search for what no span has would be fast and say nothing.
#[test]
fn filters_name_attributes_that_spans_have() -> anyhow::Result<()> {
    let corpus = Corpus::new(7, 20_000, 1_000);
    let mut stored = BTreeSet::new();
    for index in 0..corpus.requests() {
        let request = ExportTraceServiceRequest::decode(corpus.request(index).bytes)?;
        for resource in request.resource_spans {
            add(
                &mut stored,
                "resource",
                resource.resource.unwrap_or_default().attributes,
            );
            for scope in resource.scope_spans {
                add(
                    &mut stored,
                    "scope",
                    scope.scope.unwrap_or_default().attributes,
                );
                for span in scope.spans {
                    add(&mut stored, "span", span.attributes);
                    for event in span.events {
                        add(&mut stored, "event", event.attributes);
                    }
                    for link in span.links {
                        add(&mut stored, "link", link.attributes);
                    }
                }
            }
        }
    }
    let mut named = BTreeSet::new();
    for (_, filter, _) in filters::filters(20_000) {
        attributes(&filter, &mut named);
    }
    let levels: BTreeSet<_> = named.iter().map(|(level, _)| level.as_str()).collect();
    assert_eq!(
        levels,
        BTreeSet::from(["event", "link", "resource", "scope", "span"])
    );
    let missing: Vec<_> = named.difference(&stored).collect();
    assert!(missing.is_empty(), "no span has {missing:?}");
    Ok(())
}

fn add(stored: &mut BTreeSet<(String, String)>, level: &str, attributes: Vec<KeyValue>) {
    stored.extend(
        attributes
            .into_iter()
            .map(|attribute| (level.to_owned(), attribute.key)),
    );
}

/// The attributes that a filter names, as level and key.
fn attributes(call: &Call, named: &mut BTreeSet<(String, String)>) {
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
