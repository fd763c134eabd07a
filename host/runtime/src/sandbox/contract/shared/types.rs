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
    (checked) => {
        impl From<lifecycle::Checked> for storage::Checked {
            fn from(step: lifecycle::Checked) -> Self {
                Self {
                    values: step.values,
                    bytes: step.bytes,
                    damaged: step.damaged,
                    resume: step.resume,
                }
            }
        }
    };
    (repaired) => {
        impl From<lifecycle::Repaired> for storage::Repaired {
            fn from(step: lifecycle::Repaired) -> Self {
                Self {
                    values: step.values,
                    lost: step.lost,
                    mended: step.mended,
                    remake: step.remake,
                    more: step.more,
                }
            }
        }
    };
    (batch) => {
        /// The lists of a batch as `write` takes them: the large ones are borrowed, only the short ones are built anew.
        pub(super) struct BatchLists<'a> {
            batch: &'a storage::Batch,
            services: Vec<&'a str>,
            operations: Vec<writer::BatchOperation>,
            fragments: Vec<writer::Fragment>,
        }

        impl<'a> BatchLists<'a> {
            pub(super) fn new(batch: &'a storage::Batch) -> Self {
                let operations = batch.batch_operations().iter();
                let operations = operations.map(|operation| writer::BatchOperation {
                    service: operation.service,
                    name_end: operation.name_end,
                    kind: operation.kind.into(),
                });
                let fragments = batch.facts().map(|(facts, ends)| writer::Fragment {
                    trace_id: facts.trace_id.into(),
                    span_count: facts.span_count,
                    starts: facts.starts.into(),
                    durations: facts.durations.into(),
                    terms_end: ends.terms,
                    operations_end: ends.operations,
                    digest_end: ends.digest,
                    otlp_end: ends.otlp,
                });
                Self {
                    batch,
                    services: batch.services().iter().map(String::as_str).collect(),
                    operations: operations.collect(),
                    fragments: fragments.collect(),
                }
            }

            pub(super) fn batch(&self) -> writer::Batch<'_> {
                writer::Batch {
                    services: &self.services,
                    operations: &self.operations,
                    names: self.batch.names(),
                    fragments: &self.fragments,
                    terms: self.batch.terms(),
                    fragment_operations: self.batch.fragment_operations(),
                    digests: self.batch.digests(),
                    otlp: self.batch.otlp(),
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
