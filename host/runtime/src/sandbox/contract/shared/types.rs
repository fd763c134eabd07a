//! Conversions between the contract's types and the host's own.

/// Conversions between the contract's types and the host's own.
macro_rules! conversions {
    (trace_id) => {
        impl From<storage::TraceId> for types::TraceId {
            fn from(id: storage::TraceId) -> Self {
                let [high, low] = shared::halves(id.0);
                Self { high, low }
            }
        }

        impl From<types::TraceId> for storage::TraceId {
            fn from(id: types::TraceId) -> Self {
                Self((u128::from(id.high) << 64) | u128::from(id.low))
            }
        }
    };
    (time_range) => {
        impl From<storage::TimeRange> for types::TimeRange {
            fn from(range: storage::TimeRange) -> Self {
                Self {
                    start: range.start,
                    end: range.end,
                }
            }
        }
    };
    (duration_range) => {
        impl From<storage::DurationRange> for types::DurationRange {
            fn from(range: storage::DurationRange) -> Self {
                Self {
                    shortest: range.shortest,
                    longest: range.longest,
                }
            }
        }
    };
    (span_kind) => {
        impl From<storage::SpanKind> for types::SpanKind {
            fn from(kind: storage::SpanKind) -> Self {
                use storage::SpanKind;

                match kind {
                    SpanKind::Unspecified => Self::Unspecified,
                    SpanKind::Internal => Self::Internal,
                    SpanKind::Server => Self::Server,
                    SpanKind::Client => Self::Client,
                    SpanKind::Producer => Self::Producer,
                    SpanKind::Consumer => Self::Consumer,
                }
            }
        }

        impl From<types::SpanKind> for storage::SpanKind {
            fn from(kind: types::SpanKind) -> Self {
                match kind {
                    types::SpanKind::Unspecified => Self::Unspecified,
                    types::SpanKind::Internal => Self::Internal,
                    types::SpanKind::Server => Self::Server,
                    types::SpanKind::Client => Self::Client,
                    types::SpanKind::Producer => Self::Producer,
                    types::SpanKind::Consumer => Self::Consumer,
                }
            }
        }
    };
    (operation) => {
        impl From<types::Operation> for storage::Operation {
            fn from(operation: types::Operation) -> Self {
                Self {
                    service: operation.service,
                    name: operation.name,
                    kind: operation.kind.into(),
                }
            }
        }
    };
    (error) => {
        impl From<types::Error> for GuestError {
            fn from(error: types::Error) -> Self {
                match error {
                    types::Error::InvalidArgument(text) => Self::InvalidArgument(text),
                    types::Error::ResourceExhausted(text) => Self::ResourceExhausted(text),
                    types::Error::Unavailable(text) => Self::Unavailable(text),
                    types::Error::DataLoss(text) => Self::DataLoss(text),
                    types::Error::Other(text) => Self::Other(text),
                }
            }
        }
    };
    (info) => {
        impl From<lifecycle::Info> for Info {
            fn from(info: lifecycle::Info) -> Self {
                Self {
                    name: info.name,
                    version: info.version,
                    instancing: match info.instancing {
                        lifecycle::Instancing::Exclusive => $crate::component::Instancing::Exclusive,
                        lifecycle::Instancing::Replicated => $crate::component::Instancing::Replicated,
                    },
                }
            }
        }
    };
    (fragment) => {
        impl From<(&storage::FragmentFacts, &storage::Ends)> for writer::Fragment {
            fn from((facts, ends): (&storage::FragmentFacts, &storage::Ends)) -> Self {
                Self {
                    trace_id: facts.trace_id.into(),
                    span_count: facts.span_count,
                    starts: facts.starts.into(),
                    durations: facts.durations.into(),
                    terms_end: ends.terms,
                    operations_end: ends.operations,
                    digest_end: ends.digest,
                    otlp_end: ends.otlp,
                }
            }
        }
    };
    (part) => {
        impl From<storage::Part> for reader::Part {
            fn from(part: storage::Part) -> Self {
                match part {
                    storage::Part::Digest => Self::Digest,
                    storage::Part::Otlp => Self::Otlp,
                }
            }
        }
    };
    (sightings) => {
        impl From<reader::Sightings> for storage::Sightings {
            fn from(page: reader::Sightings) -> Self {
                Self {
                    found: shared::converted(page.found),
                    floor: page.floor,
                    resume: page.resume,
                }
            }
        }

        impl From<reader::Sighting> for storage::Sighting {
            fn from(sighting: reader::Sighting) -> Self {
                Self {
                    trace_id: sighting.trace_id.into(),
                    newest: sighting.newest,
                    fragment: sighting.fragment,
                }
            }
        }
    };
    (pieces) => {
        impl From<reader::Pieces> for storage::Pieces {
            fn from(page: reader::Pieces) -> Self {
                Self {
                    pieces: shared::converted(page.pieces),
                    resume: page.resume,
                }
            }
        }
    };
    (kv_key) => {
        impl From<kv::Key> for larder_store::Key {
            fn from(key: kv::Key) -> Self {
                Self {
                    partition: key.partition,
                    sort: key.sort,
                }
            }
        }
    };
    (kv_error) => {
        impl From<larder_store::Error> for kv::Error {
            fn from(error: larder_store::Error) -> Self {
                use larder_store::Error;

                match error {
                    Error::Unavailable(text) => Self::Unavailable(text),
                    Error::OutcomeUnknown(text) => Self::OutcomeUnknown(text),
                    Error::Fenced | Error::Held(_) => Self::Fenced,
                    Error::QuotaExceeded(text) => Self::QuotaExceeded(text),
                    Error::TooLarge(text) => Self::TooLarge(text),
                    Error::DataLoss(text) => Self::DataLoss(text),
                    Error::Other(text) => Self::Other(text),
                }
            }
        }
    };
    (log_level) => {
        impl From<log::Level> for tracing::Level {
            fn from(level: log::Level) -> Self {
                match level {
                    log::Level::Trace => Self::TRACE,
                    log::Level::Debug => Self::DEBUG,
                    log::Level::Info => Self::INFO,
                    log::Level::Warn => Self::WARN,
                    log::Level::Error => Self::ERROR,
                }
            }
        }
    };
    ($first:ident, $($rest:ident),+ $(,)?) => {
        conversions! { $first }
        $(conversions! { $rest })+
    };
}

pub(in super::super) use conversions;
