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
use super::{Environment, GuestError, Info, Role, Sizes};
use crate::sandbox::guest::GuestState;

pub(crate) use self::bindings::{Plugin, PluginPre};

impl Plugin {
    calls! { describe, open, statistics, check, repair, write, find, read, services, operations }

    pub(crate) async fn maintain(
        &self,
        store: &mut Store<GuestState>,
        now: u64,
        sizes: Sizes,
    ) -> wasmtime::Result<Result<bool, GuestError>> {
        let Sizes { tenant, own } = sizes;
        let guest = self.larder_storage_lifecycle();
        let sizes = lifecycle::Sizes { tenant, own };
        let called = guest.call_maintain(store, now, sizes).await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn retire(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Result<bool, GuestError>> {
        let called = self.larder_storage_lifecycle().call_retire(store).await?;
        Ok(shared::answer(called))
    }

    pub(crate) async fn refresh(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Result<(), GuestError>> {
        let called = self.larder_storage_reader().call_refresh(store).await?;
        Ok(shared::answer(called))
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
    info, checked, repaired,
    batch,
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
            oldest_write: counts.oldest_write,
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

/// Checks the type of each function that the host calls.
pub(super) fn check_exports(exports: &ExportTypes<'_>) -> Vec<Check> {
    let mut checks = signatures! { exports: describe, open, statistics, check, repair, write, find, read, services, operations };
    checks.extend([
        exports.function::<(u64, lifecycle::Sizes), (Result<bool, types::Error>,)>(
            "lifecycle",
            "maintain",
        ),
        exports.function::<(), (Result<bool, types::Error>,)>("lifecycle", "retire"),
        exports.function::<(), (Result<(), types::Error>,)>("reader", "refresh"),
    ]);
    checks
}
