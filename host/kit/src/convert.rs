//! The SDK's types, which the list has, as the host's, and back.

use larder_model::storage::{self, BatchBuilder, FragmentFacts};
use larder_plugin::testing::{Breach, Called, StoredFragment};
use larder_plugin::{
    Batch, Counts, Error, Operation, Part, Piece, Pieces, Search, Sighting, Sightings, SpanKind,
    TraceId, Wanted,
};
use larder_runtime::plugin::{DirectResult, GuestError, NoAnswer};

/// The breach of a call that gave no answer.
pub(crate) fn ended(function: &str, ended: &NoAnswer) -> Breach {
    Breach::new(ended.rule, format!("`{function}`: {}", ended.detail))
}

/// What came of a call, in the SDK's types.
pub(crate) fn called<T, U>(
    function: &str,
    called: DirectResult<T>,
    answer: impl FnOnce(T) -> U,
) -> Called<U> {
    let called = called.map_err(|it| ended(function, &it))?;
    Ok(called.map(answer).map_err(error))
}

pub(crate) fn error(error: GuestError) -> Error {
    match error {
        GuestError::InvalidArgument(text) => Error::InvalidArgument(text),
        GuestError::ResourceExhausted(text) => Error::ResourceExhausted(text),
        GuestError::Unavailable(text) => Error::Unavailable(text),
        GuestError::DataLoss(text) => Error::DataLoss(text),
        GuestError::Other(text) => Error::Other(text),
    }
}

pub(crate) fn batch(batch: &Batch) -> storage::Batch {
    let mut builder = BatchBuilder::with_capacity(batch.otlp.len());
    for service in &batch.services {
        builder.push_service(service);
    }
    for operation in batch.operations() {
        builder.push_operation(
            operation.service_index,
            operation.name,
            kind(operation.kind),
        );
    }
    for fragment in batch.fragments() {
        builder.terms().extend_from_slice(fragment.terms);
        let operations = builder.fragment_operations();
        operations.extend_from_slice(fragment.operations);
        builder.digest().extend_from_slice(fragment.digest);
        builder.otlp().extend_from_slice(fragment.otlp);
        builder.finish_fragment(FragmentFacts {
            trace_id: storage::TraceId(fragment.trace_id.into()),
            span_count: fragment.span_count,
            starts: storage::TimeRange {
                start: fragment.starts.start,
                end: fragment.starts.end,
            },
            durations: storage::DurationRange {
                shortest: fragment.durations.shortest,
                longest: fragment.durations.longest,
            },
        });
    }
    builder.build()
}

pub(crate) fn search(search: &Search) -> storage::Search {
    storage::Search {
        starts: storage::TimeRange {
            start: search.starts.start,
            end: search.starts.end,
        },
        durations: storage::DurationRange {
            shortest: search.durations.shortest,
            longest: search.durations.longest,
        },
        clauses: search.clauses.clone(),
    }
}

pub(crate) fn wanted(wanted: &Wanted) -> storage::Wanted {
    match wanted {
        Wanted::Traces(ids) => {
            let ids = ids.iter().map(|it| storage::TraceId((*it).into()));
            storage::Wanted::Traces(ids.collect())
        }
        Wanted::Fragments(handles) => storage::Wanted::Fragments(handles.clone()),
    }
}

pub(crate) fn part(part: Part) -> storage::Part {
    match part {
        Part::Digest => storage::Part::Digest,
        Part::Otlp => storage::Part::Otlp,
    }
}

pub(crate) fn sightings(page: storage::Sightings) -> Sightings {
    let found = page.found.into_iter().map(|it| Sighting {
        trace_id: TraceId::from(it.trace_id.0),
        newest: it.newest,
        fragment: it.fragment,
    });
    Sightings {
        found: found.collect(),
        floor: page.floor,
        resume: page.resume,
    }
}

pub(crate) fn pieces(page: storage::Pieces) -> Pieces {
    let pieces = page.pieces.into_iter().map(|it| Piece {
        trace_id: TraceId::from(it.trace_id.0),
        fragment: it.fragment,
        bytes: it.bytes,
        dropped_spans: it.dropped_spans,
    });
    Pieces {
        pieces: pieces.collect(),
        resume: page.resume,
    }
}

pub(crate) fn operations(operations: Vec<storage::Operation>) -> Vec<Operation> {
    let operations = operations.into_iter().map(|it| Operation {
        service: it.service,
        name: it.name,
        kind: kind_of(it.kind),
    });
    operations.collect()
}

/// What the host makes of a fragment's otlp: the kit knows it from the list.
pub(crate) fn remade(fragment: Option<&StoredFragment>) -> storage::Remade {
    let operations = fragment.iter().flat_map(|it| &it.operations);
    let operations = operations.map(|it| storage::Operation {
        service: it.service.clone(),
        name: it.name.clone(),
        kind: kind(it.kind),
    });
    storage::Remade {
        digest: fragment.map(|it| it.digest.clone()),
        operations: operations.collect(),
    }
}

pub(crate) fn counts(counts: storage::Statistics) -> Counts {
    Counts {
        traces: counts.traces,
        spans: counts.spans,
        bytes: counts.bytes,
        evicted_traces: counts.evicted_traces,
        evicted_spans: counts.evicted_spans,
        expired_traces: counts.expired_traces,
        expired_spans: counts.expired_spans,
        oldest_write: counts.oldest_write,
    }
}

fn kind(kind: SpanKind) -> storage::SpanKind {
    match kind {
        SpanKind::Unspecified => storage::SpanKind::Unspecified,
        SpanKind::Internal => storage::SpanKind::Internal,
        SpanKind::Server => storage::SpanKind::Server,
        SpanKind::Client => storage::SpanKind::Client,
        SpanKind::Producer => storage::SpanKind::Producer,
        SpanKind::Consumer => storage::SpanKind::Consumer,
    }
}

fn kind_of(kind: storage::SpanKind) -> SpanKind {
    match kind {
        storage::SpanKind::Unspecified => SpanKind::Unspecified,
        storage::SpanKind::Internal => SpanKind::Internal,
        storage::SpanKind::Server => SpanKind::Server,
        storage::SpanKind::Client => SpanKind::Client,
        storage::SpanKind::Producer => SpanKind::Producer,
        storage::SpanKind::Consumer => SpanKind::Consumer,
    }
}
