//! The code that is the same for every version of the contract, as macros: a version expands them with its own generated types.
//!
//! Each macro takes the names of the functions or types that a version has in common with others. The module of a version has in scope
//! what the macros use: `lifecycle`, `writer`, `reader`, `types`, `kv` and `log`, the modules of its interfaces, and the host's own
//! types. The option `with` of `bindgen!` is no way to share types: it has no effect on exported interfaces, and for the others the
//! older version would change with the newer one.

use super::GuestError;

/// The result of a call in the host's own types.
pub(super) fn answer<T, E: Into<GuestError>, U: From<T>>(
    called: Result<T, E>,
) -> Result<U, GuestError> {
    called.map(U::from).map_err(E::into)
}

/// The result of a call that returns a list, in the host's own types.
pub(super) fn answer_list<T, E: Into<GuestError>, U: From<T>>(
    called: Result<Vec<T>, E>,
) -> Result<Vec<U>, GuestError> {
    called.map(converted).map_err(E::into)
}

/// Each item as another type.
pub(super) fn converted<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

/// A trace id as two big-endian halves.
pub(super) fn halves(id: u128) -> [u64; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves, on purpose"
    )]
    [(id >> 64) as u64, id as u64]
}

/// Calls on a component's exports, for `impl Plugin`.
macro_rules! calls {
    (describe) => {
        pub(crate) async fn describe(
            &self,
            store: &mut Store<GuestState>,
        ) -> wasmtime::Result<Info> {
            let info = self.larder_storage_lifecycle().call_describe(store).await?;
            Ok(info.into())
        }
    };
    (open) => {
        pub(crate) async fn open(
            &self,
            store: &mut Store<GuestState>,
            environment: Environment<'_>,
        ) -> wasmtime::Result<Result<(), GuestError>> {
            let settings = environment.settings.iter();
            let settings: Vec<_> = settings
                .map(|(name, value)| lifecycle::Setting { name, value })
                .collect();
            let environment = lifecycle::Environment {
                role: environment.role.into(),
                memory_limit: environment.memory_limit,
                seed: environment.seed,
                settings: &settings,
            };
            let guest = self.larder_storage_lifecycle();
            let called = guest.call_open(store, environment).await?;
            Ok(shared::answer(called))
        }
    };
    (maintain) => {
        pub(crate) async fn maintain(
            &self,
            store: &mut Store<GuestState>,
            now: u64,
            stored_bytes: u64,
        ) -> wasmtime::Result<Result<bool, GuestError>> {
            let guest = self.larder_storage_lifecycle();
            let called = guest.call_maintain(store, now, stored_bytes).await?;
            Ok(shared::answer(called))
        }
    };
    (statistics) => {
        pub(crate) async fn statistics(
            &self,
            store: &mut Store<GuestState>,
        ) -> wasmtime::Result<storage::Statistics> {
            let counts = self.larder_storage_lifecycle().call_statistics(store).await?;
            Ok(counts.into())
        }
    };
    (check) => {
        pub(crate) async fn check(
            &self,
            store: &mut Store<GuestState>,
            resume: Option<&[u8]>,
        ) -> wasmtime::Result<Result<storage::Checked, GuestError>>
        {
            let called = self.larder_storage_lifecycle().call_check(store, resume).await?;
            Ok(shared::answer(called))
        }
    };
    (repair) => {
        pub(crate) async fn repair(
            &self,
            store: &mut Store<GuestState>,
            now: u64,
            remade: &[storage::Remade],
        ) -> wasmtime::Result<Result<storage::Repaired, GuestError>>
        {
            let operations = remade.iter().map(|it| {
                let operations = it.operations.iter();
                let lent = operations.map(|it| lifecycle::RemadeOperation {
                    service: &it.service,
                    name: &it.name,
                    kind: it.kind.into(),
                });
                lent.collect::<Vec<_>>()
            });
            let operations: Vec<_> = operations.collect();
            let lent: Vec<_> = remade
                .iter()
                .zip(&operations)
                .map(|(it, operations)| lifecycle::Remade {
                    digest: it.digest.as_deref(),
                    operations,
                })
                .collect();
            let called = self.larder_storage_lifecycle().call_repair(store, now, &lent).await?;
            Ok(shared::answer(called))
        }
    };
    (write) => {
        pub(crate) async fn write(
            &self,
            store: &mut Store<GuestState>,
            now: u64,
            batches: &[&storage::Batch],
        ) -> wasmtime::Result<Result<(), GuestError>> {
            let lists: Vec<_> = batches.iter().copied().map(BatchLists::new).collect();
            let lent: Vec<_> = lists.iter().map(BatchLists::batch).collect();
            let called = self.larder_storage_writer().call_write(store, now, &lent).await?;
            Ok(shared::answer(called))
        }
    };
    (find) => {
        pub(crate) async fn find(
            &self,
            store: &mut Store<GuestState>,
            search: &storage::Search,
            resume: Option<&[u8]>,
            limit: u32,
        ) -> wasmtime::Result<Result<storage::Sightings, GuestError>>
        {
            let clauses: Vec<_> = search.clauses.iter().map(Vec::as_slice).collect();
            let search = reader::Search {
                starts: search.starts.into(),
                durations: search.durations.into(),
                clauses: &clauses,
            };
            let guest = self.larder_storage_reader();
            let called = guest.call_find(store, search, resume, limit).await?;
            Ok(shared::answer(called))
        }
    };
    (read) => {
        pub(crate) async fn read(
            &self,
            store: &mut Store<GuestState>,
            wanted: &storage::Wanted,
            part: storage::Part,
            resume: Option<&[u8]>,
            max_bytes: u32,
        ) -> wasmtime::Result<Result<storage::Pieces, GuestError>>
        {
            let ids: Vec<types::TraceId>;
            let wanted = match wanted {
                storage::Wanted::Traces(traces) => {
                    ids = traces.iter().copied().map(Into::into).collect();
                    reader::Wanted::Traces(&ids)
                }
                storage::Wanted::Fragments(fragments) => {
                    reader::Wanted::Fragments(fragments)
                }
            };
            let guest = self.larder_storage_reader();
            let called = guest.call_read(store, wanted, part.into(), resume, max_bytes).await?;
            Ok(shared::answer(called))
        }
    };
    (services) => {
        pub(crate) async fn services(
            &self,
            store: &mut Store<GuestState>,
        ) -> wasmtime::Result<Result<Vec<String>, GuestError>> {
            let called = self.larder_storage_reader().call_services(store).await?;
            Ok(shared::answer(called))
        }
    };
    (operations) => {
        pub(crate) async fn operations(
            &self,
            store: &mut Store<GuestState>,
            service: &str,
        ) -> wasmtime::Result<
            Result<Vec<storage::Operation>, GuestError>,
        > {
            let called = self.larder_storage_reader().call_operations(store, service).await?;
            Ok(shared::answer_list(called))
        }
    };
    ($first:ident, $($rest:ident),+ $(,)?) => {
        calls! { $first }
        $(calls! { $rest })+
    };
}

/// The types of the functions that [`calls`] calls, as a list of checks by `exports`.
macro_rules! signatures {
    ($exports:ident: $($function:ident),* $(,)?) => {
        vec![$(signatures! { @ $exports $function }),*]
    };
    (@ $exports:ident describe) => {
        $exports.function::<(), (lifecycle::Info,)>("lifecycle", "describe")
    };
    (@ $exports:ident open) => {
        $exports.function::<(lifecycle::Environment<'static>,), (Result<(), types::Error>,)>(
            "lifecycle", "open",
        )
    };
    (@ $exports:ident maintain) => {
        $exports.function::<(u64, u64), (Result<bool, types::Error>,)>("lifecycle", "maintain")
    };
    (@ $exports:ident statistics) => {
        $exports.function::<(), (lifecycle::Counts,)>("lifecycle", "statistics")
    };
    (@ $exports:ident check) => {
        $exports.function::<
            (Option<&'static [u8]>,),
            (Result<lifecycle::Checked, types::Error>,),
        >("lifecycle", "check")
    };
    (@ $exports:ident repair) => {
        $exports.function::<
            (u64, &'static [lifecycle::Remade<'static>]),
            (Result<lifecycle::Repaired, types::Error>,),
        >("lifecycle", "repair")
    };
    (@ $exports:ident write) => {
        $exports.function::<
            (u64, &'static [writer::Batch<'static>]),
            (Result<(), types::Error>,),
        >("writer", "write")
    };
    (@ $exports:ident find) => {
        $exports.function::<
            (reader::Search<'static>, Option<&'static [u8]>, u32),
            (Result<reader::Sightings, types::Error>,),
        >("reader", "find")
    };
    (@ $exports:ident read) => {
        $exports.function::<
            (reader::Wanted<'static>, reader::Part, Option<&'static [u8]>, u32),
            (Result<reader::Pieces, types::Error>,),
        >("reader", "read")
    };
    (@ $exports:ident services) => {
        $exports.function::<(), (Result<Vec<String>, types::Error>,)>("reader", "services")
    };
    (@ $exports:ident operations) => {
        $exports.function::<(&'static str,), (Result<Vec<types::Operation>, types::Error>,)>(
            "reader", "operations",
        )
    };
}

/// The functions of the import `kv`, for `impl kv::Host for GuestState`. What they may do is checked behind them, for all versions.
macro_rules! kv_functions {
    (put) => {
        async fn put(&mut self, objects: Vec<kv::Object>) -> Result<(), kv::Error> {
            let objects = objects.into_iter().map(|object| larder_store::Object {
                key: object.key.into(),
                value: object.value,
            });
            Ok(self.kv.put(objects.collect()).await?)
        }
    };
    (commit) => {
        async fn commit(
            &mut self,
            partition: String,
            changes: Vec<kv::Change>,
        ) -> Result<(), kv::Error> {
            let changes = changes.into_iter().map(|change| match change {
                kv::Change::Put(kv::Entry { sort, value }) => {
                    larder_store::Change::Put(larder_store::Entry { sort, value })
                }
                kv::Change::Delete(sort) => larder_store::Change::Delete(sort),
            });
            Ok(self.kv.commit(&partition, changes.collect()).await?)
        }
    };
    (get) => {
        async fn get(&mut self, keys: Vec<kv::Key>) -> Result<Vec<Option<Vec<u8>>>, kv::Error> {
            let keys: Vec<larder_store::Key> = shared::converted(keys);
            Ok(self.kv.get(&keys).await?)
        }
    };
    (scan) => {
        async fn scan(
            &mut self,
            partition: String,
            range: kv::Range,
            direction: kv::Direction,
            max_entries: u32,
            max_bytes: u32,
        ) -> Result<kv::Page, kv::Error> {
            let scan = larder_store::Scan {
                start: range.start,
                end: range.end,
                descending: matches!(direction, kv::Direction::Descending),
                max_entries,
                max_bytes,
            };
            let page = self.kv.scan(&partition, scan).await?;
            let entries = page.entries.into_iter().map(|entry| kv::Entry {
                sort: entry.sort,
                value: entry.value,
            });
            Ok(kv::Page {
                entries: entries.collect(),
                more: page.more,
            })
        }
    };
    (reclaim) => {
        async fn reclaim(&mut self, partition: String) -> Result<(), kv::Error> {
            Ok(self.kv.reclaim(&partition).await?)
        }
    };
    (writers) => {
        async fn writers(&mut self) -> Result<Vec<String>, kv::Error> {
            Ok(self.kv.namespace.writers().await?)
        }
    };
    (partitions) => {
        async fn partitions(&mut self) -> Result<Vec<String>, kv::Error> {
            Ok(self.kv.namespace.partitions().await?)
        }
    };
    ($first:ident, $($rest:ident),+ $(,)?) => {
        kv_functions! { $first }
        $(kv_functions! { $rest })+
    };
}

/// The functions of the import `log`, for `impl log::Host for GuestState`.
macro_rules! log_functions {
    (write) => {
        async fn write(&mut self, level: log::Level, message: String) {
            self.output.log(level.into(), &message);
        }
    };
}

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
                    Error::Fenced => Self::Fenced,
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

pub(super) use {calls, conversions, kv_functions, log_functions, signatures};
