//! An Export that meets a purge by another host: it is walked and written once more. Its client need not know that there are several.

use std::sync::Arc;

use bytes::Bytes;
use larder_core::fair::Lane;
use larder_model::TenantName;
use larder_model::storage::Storage;
use tonic::Status;

use super::{RefusedSpans, TraceWriter, WriteFailure, off_the_connection};
use crate::request_memory::MemoryReservation;
use crate::status::{self, Failure};

/// The most times that an Export is written again. That a purge has taken a write is seen when it is acknowledged, and the host may go on in
/// the tenant's new namespace only with the next one.
const MOST: usize = 2;

/// What it takes to walk a request once more. Its bytes stay reserved.
pub(super) struct Again {
    request: Bytes,
    reservation: Option<Arc<MemoryReservation>>,
    lane: Option<Lane>,
}

// === impl Again ===

impl Again {
    /// `None` where no other host can purge the tenant.
    pub(super) fn of(
        storage: &dyn Storage,
        request: &Bytes,
        reservation: Option<&Arc<MemoryReservation>>,
        lane: Option<&Lane>,
    ) -> Option<Self> {
        storage.is_shared().then(|| Self {
            request: request.clone(),
            reservation: reservation.cloned(),
            lane: lane.cloned(),
        })
    }
}

// === impl WriteFailure ===

impl WriteFailure {
    /// True if nothing of the request is stored.
    pub(super) fn is_overtaken(&self) -> bool {
        self.is_first && self.error.is_of_void_write()
    }
}

// === impl TraceWriter ===

impl TraceWriter {
    /// Writes a request of which nothing is stored. What was received and refused is counted already.
    pub(super) async fn write_again(
        &self,
        storage: &dyn Storage,
        tenant: Option<&TenantName>,
        again: Again,
        refusal: &mut RefusedSpans,
    ) -> Result<(), Status> {
        let mut tries = 0;
        loop {
            tries += 1;
            let shared = Arc::clone(&self.0);
            // Another one than before the purge.
            let dictionary = self.0.walking.dictionary_of(tenant);
            let walk = move |request: &[u8]| {
                let walked = shared.with_ingest(|ingest| {
                    ingest.set_dictionary(dictionary);
                    ingest.walk(request)
                });
                walked.map_err(|error| status::export(&Failure::Invalid(&error)))
            };
            let within = (again.reservation.clone(), again.lane.clone());
            let ingested = off_the_connection(again.request.clone(), within, walk).await?;
            let written = self.0.write_batches(storage, ingested.batches, refusal);
            let Err(left) = written.await else {
                return Ok(());
            };
            if tries == MOST || !left.is_overtaken() {
                return Err(status::export(&Failure::Storage(&left.error)));
            }
        }
    }
}
