//! A tenant whose storage is a list of what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::testing::MemoryKeep;
use larder_ingest::{Ingest, Limits};
use larder_model::dictionary::{Bounds, Dictionaries, Dictionary, Snapshot};
use larder_model::storage::{
    Batch, Error, ErrorKind, Keep, Observer, Observers as _, Operation, Part, Pieces, Search,
    Sighting, Sightings, Statistics, Storage, StorageSource, Term, TraceId, Wanted,
};
use larder_model::terms::{self, AttributeKey, Level};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::Semaphore;

use crate::Keeper;

pub(super) const DAY: u64 = 86_400_000_000_000;
pub(super) const NOW: u64 = 20_000 * DAY;
pub(super) const TENANT: &str = "shop";

/// Bounds that a few values reach.
pub(super) const SMALL: Bounds = Bounds {
    values: 6,
    numbers: 6,
    bytes: 60,
    value_bytes: 10,
    all_values: 40,
    all_bytes: 500,
    attributes: 8,
};

/// The fragments of a tenant, by their terms.
pub(super) struct Fragments {
    pub(super) terms: Mutex<Vec<Vec<Term>>>,
    /// Searches wait for a permit.
    pub(super) gate: Semaphore,
    failure: Mutex<Option<Error>>,
    /// Pages do not end.
    pub(super) is_stuck: AtomicBool,
}

/// An open tenant.
pub(super) struct Tenant {
    pub(super) dictionaries: Dictionaries,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) fragments: Arc<Fragments>,
}

// === impl Fragments ===

impl Fragments {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            terms: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            failure: Mutex::default(),
            is_stuck: AtomicBool::new(false),
        })
    }

    /// Has searches fail, or not.
    pub(super) fn fail(&self, fails: bool) {
        *self.failure.lock() = fails.then(unavailable);
    }
}

impl StorageSource for Fragments {
    fn storage(self: Arc<Self>) -> Arc<dyn Storage> {
        self
    }
}

#[async_trait::async_trait]
impl Storage for Fragments {
    async fn write(&self, _: Batch) -> Result<(), Error> {
        Err(unavailable())
    }

    /// One fragment a page.
    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        _: u32,
    ) -> Result<Sightings, Error> {
        let _permit = self.gate.acquire().await.unwrap();
        if let Some(error) = &*self.failure.lock() {
            return Err(error.clone());
        }
        let all = self.terms.lock();
        let at = resume.map_or(0, |resume| usize::from(resume[0]));
        let passes = |terms: &Vec<Term>| {
            let mut clauses = search.clauses.iter();
            clauses.all(|clause| clause.iter().any(|term| terms.contains(term)))
        };
        let found = all.get(at).filter(|terms| passes(terms)).map(|_| Sighting {
            trace_id: TraceId::from_span(&[1; 16]).unwrap(),
            newest: 1,
            fragment: None,
        });
        let next = u8::try_from(at + usize::from(!self.is_stuck.load(Ordering::Relaxed))).unwrap();
        Ok(Sightings {
            found: found.into_iter().collect(),
            floor: 0,
            resume: (usize::from(next) < all.len()).then(|| vec![next]),
        })
    }

    async fn read(&self, _: &Wanted, _: Part, _: Option<&[u8]>, _: u32) -> Result<Pieces, Error> {
        Err(unavailable())
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        Err(unavailable())
    }

    async fn operations(&self, _: &str) -> Result<Vec<Operation>, Error> {
        Err(unavailable())
    }

    fn report(&self, _: &Error) {}
}

// === impl Tenant ===

impl Tenant {
    pub(super) async fn open(keep: &Arc<MemoryKeep>, fragments: &Arc<Fragments>) -> Self {
        Self::within(Bounds::default(), keep, fragments).await
    }

    pub(super) async fn within(
        bounds: Bounds,
        keep: &Arc<impl Keep>,
        fragments: &Arc<Fragments>,
    ) -> Self {
        let dictionaries = Dictionaries::default();
        let keeper = Keeper::new(dictionaries.clone(), bounds);
        let keep = Arc::clone(keep) as Arc<dyn Keep>;
        let storage = Arc::downgrade(fragments);
        Self {
            observer: keeper.open(TENANT, keep, storage).await,
            dictionaries,
            fragments: Arc::clone(fragments),
        }
    }

    pub(super) fn dictionary(&self) -> Dictionary {
        self.dictionaries.get(TENANT).unwrap()
    }

    /// A batch with a span that has these values of the attribute `k`.
    pub(super) fn walk(&self, now: u64, values: &[&str]) -> Batch {
        let mut ingest = Ingest::new(Limits {
            max_fragment_bytes: 4 << 20,
            max_batch_bytes: 8 << 20,
            max_span_bytes: 4 << 20,
            max_listed_bytes: 4 << 20,
        });
        let dictionary = self.dictionaries.get(TENANT);
        ingest.set_dictionary(dictionary.and_then(|it| it.for_request(now)));
        ingest.walk(&request(values)).unwrap().batches.remove(0)
    }

    /// Does what the writer does with batches, but refuses all if one is refused.
    pub(super) async fn write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        let mut all = batches.iter();
        all.try_for_each(|batch| self.observer.admit(now, batch))?;
        self.observer.before_write(now, batches).await?;
        let fragments = batches.iter().flat_map(|batch| batch.fragments());
        let mut terms = self.fragments.terms.lock();
        terms.extend(fragments.map(|fragment| fragment.terms.to_vec()));
        self.observer.after_write();
        Ok(())
    }

    /// Walks values and writes them.
    pub(super) async fn store(&self, now: u64, values: &[&str]) {
        let batch = self.walk(now, values);
        self.write(now, &[&batch]).await.unwrap();
    }

    /// The values of `k` that a search finds where no other host writes; `None` if it cannot trust the dictionary.
    pub(super) fn found(&self) -> Option<Vec<String>> {
        Some(values_of(&self.dictionaries.get(TENANT)?.snapshot()?))
    }

    /// The values of `k` that a search finds; `None` if it cannot trust the dictionaries.
    pub(super) async fn found_of_all(&self) -> Option<Vec<String>> {
        let snapshot = self.dictionaries.snapshot(TENANT).await?;
        Some(values_of(&snapshot))
    }

    pub(super) fn counted(&self, now: u64, oldest_write: Option<u64>) {
        let statistics = Statistics {
            oldest_write,
            ..Statistics::default()
        };
        self.observer.counted(now, &statistics);
    }
}

fn values_of(snapshot: &Snapshot) -> Vec<String> {
    let values = snapshot.values(Level::Span, b"k");
    let mut found: Vec<_> = values
        .map(|form| String::from_utf8(form.to_owned()).unwrap())
        .collect();
    found.sort();
    found
}

/// A search for any value by the dictionary, which has found these, finds what a search by the values `v0` to `v11` themselves does.
pub(super) fn check_found<'a>(found: &[String], written: impl Iterator<Item = &'a Vec<Term>>) {
    let key = AttributeKey::new(b"k");
    let listed: Vec<Term> = found
        .iter()
        .map(|form| key.with_value(Level::Span, form.as_bytes()))
        .collect();
    for terms in written {
        let calls_listed = terms.contains(&terms::present_listed(Level::Span, b"k"));
        let has_listed = listed.iter().any(|term| terms.contains(term));
        assert!(has_listed || !calls_listed, "a listed value is not found");
        // Each of its values is listed, or the fragment says that one is not.
        let is_open = terms.contains(&terms::present_unlisted(Level::Span, b"k"))
            || !terms.contains(&terms::with_dictionary());
        for number in 0..12 {
            let value = key.with_value(Level::Span, format!("v{number}").as_bytes());
            let is_known = listed.contains(&value);
            assert!(is_open || is_known || !terms.contains(&value), "v{number}");
        }
    }
}

/// Lets tasks in the background run until something holds.
pub(super) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

pub(super) fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "not now")
}

fn request(values: &[&str]) -> Vec<u8> {
    let attribute = |value: &&str| KeyValue {
        key: "k".to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue((*value).to_owned())),
        }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        attributes: values.iter().map(attribute).collect(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    TracesData { resource_spans }.encode_to_vec()
}
