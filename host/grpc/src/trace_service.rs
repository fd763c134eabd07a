//! OTLP's `TraceService`: the write.

mod by_resource;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use larder_core::Stores;
use larder_core::fair::Lane;
use larder_core::telemetry::Metrics;
use larder_ingest::{self as ingest, Ingest, Ingested};
use larder_model::TenantName;
use larder_model::storage::{self, Batch, ErrorKind, Storage};
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
use super::request_memory::Share;
use super::status::{self, Failure};
use super::stores;
use super::writers::Writers;

/// A request up to this size is walked where it arrives (about a millisecond); a larger one must not hold up the connections
/// that share the thread.
const INLINE_BYTES: usize = 1 << 20;

/// The most scratch memories that are kept for later requests.
const MAX_POOLED: usize = 16;

/// The reason of spans whose batch trapped the plugin twice, alone.
const POISON: &str = "plugin_trap";

/// The service; clones share everything.
#[derive(Clone)]
pub(super) struct TraceWriter(Arc<Shared>);

struct Shared {
    stores: Arc<dyn Stores>,
    metrics: Arc<Metrics>,
    limits: ingest::Limits,
    /// Reused, as fresh memory costs more than the work.
    pool: Mutex<Vec<Ingest>>,
    /// Writes under way, also those whose clients have gone.
    writes: TaskTracker,
    refusals: RefusalLog,
}

/// Spans that were not stored, for `partial_success`.
#[derive(Default)]
struct Refusal {
    spans: u64,
    message: String,
}

/// Spans that could not be written.
struct Unwritten {
    error: storage::Error,
    spans: u64,
}

impl TraceWriter {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        metrics: Arc<Metrics>,
        limits: ingest::Limits,
        writes: TaskTracker,
    ) -> Self {
        Self(Arc::new(Shared {
            stores,
            metrics,
            limits,
            pool: Mutex::default(),
            writes,
            refusals: RefusalLog::default(),
        }))
    }

    async fn store(
        self,
        request: Bytes,
        tenant: Option<TenantName>,
        (share, lane): (Option<Arc<Share>>, Option<Lane>),
    ) -> Result<ExportTraceServiceResponse, Status> {
        let failed = |error: storage::Error| status::export(&Failure::Storage(&error));
        let quotas = self.0.stores.quotas(tenant.as_ref()).map_err(failed)?;
        // Asked twice: a flood has to be refused before it costs the walk, and what there is to take is known after it.
        quotas.check_spans(Instant::now()).map_err(failed)?;
        let storage = stores::storage(&*self.0.stores, tenant.as_ref()).await;
        let storage = storage.map_err(failed)?;
        let shared = Arc::clone(&self.0);
        let walk = move |request: &[u8]| shared.walk(request);
        let ingested = off_the_connection(request, (share, lane), walk).await?;
        let spans = all_spans(&ingested);
        quotas.take_spans(spans, Instant::now()).map_err(failed)?;
        self.0.write(&*storage, ingested).await
    }
}

/// Those that are to be stored, and those that are refused.
fn all_spans(ingested: &Ingested) -> u64 {
    ingested.spans + ingested.refused.total()
}

/// What `walk` makes of a request within a turn of its lane, on a thread of its own where that is large.
async fn off_the_connection<T: Send + 'static>(
    request: Bytes,
    (share, lane): (Option<Arc<Share>>, Option<Lane>),
    walk: impl FnOnce(&[u8]) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    if let Some(share) = &share {
        // Compressed bytes were counted as they came; what they became counts too.
        share.grow_to(request.len())?;
    }
    let turn = match &lane {
        Some(lane) => Some(lane.turn().await),
        None => None,
    };
    let inline = request.len() <= INLINE_BYTES;
    let walk = move || {
        let walked = walk(&request);
        // What is waiting to be written is counted by the writer's queue.
        drop((request, share, turn));
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
        let share = request.extensions_mut().remove::<Arc<Share>>();
        let within = (share, request.extensions_mut().remove::<Lane>());
        let tenant = request.extensions_mut().remove::<TenantName>();
        let writers = request.extensions_mut().remove::<Writers>();
        let ExportBytes(bytes) = request.into_inner();
        let service = self.clone();
        let store = async move {
            match writers {
                Some(writers) => service.store_by_resource(bytes, writers, within).await,
                None => service.store(bytes, tenant, within).await,
            }
        };
        // A task of its own: when the client goes away, the write goes on.
        let stored = self.0.writes.spawn(store.in_current_span()).await;
        stored
            .unwrap_or_else(|error| Err(status::task_failed(error)))
            .map(Response::new)
    }
}

// === impl Shared ===

impl Shared {
    fn walk(&self, request: &[u8]) -> Result<Ingested, Status> {
        let walked = self.with_ingest(|ingest| ingest.walk(request));
        let ingested = walked.map_err(|error| status::export(&Failure::Invalid(&error)))?;
        let spans = ingested.spans + ingested.refused.total();
        let bytes = u64::try_from(request.len()).unwrap_or(u64::MAX);
        self.metrics.received(spans, bytes);
        Ok(ingested)
    }

    fn with_ingest<T>(&self, walk: impl FnOnce(&mut Ingest) -> T) -> T {
        let pooled = self.pool.lock().pop();
        let mut ingest = pooled.unwrap_or_else(|| Ingest::new(self.limits));
        let walked = walk(&mut ingest);
        let mut pool = self.pool.lock();
        if pool.len() < MAX_POOLED {
            pool.push(ingest);
        }
        walked
    }

    async fn write(
        &self,
        storage: &dyn Storage,
        ingested: Ingested,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let mut refusal = self.refused_by_ingest(&ingested);
        let written = self.write_batches(storage, ingested.batches, &mut refusal);
        let written = written.await;
        written.map_err(|left| status::export(&Failure::Storage(&left.error)))?;
        Ok(refusal.into_response())
    }

    /// One batch after the other, so that a trace's fragments are stored in the order of the request (G3).
    async fn write_batches(
        &self,
        storage: &dyn Storage,
        batches: Vec<Batch>,
        refusal: &mut Refusal,
    ) -> Result<(), Unwritten> {
        let mut batches = batches.into_iter();
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
                    return Err(Unwritten { error, spans });
                }
            }
        }
        Ok(())
    }

    /// Refuses spans: counted, logged and told.
    fn refuse(
        &self,
        reason: &'static str,
        spans: u64,
        why: &dyn fmt::Display,
        refusal: &mut Refusal,
    ) {
        self.metrics.refused(reason, spans);
        self.refusals.log(reason, spans, why);
        refusal.add(spans, &why.to_string());
    }

    fn refused_by_ingest(&self, ingested: &Ingested) -> Refusal {
        let mut refusal = Refusal::default();
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

// === impl Refusal ===

impl Refusal {
    fn add(&mut self, spans: u64, message: &str) {
        self.spans += spans;
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(message);
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
