//! The walk of an Export takes a turn by itself, independent of its RPC: a large request is walked on another thread, and the writing
//! task outlives a disconnected client.

#![allow(clippy::unwrap_used, reason = "tests")]

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName};
use larder_core::fair::Scheduler;
use larder_core::{Quotas, quotas};
use larder_edge::access::Access;
use larder_edge::tenant::{Resolver, Rules};
use larder_model::storage::{Batch, Operation, Part, Pieces, Search, Sightings, Wanted};
use larder_tests::otlp::{request, service, span};
use prost::Message as _;
use tokio::task::yield_now;

use super::*;

/// One storage for all tenants.
struct One(Arc<Sink>, Arc<Quotas>);

/// Accepts every write and contains nothing.
struct Sink;

#[async_trait::async_trait]
impl Stores for One {
    fn get(&self, _: Option<&TenantName>) -> Option<Arc<dyn Storage>> {
        Some(Arc::clone(&self.0) as Arc<dyn Storage>)
    }

    fn quotas(&self, _: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error> {
        Ok(Arc::clone(&self.1))
    }

    async fn open(&self, _: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error> {
        Ok(Arc::clone(&self.0) as Arc<dyn Storage>)
    }
}

#[async_trait::async_trait]
impl Storage for Sink {
    async fn write(&self, _: Batch) -> Result<(), storage::Error> {
        Ok(())
    }

    async fn find(
        &self,
        _: &Search,
        _: Option<&[u8]>,
        _: u32,
    ) -> Result<Sightings, storage::Error> {
        unreachable!("nothing is read")
    }

    async fn read(
        &self,
        _: &Wanted,
        _: Part,
        _: Option<&[u8]>,
        _: u32,
    ) -> Result<Pieces, storage::Error> {
        unreachable!("nothing is read")
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        unreachable!("nothing is read")
    }

    async fn operations(&self, _: &str) -> Result<Vec<Operation>, storage::Error> {
        unreachable!("nothing is read")
    }

    fn report(&self, _: &storage::Error) {}
}

fn writer(metrics: &Arc<Metrics>) -> TraceWriter {
    let limits = quotas::Limits {
        spans_per_second: None,
        concurrent_queries: 1,
        query_queue_bytes: 1 << 20,
        kv_quota: None,
    };
    let quotas = Quotas::new(TenantName::default_tenant(), &limits, Arc::clone(metrics));
    let stores = One(Arc::new(Sink), quotas);
    let limits = ingest::Limits {
        max_fragment_bytes: 1 << 20,
        max_batch_bytes: 8 << 20,
        max_span_bytes: 4 << 20,
        max_listed_bytes: 4 << 20,
    };
    let tracker = TaskTracker::new();
    let walking = Walking {
        limits,
        word_terms: Live::new(true),
        dictionary: Live::new(true),
        dictionaries: Dictionaries::default(),
    };
    TraceWriter::new(Arc::new(stores), Arc::clone(metrics), walking, tracker)
}

/// A splitter for a request whose resources name their tenants.
fn by_resource() -> TenantSplitter {
    let resolver = Resolver::on(Rules {
        header: HeaderName::from_static("x-tenant"),
        tenants: [].into(),
        default: "a".parse().ok(),
        attribute: Some("tenant".into()),
    });
    let (headers, access) = (HeaderMap::new(), Access::anonymous());
    let by_resource = resolver.attribute_resolver(&headers).unwrap();
    TenantSplitter::new(by_resource, access.caller(&headers).unwrap())
}

/// True if the only turn is taken.
fn is_taken(scheduler: &Arc<Scheduler>) -> bool {
    scheduler.lane("observer").turn().now_or_never().is_none()
}

#[tokio::test]
async fn a_walk_holds_a_turn_to_its_end_on_any_thread() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    for bytes in [INLINE_BYTES, INLINE_BYTES + 1] {
        let seen = Arc::clone(&scheduler);
        let walk = move |_: &[u8]| Ok((is_taken(&seen), std::thread::current().id()));
        let lane = Some(scheduler.lane("a"));
        let body = Bytes::from(vec![0; bytes]);
        let (taken, thread) = off_the_connection(body, (None, lane), walk).await.unwrap();
        assert!(taken, "{bytes} bytes were walked without a turn");
        let here = thread == std::thread::current().id();
        assert_eq!(here, bytes <= INLINE_BYTES);
        assert!(!is_taken(&scheduler), "the turn goes on");
    }
}

/// The handler is called without the RPC layer, which takes turns for the RPC.
#[tokio::test]
async fn an_export_is_not_walked_before_its_tenants_turn() {
    for splitter in [None, Some(by_resource())] {
        let scheduler = Arc::new(Scheduler::new(1, 1));
        let metrics = Arc::new(Metrics::new());
        let walked = || {
            let text = metrics.encode();
            text.contains("larder_ingest_spans_total 1")
        };
        let body = request([service("shop").span(span([1; 16], 1))]);
        let mut export = Request::new(ExportBytes(body.encode_to_vec().into()));
        export.extensions_mut().insert(scheduler.lane("a"));
        if let Some(splitter) = splitter {
            export.extensions_mut().insert(splitter);
        }
        let held = scheduler.lane("a").turn().await;
        let writer = writer(&metrics);
        let exported = tokio::spawn(async move { writer.export(export).await });
        // Everything runs on this thread, so progress that is possible happens here.
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!walked() && !exported.is_finished());
        drop(held);
        let answer = exported.await.unwrap().unwrap();
        assert_eq!(answer.into_inner().partial_success, None);
        assert!(walked());
    }
}
