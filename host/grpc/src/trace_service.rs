//! OTLP's `TraceService`: writes spans.

mod by_resource;
mod overtaken;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use larder_core::fair::Lane;
use larder_core::telemetry::Metrics;
use larder_core::{Live, Quotas, Stores, clock};
use larder_ingest::{self as ingest, Ingest, Ingested, Malformed};
use larder_model::dictionary::{Dictionaries, Snapshot};
use larder_model::storage::{self, Batch, ErrorKind, Storage};
use larder_model::{DEFAULT_TENANT, TenantName};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::codec::ExportBytes;
use super::generated::otlp::trace_service_server::TraceService;
use super::refusals::RefusalLog;
use super::request_memory::MemoryReservation;
use super::status::{self, Failure};
use super::stores;
use super::tenant_split::TenantSplitter;
use overtaken::Again;

/// A request up to this size is walked on the thread of its connection (about a millisecond). A larger one would delay the connections
/// that share the thread.
const INLINE_BYTES: usize = 1 << 20;

/// Maximum number of idle `Ingest`s that are kept for later requests.
const MAX_POOLED: usize = 16;

/// Reason for requests that are no OTLP.
const MALFORMED: &str = "malformed";

/// Reason for spans whose batch trapped the plugin twice on its own.
const POISON: &str = "plugin_trap";

/// The service. Clones share everything.
#[derive(Clone)]
pub(super) struct TraceWriter(Arc<Shared>);

/// How requests are walked.
pub(super) struct Walking {
    pub(super) limits: ingest::Limits,
    /// Whether fragments have terms of words.
    pub(super) word_terms: Live<bool>,
    /// Whether values are listed in the dictionaries of tenants.
    pub(super) dictionary: Live<bool>,
    pub(super) dictionaries: Dictionaries,
}

struct Shared {
    stores: Arc<dyn Stores>,
    metrics: Arc<Metrics>,
    walking: Walking,
    /// Idle `Ingest`s, reused because allocating their memory costs more than the walk.
    pool: Mutex<Vec<Ingest>>,
    /// Running writes, including those of disconnected clients.
    writes: TaskTracker,
    refusals: RefusalLog,
}

/// Refused spans, for `partial_success`.
#[derive(Default)]
struct RefusedSpans {
    spans: u64,
    message: String,
}

/// The error of a write, and the spans that were not written.
struct WriteFailure {
    error: storage::Error,
    spans: u64,
    /// True if no batch was written.
    is_first: bool,
}

impl TraceWriter {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        metrics: Arc<Metrics>,
        walking: Walking,
        writes: TaskTracker,
    ) -> Self {
        // Its series begin at 0, so that a rate does not miss the first refusal.
        let of_ingest = ingest::Reason::ALL.map(ingest::Reason::as_str);
        for reason in of_ingest.into_iter().chain([POISON]) {
            metrics.refused(reason, 0);
        }
        Self(Arc::new(Shared {
            stores,
            metrics,
            walking,
            pool: Mutex::default(),
            writes,
            refusals: RefusalLog::default(),
        }))
    }

    async fn store(
        self,
        request: Bytes,
        tenant: Option<TenantName>,
        (reservation, lane): (Option<Arc<MemoryReservation>>, Option<Lane>),
    ) -> Result<ExportTraceServiceResponse, Status> {
        let failed = |error: storage::Error| status::export(&Failure::Storage(&error));
        let quotas = self.0.stores.quotas(tenant.as_ref()).map_err(failed)?;
        // Checked twice: a flood is refused before it costs a walk, and the number of spans is known only after it.
        quotas.check_spans(Instant::now()).map_err(failed)?;
        let storage = stores::storage(&*self.0.stores, tenant.as_ref()).await;
        let storage = storage.map_err(failed)?;
        let again = Again::of(&*storage, &request, reservation.as_ref(), lane.as_ref());
        let shared = Arc::clone(&self.0);
        // The tenant is open, so it has its dictionary.
        let dictionary = self.0.walking.dictionary_of(tenant.as_ref());
        let walk = move |request: &[u8]| shared.walk(request, dictionary);
        let ingested = off_the_connection(request, (reservation, lane), walk).await?;
        let spans = all_spans(&ingested);
        quotas.take_spans(spans, Instant::now()).map_err(failed)?;
        let mut refusal = self.0.refused_by_ingest(&ingested);
        let written = self
            .0
            .write_batches(&*storage, ingested.batches, &mut refusal);
        if let Err(left) = written.await {
            let again = again
                .filter(|_| left.is_overtaken())
                .ok_or_else(|| failed(left.error))?;
            self.write_again(&*storage, tenant.as_ref(), again, &mut refusal)
                .await?;
        }
        refusal.count(spans, &quotas);
        Ok(refusal.into_response())
    }
}

/// The number of accepted and refused spans.
fn all_spans(ingested: &Ingested) -> u64 {
    ingested.spans + ingested.refused.total()
}

/// Walks a request within a turn of its lane, and on a blocking thread if the request is large.
async fn off_the_connection<T: Send + 'static>(
    request: Bytes,
    (reservation, lane): (Option<Arc<MemoryReservation>>, Option<Lane>),
    walk: impl FnOnce(&[u8]) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    if let Some(reservation) = &reservation {
        // The compressed bytes were reserved as they arrived. This adds the decompressed ones.
        reservation.grow_to(request.len())?;
    }
    let turn = match &lane {
        Some(lane) => Some(lane.turn().await),
        None => None,
    };
    let inline = request.len() <= INLINE_BYTES;
    let walk = move || {
        let walked = walk(&request);
        // The writer's queue accounts for the batches from here on.
        drop((request, reservation, turn));
        walked
    };
    if inline {
        return walk();
    }
    let walked = tokio::task::spawn_blocking(walk).await;
    walked.unwrap_or_else(|error| Err(status::task_failed(error)))
}

#[tonic::async_trait]
impl TraceService for TraceWriter {
    async fn export(
        &self,
        mut request: Request<ExportBytes>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let reservation = request.extensions_mut().remove::<Arc<MemoryReservation>>();
        let within = (reservation, request.extensions_mut().remove::<Lane>());
        let tenant = request.extensions_mut().remove::<TenantName>();
        let splitter = request.extensions_mut().remove::<TenantSplitter>();
        let ExportBytes(bytes) = request.into_inner();
        let service = self.clone();
        let store = async move {
            match splitter {
                Some(splitter) => service.store_by_resource(bytes, splitter, within).await,
                None => service.store(bytes, tenant, within).await,
            }
        };
        // A separate task, so that the write continues if the client disconnects.
        let stored = self.0.writes.spawn(store.in_current_span()).await;
        stored
            .unwrap_or_else(|error| Err(status::task_failed(error)))
            .map(Response::new)
    }
}

// === impl Walking ===

impl Walking {
    /// The dictionary for a request of a tenant; `None` if the tenant is not open, or values are not to be listed.
    fn dictionary_of(&self, tenant: Option<&TenantName>) -> Option<Snapshot> {
        if !*self.dictionary.get() {
            return None;
        }
        let tenant = tenant.map_or(DEFAULT_TENANT, TenantName::as_str);
        let dictionary = self.dictionaries.get(tenant)?;
        dictionary.for_request(clock::unix_nanos())
    }
}

// === impl Shared ===

impl Shared {
    fn walk(&self, request: &[u8], dictionary: Option<Snapshot>) -> Result<Ingested, Status> {
        let walked = self.with_ingest(|ingest| {
            ingest.set_dictionary(dictionary);
            ingest.walk(request)
        });
        let ingested = walked.map_err(|error| self.refuse_request(error))?;
        let spans = ingested.spans + ingested.refused.total();
        let bytes = u64::try_from(request.len()).unwrap_or(u64::MAX);
        self.metrics.received(spans, bytes);
        Ok(ingested)
    }

    /// Counts and logs a request that is refused whole, and makes its status.
    fn refuse_request(&self, error: Malformed) -> Status {
        self.metrics.refused_request(MALFORMED);
        self.refusals.log_request(MALFORMED, &error);
        status::export(&Failure::Invalid(&error))
    }

    fn with_ingest<T>(&self, walk: impl FnOnce(&mut Ingest) -> T) -> T {
        let pooled = self.pool.lock().pop();
        let mut ingest = pooled.unwrap_or_else(|| Ingest::new(self.walking.limits));
        ingest.set_word_terms(*self.walking.word_terms.get());
        let walked = walk(&mut ingest);
        // An idle one does not hold on to what the dictionary was.
        ingest.set_dictionary(None);
        let mut pool = self.pool.lock();
        if pool.len() < MAX_POOLED {
            pool.push(ingest);
        }
        walked
    }

    /// Writes one batch after the other, so that a trace's fragments are stored in the order of the request (G3).
    async fn write_batches(
        &self,
        storage: &dyn Storage,
        batches: Vec<Batch>,
        refusal: &mut RefusedSpans,
    ) -> Result<(), WriteFailure> {
        let mut batches = batches.into_iter();
        let mut is_first = true;
        while let Some(batch) = batches.next() {
            let spans = span_count(&batch);
            match storage.write(batch).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Poison => {
                    self.refuse(POISON, spans, &error, refusal);
                }
                Err(error) => {
                    let rest: u64 = batches.map(|batch| span_count(&batch)).sum();
                    let spans = spans + rest;
                    return Err(WriteFailure {
                        error,
                        spans,
                        is_first,
                    });
                }
            }
            is_first = false;
        }
        Ok(())
    }

    /// Counts and logs refused spans, and adds them to `refusal`.
    fn refuse(
        &self,
        reason: &'static str,
        spans: u64,
        cause: &dyn fmt::Display,
        refusal: &mut RefusedSpans,
    ) {
        self.metrics.refused(reason, spans);
        self.refusals.log(reason, spans, cause);
        refusal.add(spans, &cause.to_string());
    }

    fn refused_by_ingest(&self, ingested: &Ingested) -> RefusedSpans {
        let mut refusal = RefusedSpans::default();
        let refused = &ingested.refused;
        for (reason, spans) in refused.by_reason() {
            self.metrics.refused(reason.as_str(), spans);
            self.refusals.log(reason.as_str(), spans, refused);
        }
        if !refused.is_empty() {
            refusal.add(refused.total(), &refused.to_string());
        }
        refusal
    }
}

// === impl RefusedSpans ===

impl RefusedSpans {
    fn add(&mut self, spans: u64, message: &str) {
        self.spans += spans;
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(message);
    }

    /// Counts the spans of an acknowledged write, these refused ones included, for their tenant.
    fn count(&self, all: u64, quotas: &Quotas) {
        let accepted = all.saturating_sub(self.spans);
        quotas.series().written(accepted, self.spans);
    }

    fn into_response(self) -> ExportTraceServiceResponse {
        let partial_success = (self.spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(self.spans).unwrap_or(i64::MAX),
            error_message: self.message,
        });
        ExportTraceServiceResponse { partial_success }
    }
}

fn span_count(batch: &Batch) -> u64 {
    batch
        .fragments()
        .map(|fragment| u64::from(fragment.facts.span_count))
        .sum()
}

#[cfg(test)]
mod tests;
