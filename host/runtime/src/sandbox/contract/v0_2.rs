//! Version 0.2.0 of the contract, which is in development in `wit`.
//!
//! Where it comes to differ from 0.1.0, leave the name of the function or type out of the lists below, and write its code here.

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        clippy::large_futures,
        reason = "generated code"
    )]

    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "full-plugin",
        imports: { default: async },
        exports: { default: async },
        // Parameters of exports are lent, so that a write copies each buffer once, into the guest.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use larder_model::storage;
use wasmtime::component::InstancePre;
use wasmtime::{AsContextMut, Store};

use self::bindings::exports::larder::storage::{
    integrity, lifecycle, purging, reader, replication, upkeep, writer,
};
use self::bindings::larder::storage::{kv, log, types};
use super::shared::{self, calls, conversions, kv_functions, log_functions, signatures};
use super::typecheck::{Check, ExportTypes};
use super::{Environment, GuestError, Info, NO_PURGE, Role, Sizes};
use crate::sandbox::guest::GuestState;

/// The reason why a plugin without `integrity` cannot repair.
const NO_REPAIR: &str = "it does not export `integrity`, the interface that has `repair`";

/// Links `kv` and `log`.
pub(super) use self::bindings::FullPlugin as Imports;

/// A component with its imports linked, and where its exports are.
#[derive(Clone)]
pub(crate) struct PluginPre {
    pre: InstancePre<GuestState>,
    lifecycle: lifecycle::GuestIndices,
    writer: writer::GuestIndices,
    reader: reader::GuestIndices,
    upkeep: Option<upkeep::GuestIndices>,
    replication: Option<replication::GuestIndices>,
    integrity: Option<integrity::GuestIndices>,
    purging: Option<purging::GuestIndices>,
}

/// The exports of an instance. What it may leave out is `None`, and answered as the contract says.
pub(crate) struct Plugin {
    lifecycle: lifecycle::Guest,
    writer: writer::Guest,
    reader: reader::Guest,
    upkeep: Option<upkeep::Guest>,
    replication: Option<replication::Guest>,
    integrity: Option<integrity::Guest>,
    purging: Option<purging::Guest>,
}

// === impl PluginPre ===

impl PluginPre {
    /// The exports were checked before.
    pub(super) fn new(
        pre: InstancePre<GuestState>,
        exports: &ExportTypes<'_>,
    ) -> wasmtime::Result<Self> {
        let has = |interface| exports.interface(interface).is_some();
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&pre)?,
            writer: writer::GuestIndices::new(&pre)?,
            reader: reader::GuestIndices::new(&pre)?,
            upkeep: has("upkeep")
                .then(|| upkeep::GuestIndices::new(&pre))
                .transpose()?,
            replication: has("replication")
                .then(|| replication::GuestIndices::new(&pre))
                .transpose()?,
            integrity: has("integrity")
                .then(|| integrity::GuestIndices::new(&pre))
                .transpose()?,
            purging: has("purging")
                .then(|| purging::GuestIndices::new(&pre))
                .transpose()?,
            pre,
        })
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        self.pre.engine()
    }

    /// # Errors
    /// The reason why the plugin cannot repair.
    pub(super) fn check_repair(&self) -> Result<(), &'static str> {
        self.integrity.as_ref().map(|_| ()).ok_or(NO_REPAIR)
    }

    pub(super) async fn instantiate_async(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Plugin> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let mut store = store.as_context_mut();
        let upkeep = self.upkeep.as_ref();
        let replication = self.replication.as_ref();
        let integrity = self.integrity.as_ref();
        let purging = self.purging.as_ref();
        Ok(Plugin {
            lifecycle: self.lifecycle.load(&mut store, &instance)?,
            writer: self.writer.load(&mut store, &instance)?,
            reader: self.reader.load(&mut store, &instance)?,
            upkeep: upkeep
                .map(|it| it.load(&mut store, &instance))
                .transpose()?,
            replication: replication
                .map(|it| it.load(&mut store, &instance))
                .transpose()?,
            integrity: integrity
                .map(|it| it.load(&mut store, &instance))
                .transpose()?,
            purging: purging
                .map(|it| it.load(&mut store, &instance))
                .transpose()?,
        })
    }
}

// === impl Plugin ===

impl Plugin {
    fn larder_storage_lifecycle(&self) -> &lifecycle::Guest {
        &self.lifecycle
    }

    fn larder_storage_reader(&self) -> &reader::Guest {
        &self.reader
    }

    calls! { describe, open, find, read, services, operations }

    fn environment<'a>(
        environment: &Environment<'a>,
        settings: &'a [lifecycle::Setting<'a>],
    ) -> lifecycle::Environment<'a> {
        lifecycle::Environment {
            role: environment.role.into(),
            tenant: environment.tenant,
            memory_limit: environment.memory_limit,
            seed: environment.seed,
            settings,
        }
    }

    pub(crate) async fn write(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        memory_used: u64,
        batches: &[&storage::Batch],
    ) -> wasmtime::Result<Result<(), GuestError>> {
        let lists: Vec<_> = batches.iter().copied().map(BatchLists::new).collect();
        let lent: Vec<_> = lists.iter().map(BatchLists::batch).collect();
        let called = self
            .writer
            .call_write(store, now, memory_used, &lent)
            .await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn maintain(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        memory_used: u64,
        sizes: Sizes,
    ) -> wasmtime::Result<Result<bool, GuestError>> {
        let Some(guest) = &self.upkeep else {
            return Ok(Ok(false));
        };
        let Sizes { tenant, own } = sizes;
        let sizes = upkeep::Sizes { tenant, own };
        let called = guest.call_maintain(store, now, memory_used, sizes).await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn statistics(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<storage::Statistics> {
        let Some(guest) = &self.upkeep else {
            return Ok(storage::Statistics::default());
        };
        Ok(guest.call_statistics(store).await?.into())
    }

    pub(crate) async fn refresh(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Result<(), GuestError>> {
        let Some(guest) = &self.replication else {
            return Ok(Ok(()));
        };
        Ok(shared::answer(guest.call_refresh(store).await?))
    }

    pub(crate) async fn retire(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Result<bool, GuestError>> {
        let Some(guest) = &self.replication else {
            return Ok(Ok(false));
        };
        Ok(shared::answer(guest.call_retire(store).await?))
    }

    pub(crate) async fn purge(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Result<(), GuestError>> {
        let Some(guest) = &self.purging else {
            return Ok(Err(GuestError::Other(NO_PURGE.to_owned())));
        };
        Ok(shared::answer(guest.call_purge(store).await?))
    }

    pub(crate) async fn check(
        &self,
        store: &mut Store<GuestState>,
        resume: Option<&[u8]>,
    ) -> wasmtime::Result<Result<storage::Checked, GuestError>> {
        let Some(guest) = &self.integrity else {
            return Ok(Ok(storage::Checked::default()));
        };
        Ok(shared::answer(guest.call_check(store, resume).await?))
    }

    pub(crate) async fn repair(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        remade: &[storage::Remade],
    ) -> wasmtime::Result<Result<storage::Repaired, GuestError>> {
        let Some(guest) = &self.integrity else {
            return Ok(Err(GuestError::Other(NO_REPAIR.to_owned())));
        };
        let operations = remade.iter().map(|it| {
            let operations = it.operations.iter();
            let lent = operations.map(|it| integrity::RemadeOperation {
                service: &it.service,
                name: &it.name,
                kind: it.kind.into(),
            });
            lent.collect::<Vec<_>>()
        });
        let operations: Vec<_> = operations.collect();
        let lent = remade.iter().zip(&operations);
        let lent = lent.map(|(it, operations)| integrity::Remade {
            digest: it.digest.as_deref(),
            operations,
        });
        let lent: Vec<_> = lent.collect();
        Ok(shared::answer(guest.call_repair(store, now, &lent).await?))
    }
}

impl types::Host for GuestState {}

impl kv::Host for GuestState {
    kv_functions! { put, commit, get, scan, reclaim, writers, partitions }
}

impl log::Host for GuestState {
    log_functions! { write }
}

conversions! {
    trace_id, time_range, duration_range, span_kind, operation, error,
    info,
    fragment,
    part, sightings, pieces,
    kv_key, kv_error,
    log_level,
}

impl<'a> From<Role<'a>> for lifecycle::Role<'a> {
    fn from(role: Role<'a>) -> Self {
        match role {
            Role::Writer(identity) => Self::Writer(lifecycle::Identity {
                id: identity.id,
                number: identity.number,
            }),
            Role::Reader => Self::Reader,
            Role::Repairer => Self::Repairer,
        }
    }
}

impl From<upkeep::Counts> for storage::Statistics {
    fn from(counts: upkeep::Counts) -> Self {
        Self {
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
}

impl From<integrity::Checked> for storage::Checked {
    fn from(step: integrity::Checked) -> Self {
        Self {
            values: step.values,
            bytes: step.bytes,
            damaged: step.damaged,
            resume: step.resume,
        }
    }
}

impl From<integrity::Repaired> for storage::Repaired {
    fn from(step: integrity::Repaired) -> Self {
        Self {
            values: step.values,
            lost: step.lost,
            mended: step.mended,
            remake: step.remake,
            more: step.more,
        }
    }
}

impl From<reader::Piece> for storage::Piece {
    fn from(piece: reader::Piece) -> Self {
        Self {
            trace_id: piece.trace_id.into(),
            fragment: piece.fragment,
            bytes: piece.bytes,
            dropped_spans: piece.dropped_spans,
        }
    }
}

impl<'a> From<(&storage::BatchOperation, &'a str)> for writer::BatchOperation<'a> {
    fn from((operation, name): (&storage::BatchOperation, &'a str)) -> Self {
        Self {
            service: operation.service,
            name,
            kind: operation.kind.into(),
        }
    }
}

pub(super) type BatchLists<'a> =
    shared::BatchLists<'a, writer::BatchOperation<'a>, writer::Fragment>;

// === impl BatchLists ===

impl BatchLists<'_> {
    /// The batch as `write` takes it.
    pub(super) fn batch(&self) -> writer::Batch<'_> {
        writer::Batch {
            services: &self.services,
            operations: &self.operations,
            fragments: &self.fragments,
            terms: self.batch.terms(),
            fragment_operations: self.batch.fragment_operations(),
            digests: self.batch.digests(),
            otlp: self.batch.otlp(),
        }
    }
}

/// Checks the type of each function that the host calls. Of interfaces that may be left out, if they are exported.
pub(super) fn check_exports(exports: &ExportTypes<'_>) -> Vec<Check> {
    let mut checks = signatures! { exports: describe, open, find, read, services, operations };
    checks.push(
        exports
            .function::<(u64, u64, &'static [writer::Batch<'static>]), (Result<(), types::Error>,)>(
                "writer", "write",
            ),
    );
    if exports.interface("upkeep").is_some() {
        checks.extend([
            exports.function::<(u64, u64, upkeep::Sizes), (Result<bool, types::Error>,)>(
                "upkeep", "maintain",
            ),
            exports.function::<(), (upkeep::Counts,)>("upkeep", "statistics"),
        ]);
    }
    if exports.interface("replication").is_some() {
        checks.extend([
            exports.function::<(), (Result<(), types::Error>,)>("replication", "refresh"),
            exports.function::<(), (Result<bool, types::Error>,)>("replication", "retire"),
        ]);
    }
    if exports.interface("purging").is_some() {
        checks.push(exports.function::<(), (Result<(), types::Error>,)>("purging", "purge"));
    }
    if exports.interface("integrity").is_some() {
        checks.extend([
            exports.function::<
                (Option<&'static [u8]>,),
                (Result<integrity::Checked, types::Error>,),
            >("integrity", "check"),
            exports.function::<
                (u64, &'static [integrity::Remade<'static>]),
                (Result<integrity::Repaired, types::Error>,),
            >("integrity", "repair"),
        ]);
    }
    checks
}
