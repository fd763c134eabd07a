//! An Export whose resources name their tenants. It is split into shares, each written to its tenant.
//!
//! The Export is acknowledged once every share is written. If a share fails with a retryable error, the whole request does, and a client
//! that retries it stores the other shares twice: duplicate spans are better than lost ones. A share that no retry would store is refused
//! alone, by `partial_success`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use larder_core::fair::Lane;
use larder_ingest::{Ingested, Malformed};
use larder_model::TenantName;
use larder_model::dictionary::Snapshot;
use larder_model::storage::{self, ErrorKind, Storage};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::Status;

use super::super::request_memory::MemoryReservation;
use super::super::status::{self, Failure};
use super::super::stores;
use super::super::tenant_split::{Destination, Refusal, TenantSplitter};
use super::{RefusedSpans, Shared, TraceWriter, all_spans, off_the_connection};

/// Tenants written to concurrently, per request.
const CONCURRENT_TENANTS: usize = 8;

/// Reason for spans whose tenant would exceed `tenancy.max_tenants`.
const NO_ROOM: &str = "tenant_no_room";

/// Reason for spans over their tenant's `limits.spans_per_second`. A retry of the whole request would duplicate the other tenants' spans.
const TOO_FAST: &str = "tenant_too_fast";

/// Reason for spans that their tenant's storage refuses permanently.
const NOT_STORED: &str = "tenant_storage";

/// A share that was walked.
struct WalkedShare {
    destination: Destination,
    ingested: Ingested,
    /// The storage of the tenant if values were listed in its dictionary: it keeps the tenant, and so the dictionary, open until the share
    /// is written.
    storage: Option<Arc<dyn Storage>>,
}

/// Result of one share: its refused spans, or the status with which the client has to retry the request.
type ShareResult = Result<RefusedSpans, Status>;

impl TraceWriter {
    pub(super) async fn store_by_resource(
        self,
        request: Bytes,
        splitter: TenantSplitter,
        within: (Option<Arc<MemoryReservation>>, Option<Lane>),
    ) -> Result<ExportTraceServiceResponse, Status> {
        let shared = Arc::clone(&self.0);
        let walk = move |request: &[u8]| shared.walk_shares(request, &splitter);
        let shares = off_the_connection(request, within, walk).await?;
        let mut refusal = RefusedSpans::default();
        // Tenants that are kept open come first: others may need their room.
        let numbered = shares.into_iter().enumerate();
        let (open, away): (Vec<_>, Vec<_>) =
            numbered.partition(|(_, share)| share.storage.is_some());
        let written = stream::iter(open.into_iter().chain(away))
            .map(|(number, share)| self.0.write_share(number, share));
        // Each runs to its end even if another fails.
        let mut written: Vec<(usize, ShareResult)> =
            written.buffered(CONCURRENT_TENANTS).collect().await;
        // In the order of the request.
        written.sort_unstable_by_key(|(number, _)| *number);
        for (_, share) in written {
            let refused = share?;
            if refused.spans > 0 {
                refusal.add(refused.spans, &refused.message);
            }
        }
        Ok(refusal.into_response())
    }
}

impl Shared {
    /// Walks all shares before any is written, so that nothing of a malformed request is stored. The values of a tenant that is not open yet
    /// are not listed.
    fn walk_shares(
        &self,
        request: &[u8],
        splitter: &TenantSplitter,
    ) -> Result<Vec<WalkedShare>, Status> {
        let walked = self.with_ingest(|ingest| {
            let shares = splitter.split(request)?.into_iter();
            let walked = shares.map(|(destination, share)| {
                let open = match &destination {
                    Destination::Tenant(tenant) => self.open_dictionary(tenant),
                    Destination::Refused(_) => None,
                };
                let (storage, dictionary) = open.unzip();
                ingest.set_dictionary(dictionary);
                let ingested = ingest.walk_share(request, &share);
                ingested.map(|ingested| WalkedShare {
                    destination,
                    ingested,
                    storage,
                })
            });
            walked.collect::<Result<Vec<_>, Malformed>>()
        });
        let walked = walked.map_err(|error| self.refuse_request(error))?;
        let spans = walked.iter().map(|share| all_spans(&share.ingested)).sum();
        let bytes = u64::try_from(request.len()).unwrap_or(u64::MAX);
        self.metrics.received(spans, bytes);
        Ok(walked)
    }

    /// A tenant's storage and its dictionary, if it is open and values are to be listed. The dictionary stays for as long as the storage is
    /// held.
    fn open_dictionary(&self, tenant: &TenantName) -> Option<(Arc<dyn Storage>, Snapshot)> {
        let storage = self.stores.get(Some(tenant))?;
        Some((storage, self.walking.dictionary_of(Some(tenant))?))
    }

    /// Writes a share. Returns its number with the result.
    async fn write_share(&self, number: usize, share: WalkedShare) -> (usize, ShareResult) {
        let WalkedShare {
            destination,
            ingested,
            storage,
        } = share;
        let result = match destination {
            Destination::Tenant(tenant) => self.write_for(&tenant, storage, ingested).await,
            Destination::Refused(Refusal { reason, text }) => {
                Ok(self.refuse_share(reason, all_spans(&ingested), &text))
            }
        };
        (number, result)
    }

    /// Writes a share to a tenant, in its storage that is held, or else in the one that is opened.
    async fn write_for(
        &self,
        tenant: &TenantName,
        held: Option<Arc<dyn Storage>>,
        mut ingested: Ingested,
    ) -> ShareResult {
        let spans = ingested.spans;
        let all = all_spans(&ingested);
        let storage = match held {
            Some(storage) => Ok(storage),
            None => stores::storage(&*self.stores, Some(tenant)).await,
        };
        let storage = match storage {
            Ok(storage) => storage,
            // The limit of tenants is reached: retries would delay the other tenants and not succeed.
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                return Ok(self.refuse_share(NO_ROOM, all, &error.to_string()));
            }
            Err(error) => return self.failed(tenant, spans, &error),
        };
        let quotas = match self.stores.quotas(Some(tenant)) {
            Ok(quotas) => quotas,
            Err(error) => return self.failed(tenant, spans, &error),
        };
        if let Err(error) = quotas.take_spans(all, Instant::now()) {
            let refusal = self.refuse_share(TOO_FAST, all, &error.to_string());
            refusal.count(all, &quotas);
            return Ok(refusal);
        }
        let mut refusal = self.refused_by_ingest(&ingested);
        let batches = std::mem::take(&mut ingested.batches);
        let written = self.write_batches(&*storage, batches, &mut refusal).await;
        if let Err(left) = written {
            let refused = self.failed(tenant, left.spans, &left.error)?;
            refusal.add(refused.spans, &refused.message);
        }
        refusal.count(all, &quotas);
        Ok(refusal)
    }

    /// The result of a share whose write failed with `error`.
    fn failed(&self, tenant: &TenantName, spans: u64, error: &storage::Error) -> ShareResult {
        let text = format!("tenant `{tenant}`: {error}");
        let tenant_error = storage::Error::new(error.kind(), text);
        let status = status::export(&Failure::Storage(&tenant_error));
        match error.kind() {
            ErrorKind::ResourceExhausted
            | ErrorKind::Unavailable
            | ErrorKind::ContractBroken
            | ErrorKind::DataLoss => Err(status),
            // The status text, as the text of an internal error must stay in the log.
            ErrorKind::InvalidArgument
            | ErrorKind::InvalidFilter
            | ErrorKind::InvalidPagination
            | ErrorKind::UnsupportedPagination
            | ErrorKind::InvalidOrdering
            | ErrorKind::QueryBudget
            | ErrorKind::AnswerTooLarge
            | ErrorKind::Poison
            | ErrorKind::Internal => Ok(self.refuse_share(NOT_STORED, spans, status.message())),
        }
    }

    fn refuse_share(&self, reason: &'static str, spans: u64, cause: &str) -> RefusedSpans {
        let mut refusal = RefusedSpans::default();
        if spans > 0 {
            let unit = if spans == 1 { "span" } else { "spans" };
            let message = format_args!("refused {spans} {unit}: {cause}");
            self.refuse(reason, spans, &message, &mut refusal);
        }
        refusal
    }
}
