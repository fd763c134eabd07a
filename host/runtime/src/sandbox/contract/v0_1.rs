//! Version 0.1.0 of the contract, which is frozen in `wit/0.1.0`.
//!
//! It changes with the host's own types only. A new field of these has a value here that means what 0.1.0 says without it.

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
        path: "../../wit/0.1.0",
        world: "plugin",
        imports: { default: async },
        exports: { default: async },
        // Parameters of exports are lent, so that a write copies each buffer once, into the guest.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use larder_model::storage;
use wasmtime::Store;

use self::bindings::exports::larder::storage::{lifecycle, reader, writer};
use self::bindings::larder::storage::{kv, log, types};
use super::shared::{self, calls, conversions, kv_functions, log_functions, signatures};
use super::typecheck::{Check, ExportTypes};
use super::{Environment, GuestError, Info, NO_PURGE, NO_REPAIR, Role, Sizes};
use crate::sandbox::guest::GuestState;

pub(crate) use self::bindings::{Plugin, PluginPre};

impl Plugin {
    calls! { describe, open, find, read, services, operations }

    fn environment<'a>(
        environment: &Environment<'a>,
        settings: &'a [lifecycle::Setting<'a>],
    ) -> lifecycle::Environment<'a> {
        lifecycle::Environment {
            role: environment.role.into(),
            memory_limit: environment.memory_limit,
            seed: environment.seed,
            settings,
        }
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
            Role::Writer(identity) => Self::Writer(identity.id),
            // A plugin of this version is not asked to repair.
            Role::Reader | Role::Repairer => Self::Reader,
        }
    }
}

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

impl From<lifecycle::Counts> for storage::Statistics {
    fn from(counts: lifecycle::Counts) -> Self {
        Self {
            traces: counts.traces,
            spans: counts.spans,
            bytes: counts.bytes,
            evicted_traces: counts.evicted_traces,
            evicted_spans: counts.evicted_spans,
            expired_traces: counts.expired_traces,
            expired_spans: counts.expired_spans,
            oldest_write: None,
        }
    }
}

impl From<reader::Piece> for storage::Piece {
    fn from(piece: reader::Piece) -> Self {
        Self {
            trace_id: piece.trace_id.into(),
            fragment: piece.fragment,
            bytes: piece.bytes,
            dropped_spans: 0,
        }
    }
}

impl From<(&storage::BatchOperation, &str)> for writer::BatchOperation {
    fn from((operation, _): (&storage::BatchOperation, &str)) -> Self {
        Self {
            service: operation.service,
            name_end: operation.name_end,
            kind: operation.kind.into(),
        }
    }
}

pub(super) type BatchLists<'a> = shared::BatchLists<'a, writer::BatchOperation, writer::Fragment>;

// === impl BatchLists ===

impl BatchLists<'_> {
    /// The batch as `write` takes it.
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

impl Plugin {
    /// This version is not told what memory is in use.
    pub(crate) async fn write(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        _: u64,
        batches: &[&storage::Batch],
    ) -> wasmtime::Result<Result<(), GuestError>> {
        let lists: Vec<_> = batches.iter().copied().map(BatchLists::new).collect();
        let lent: Vec<_> = lists.iter().map(BatchLists::batch).collect();
        let called = self
            .larder_storage_writer()
            .call_write(store, now, &lent)
            .await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn statistics(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<storage::Statistics> {
        let counts = self
            .larder_storage_lifecycle()
            .call_statistics(store)
            .await?;
        Ok(counts.into())
    }

    pub(crate) async fn check(
        &self,
        store: &mut Store<GuestState>,
        resume: Option<&[u8]>,
    ) -> wasmtime::Result<Result<storage::Checked, GuestError>> {
        let called = self
            .larder_storage_lifecycle()
            .call_check(store, resume)
            .await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn maintain(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        _: u64,
        sizes: Sizes,
    ) -> wasmtime::Result<Result<bool, GuestError>> {
        let guest = self.larder_storage_lifecycle();
        let called = guest.call_maintain(store, now, sizes.tenant).await?;
        Ok(shared::answer(called))
    }

    /// This version has no `refresh`: each of its calls looks for what others have written.
    #[expect(clippy::unused_self, reason = "as of every version")]
    pub(crate) fn refresh(
        &self,
        _: &mut Store<GuestState>,
    ) -> impl Future<Output = wasmtime::Result<Result<(), GuestError>>> + use<> {
        std::future::ready(Ok(Ok(())))
    }

    /// This version has no `retire`, so its writers stay.
    #[expect(clippy::unused_self, reason = "as of every version")]
    pub(crate) fn retire(
        &self,
        _: &mut Store<GuestState>,
    ) -> impl Future<Output = wasmtime::Result<Result<bool, GuestError>>> + use<> {
        std::future::ready(Ok(Ok(false)))
    }

    /// This version has no `purging`.
    #[expect(clippy::unused_self, reason = "as of every version")]
    pub(crate) fn purge(
        &self,
        _: &mut Store<GuestState>,
    ) -> impl Future<Output = wasmtime::Result<Result<(), GuestError>>> + use<> {
        std::future::ready(Ok(Err(GuestError::Other(NO_PURGE.to_owned()))))
    }

    /// This version has no `repair`, and [`LinkedComponent::check_repair`](super::LinkedComponent::check_repair) says so before.
    #[expect(clippy::unused_self, reason = "as of every version")]
    pub(crate) fn repair(
        &self,
        _: &mut Store<GuestState>,
        _: u64,
        _: &[storage::Remade],
    ) -> impl Future<Output = wasmtime::Result<Result<storage::Repaired, GuestError>>> + use<> {
        std::future::ready(Ok(Err(GuestError::Other(NO_REPAIR.to_owned()))))
    }
}

/// Checks the type of each function that the host calls.
pub(super) fn check_exports(exports: &ExportTypes<'_>) -> Vec<Check> {
    let mut checks = signatures! { exports: describe, open, find, read, services, operations };
    checks.extend([
        exports.function::<(u64, &'static [writer::Batch<'static>]), (Result<(), types::Error>,)>(
            "writer", "write",
        ),
        exports.function::<(u64, u64), (Result<bool, types::Error>,)>("lifecycle", "maintain"),
        exports.function::<(), (lifecycle::Counts,)>("lifecycle", "statistics"),
        exports.function::<(Option<&'static [u8]>,), (Result<lifecycle::Checked, types::Error>,)>(
            "lifecycle",
            "check",
        ),
    ]);
    checks
}
