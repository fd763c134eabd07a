//! A bundled plugin compiled natively, behind the host's trait, to compare with the sandboxed one.
//!
//! It is called as the host's worker calls a guest: writes one at a time from a queue, maintenance in between, and a separate instance
//! for the reads of a replicated plugin. The host's work for the sandbox is left out: limits, deadlines, checks of answers.

#![allow(clippy::panic, reason = "a bench fails loudly")]

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use larder_model::storage::{
    Batch, DurationRange, Error, ErrorKind, Operation, Part, Piece, Pieces, Search, Sighting,
    Sightings, SpanKind, Storage, TimeRange, TraceId, Wanted,
};
use larder_plugin as guest;
use larder_plugin::bindings::exports::larder::storage::writer;
use larder_plugin::testing::{Kv, with_kv};
use larder_plugin::{Environment, Identity, Instancing, Plugin, Role, Setting, Sizes};
use larder_store::{Driver, Namespace};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::sleep_until;

use super::kv::Driven;

/// The most queued calls, as for a guest.
const QUEUE: usize = 1024;

type Job<P> = Box<dyn FnOnce(&mut P) + Send>;

/// A plugin that runs on this thread.
pub(crate) struct Native<P> {
    writer: mpsc::Sender<Job<P>>,
    reader: mpsc::Sender<Job<P>>,
    namespace: Arc<dyn Namespace>,
    /// Something was written since the reader was refreshed last.
    has_written: AtomicBool,
}

/// The arguments of an opening.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) memory: u64,
    pub(crate) maintain_every: Duration,
}

/// An instance, and its `kv`.
struct Instance<P> {
    plugin: P,
    kv: Rc<dyn Kv>,
}

// === impl Native ===

impl<P: Plugin> Native<P> {
    /// Opens the plugin. Call it inside a `LocalSet`; the instances run there.
    pub(crate) async fn open(opening: &Opening, driver: &dyn Driver) -> anyhow::Result<Self> {
        let namespace = driver.open("default").await?;
        let id = driver.writer_id();
        let claim = namespace.claim(&id).await?;
        let role = Role::Writer(Identity {
            id,
            number: claim.number,
        });
        let kv = Driven::new(Arc::clone(&namespace), Some(claim));
        let instance = Instance::<P>::open(opening, role, kv)?;
        let (writer, jobs) = mpsc::channel(QUEUE);
        let reader = if P::INSTANCING == Instancing::Replicated {
            let kv = Driven::new(Arc::clone(&namespace), None);
            let instance = Instance::<P>::open(opening, Role::Reader, kv)?;
            let (reader, jobs) = mpsc::channel(QUEUE);
            spawn_local(instance.answer(jobs));
            reader
        } else {
            writer.clone()
        };
        let every = opening.maintain_every;
        spawn_local(instance.work(jobs, Arc::clone(&namespace), every));
        Ok(Self {
            writer,
            reader,
            namespace,
            has_written: AtomicBool::new(false),
        })
    }

    /// Asks the instance that reads. It is refreshed before, if something was written since the last time.
    async fn read_by<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut P) -> Result<T, guest::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let is_replicated = P::INSTANCING == Instancing::Replicated;
        let is_stale = is_replicated && self.has_written.swap(false, Ordering::SeqCst);
        let fresh = move |plugin: &mut P| {
            if is_stale {
                plugin.refresh()?;
            }
            call(plugin)
        };
        self.ask(&self.reader, fresh).await
    }
}

impl<P: 'static> Native<P> {
    async fn ask<T: Send + 'static>(
        &self,
        jobs: &mpsc::Sender<Job<P>>,
        call: impl FnOnce(&mut P) -> Result<T, guest::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Error::new(ErrorKind::Unavailable, "the plugin is gone");
        let (reply, answer) = oneshot::channel();
        let job: Job<P> = Box::new(move |plugin| drop(reply.send(call(plugin))));
        jobs.send(job).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        answer.map_err(|error| Error::new(ErrorKind::Unavailable, format!("{error:?}")))
    }
}

#[async_trait::async_trait]
impl<P: Plugin> Storage for Native<P> {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        let generation = self.namespace.generation();
        let batches = vec![moved(batch)];
        let written = self.ask(&self.writer, move |plugin| plugin.write(now(), batches));
        written.await?;
        self.has_written.store(true, Ordering::SeqCst);
        if P::INSTANCING == Instancing::Exclusive {
            return Ok(());
        }
        let synced = self.namespace.sync(generation).await;
        synced.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let search = guest::Search {
            starts: range(search.starts),
            durations: durations(search.durations),
            clauses: search.clauses.clone(),
        };
        let resume = resume.map(<[u8]>::to_vec);
        let found = self.read_by(move |plugin| plugin.find(&search, resume.as_deref(), limit));
        let page = found.await?;
        let found = page.found.into_iter().map(|sighting| Sighting {
            trace_id: TraceId(sighting.trace_id.into()),
            newest: sighting.newest,
            fragment: sighting.fragment,
        });
        Ok(Sightings {
            found: found.collect(),
            floor: page.floor,
            resume: page.resume,
        })
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let wanted = match wanted {
            Wanted::Traces(ids) => {
                guest::Wanted::Traces(ids.iter().map(|id| id.0.into()).collect())
            }
            Wanted::Fragments(fragments) => guest::Wanted::Fragments(fragments.clone()),
        };
        let part = match part {
            Part::Digest => guest::Part::Digest,
            Part::Otlp => guest::Part::Otlp,
        };
        let resume = resume.map(<[u8]>::to_vec);
        let read =
            self.read_by(move |plugin| plugin.read(&wanted, part, resume.as_deref(), max_bytes));
        let page = read.await?;
        let pieces = page.pieces.into_iter().map(|piece| Piece {
            trace_id: TraceId(piece.trace_id.into()),
            fragment: piece.fragment,
            bytes: piece.bytes,
            dropped_spans: piece.dropped_spans,
        });
        Ok(Pieces {
            pieces: pieces.collect(),
            resume: page.resume,
        })
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.read_by(P::services).await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        let service = service.to_owned();
        let operations = self.read_by(move |plugin| plugin.operations(&service));
        let operations = operations.await?.into_iter();
        Ok(operations
            .map(|operation| Operation {
                service: operation.service,
                name: operation.name,
                kind: SpanKind::from_wire(operation.kind as u64),
            })
            .collect())
    }

    fn report(&self, breach: &Error) {
        panic!("the plugin broke the contract: {breach}");
    }
}

// === impl Instance ===

impl<P: Plugin> Instance<P> {
    fn open(opening: &Opening, role: Role, kv: Driven) -> anyhow::Result<Self> {
        let settings = opening.settings.iter().map(|(name, value)| Setting {
            name: name.clone(),
            value: value.clone(),
        });
        let environment = Environment {
            role,
            tenant: "default".to_owned(),
            memory_limit: opening.memory,
            seed: 0x5eed,
            settings: settings.collect(),
        };
        let kv: Rc<dyn Kv> = Rc::new(kv);
        let plugin = with_kv(Rc::clone(&kv), || P::open(environment));
        let plugin = plugin.map_err(|error| anyhow::anyhow!("cannot open it: {error:?}"))?;
        Ok(Self { plugin, kv })
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut P) -> T) -> T {
        with_kv(Rc::clone(&self.kv), || call(&mut self.plugin))
    }

    async fn answer(mut self, mut jobs: mpsc::Receiver<Job<P>>) {
        while let Some(job) = jobs.recv().await {
            self.call(job);
        }
    }

    async fn work(
        mut self,
        mut jobs: mpsc::Receiver<Job<P>>,
        namespace: Arc<dyn Namespace>,
        every: Duration,
    ) {
        let mut maintain_at = Instant::now();
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => self.call(job),
                    None => return,
                },
                () = sleep_until(maintain_at.into()) => {
                    let bytes = namespace.stored_bytes();
                    let sizes = Sizes { tenant: bytes, own: bytes };
                    let more = self.call(|plugin| plugin.maintain(now(), sizes));
                    let more = more.unwrap_or_else(|error| panic!("upkeep failed: {error:?}"));
                    maintain_at = Instant::now();
                    if !more {
                        maintain_at += every;
                    }
                }
            }
        }
    }
}

/// The batch in the plugin's types. Its large lists are moved, not copied.
fn moved(batch: Batch) -> guest::Batch {
    let operations = batch.named_operations();
    let operations = operations.map(|(operation, name)| writer::BatchOperation {
        service: operation.service,
        name: name.to_owned(),
        kind: kind(operation.kind),
    });
    let operations = operations.collect();
    let lists = batch.into_lists();
    let fragments = lists.facts.iter().map(|(facts, ends)| writer::Fragment {
        trace_id: facts.trace_id.0.into(),
        span_count: facts.span_count,
        starts: range(facts.starts),
        durations: durations(facts.durations),
        terms_end: ends.terms,
        operations_end: ends.operations,
        digest_end: ends.digest,
        otlp_end: ends.otlp,
    });
    guest::Batch {
        operations,
        fragments: fragments.collect(),
        services: lists.services,
        terms: lists.terms,
        fragment_operations: lists.fragment_operations,
        digests: lists.digests,
        otlp: lists.otlp,
    }
}

fn range(range: TimeRange) -> guest::TimeRange {
    guest::TimeRange {
        start: range.start,
        end: range.end,
    }
}

fn durations(range: DurationRange) -> guest::DurationRange {
    guest::DurationRange {
        shortest: range.shortest,
        longest: range.longest,
    }
}

fn kind(kind: SpanKind) -> guest::SpanKind {
    match kind {
        SpanKind::Unspecified => guest::SpanKind::Unspecified,
        SpanKind::Internal => guest::SpanKind::Internal,
        SpanKind::Server => guest::SpanKind::Server,
        SpanKind::Client => guest::SpanKind::Client,
        SpanKind::Producer => guest::SpanKind::Producer,
        SpanKind::Consumer => guest::SpanKind::Consumer,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
