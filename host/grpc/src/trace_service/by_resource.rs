//! An Export whose resources name their tenants: cut into shares, each written to its own tenant.
//!
//! It is acknowledged once every share is written. Where a share could not be written now but may be later, the whole request is
//! answered so, and a client that repeats it doubles what the others have stored already: spans are kept twice rather than lost. What
//! no repetition would change is refused alone, by `partial_success`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use larder_core::fair::Lane;
use larder_ingest::{Ingested, Malformed};
use larder_model::TenantName;
use larder_model::storage::{self, ErrorKind};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::Status;

use super::super::request_memory::Share;
use super::super::status::{self, Failure};
use super::super::stores;
use super::super::writers::{Denied, Owner, Writers};
use super::{Refusal, Shared, TraceWriter, all_spans, off_the_connection};

/// How many tenants are written to at a time, for one request.
const AT_A_TIME: usize = 8;

/// The reason of spans whose tenant would be one too many (`tenancy.max_tenants`).
const NO_ROOM: &str = "tenant_no_room";

/// The reason of spans beyond what their tenant may write in a second (`limits.spans_per_second`): to have the whole request sent
/// again would double the others'.
const TOO_FAST: &str = "tenant_too_fast";

/// The reason of spans that their tenant's storage refuses for good.
const NOT_STORED: &str = "tenant_storage";

/// What one tenant's share came to: what was refused of it, or why all of it has to be sent again.
type Written = Result<Refusal, Status>;

impl TraceWriter {
    pub(super) async fn store_by_resource(
        self,
        request: Bytes,
        writers: Writers,
        within: (Option<Arc<Share>>, Option<Lane>),
    ) -> Result<ExportTraceServiceResponse, Status> {
        let shared = Arc::clone(&self.0);
        let walk = move |request: &[u8]| shared.walk_shares(request, &writers);
        let shares = off_the_connection(request, within, walk).await?;
        let mut refusal = Refusal::default();
        let written = stream::iter(shares).map(|(owner, ingested)| self.0.settle(owner, ingested));
        // In the order of the request, and each to its end though another has failed.
        let written: Vec<Written> = written.buffered(AT_A_TIME).collect().await;
        for share in written {
            let refused = share?;
            if refused.spans > 0 {
                refusal.add(refused.spans, &refused.message);
            }
        }
        Ok(refusal.into_response())
    }
}

impl Shared {
    /// Everything is read before anything is written: a request that is malformed anywhere is stored nowhere.
    fn walk_shares(
        &self,
        request: &[u8],
        writers: &Writers,
    ) -> Result<Vec<(Owner, Ingested)>, Status> {
        let walked = self.with_ingest(|ingest| {
            let shares = writers.split(request)?.into_iter();
            let walked = shares
                .map(|(owner, share)| ingest.walk_share(request, &share).map(|it| (owner, it)));
            walked.collect::<Result<Vec<_>, Malformed>>()
        });
        let walked = walked.map_err(|error| status::export(&Failure::Invalid(&error)))?;
        let spans = walked.iter().map(|(_, ingested)| all_spans(ingested)).sum();
        let bytes = u64::try_from(request.len()).unwrap_or(u64::MAX);
        self.metrics.received(spans, bytes);
        Ok(walked)
    }

    async fn settle(&self, owner: Owner, ingested: Ingested) -> Written {
        match owner {
            Owner::Tenant(tenant) => self.write_for(&tenant, ingested).await,
            Owner::Nobody(Denied { reason, text }) => {
                Ok(self.refuse_share(reason, all_spans(&ingested), &text))
            }
        }
    }

    async fn write_for(&self, tenant: &TenantName, mut ingested: Ingested) -> Written {
        let spans = ingested.spans;
        let all = all_spans(&ingested);
        let storage = match stores::storage(&*self.stores, Some(tenant)).await {
            Ok(storage) => storage,
            // As many tenants as there may be: to send it again and again would hold the others up for nothing.
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
            return Ok(self.refuse_share(TOO_FAST, all, &error.to_string()));
        }
        let mut refusal = self.refused_by_ingest(&ingested);
        let batches = std::mem::take(&mut ingested.batches);
        let written = self.write_batches(&*storage, batches, &mut refusal).await;
        if let Err(left) = written {
            let refused = self.failed(tenant, left.spans, &left.error)?;
            refusal.add(refused.spans, &refused.message);
        }
        Ok(refusal)
    }

    /// What a client is told of a share of `spans` that could not be written.
    fn failed(&self, tenant: &TenantName, spans: u64, error: &storage::Error) -> Written {
        let text = format!("tenant `{tenant}`: {error}");
        let told = storage::Error::new(error.kind(), text);
        let status = status::export(&Failure::Storage(&told));
        match error.kind() {
            ErrorKind::ResourceExhausted
            | ErrorKind::Unavailable
            | ErrorKind::ContractBroken
            | ErrorKind::DataLoss => Err(status),
            // The words for clients, as a bug of ours stays in the log.
            _ => Ok(self.refuse_share(NOT_STORED, spans, status.message())),
        }
    }

    fn refuse_share(&self, reason: &'static str, spans: u64, why: &str) -> Refusal {
        let mut refusal = Refusal::default();
        if spans > 0 {
            let unit = if spans == 1 { "span" } else { "spans" };
            let told = format_args!("refused {spans} {unit}: {why}");
            self.refuse(reason, spans, &told, &mut refusal);
        }
        refusal
    }
}
