//! One tenant's plugin at work: the only [`Storage`] of the server.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, error, info, info_span, warn};

use super::acks::Acks;
use super::backoff::Backoff;
use super::described::Facts;
use super::factory::Factory;
use super::pool::{Pool, too_many_reads};
use super::question::{Answer, Question, mixed_up};
use super::queue::WriteQueue;
use super::shared::{Shared, lock};
use super::suspects::Verdict;
use super::worker::{Ask, Seat, Worker, poisonous};
use super::{DEFAULT_TENANT, Error, Instancing, Limits, Opener, Runtime, Settings, Status};
use crate::kv;
use crate::storage::{
    self, Batch, Operation, Part, Pieces, Search, Sightings, Statistics, Storage, Wanted,
};
use crate::telemetry::{Levels, Metrics};

/// One tenant's plugin: takes writes and reads, and replaces instances that fail.
pub struct Tenant {
    shared: Arc<Shared>,
    queue: Arc<WriteQueue>,
    reads: Reads,
    worker: Mutex<Option<JoinHandle<()>>>,
    facts: Arc<Facts>,
    factory: Arc<Factory>,
}

/// Who answers reads.
enum Reads {
    /// The one instance.
    Writer(mpsc::Sender<Ask>),
    /// Instances beside the writer.
    Pool(Arc<Pool>),
}

// === impl Tenant ===

impl Tenant {
    /// Loads the plugin, checks that it fits the contract, and opens it for the tenant [`DEFAULT_TENANT`].
    ///
    /// # Errors
    /// Everything that makes the plugin unusable: see [`Error`].
    pub async fn open(
        runtime: &Runtime,
        settings: Settings,
        kv: Arc<dyn kv::Driver>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Error> {
        let opener = Opener::load(runtime, settings, kv, metrics).await?;
        opener.open(DEFAULT_TENANT).await
    }

    /// Opens an instance that writes, and sets it to work.
    pub(super) async fn start(
        factory: Factory,
        facts: &Arc<Facts>,
        limits: &Limits,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, Error> {
        let factory = Arc::new(factory);
        let name = Arc::clone(&factory.opening.name);
        let instancing = facts.instancing;
        if instancing == Instancing::Replicated && !factory.driver().is_durable() {
            let driver = factory.driver().name();
            warn!(
                plugin = &*name,
                kv.driver = driver,
                "what the plugin stores is lost when this process ends"
            );
        }
        let instance = factory
            .writer()
            .await
            .map_err(|error| error.into_error(&name))?;
        let gauge = Arc::clone(&factory.opening.gauge);
        let shared = Arc::new(Shared::new(
            Arc::clone(&name),
            instancing,
            gauge,
            Arc::clone(metrics),
        ));
        shared.up();
        info!(
            tenant.id = factory.tenant(),
            plugin = &*name,
            version = facts.version,
            source = facts.source,
            hash = facts.hash,
            "the plugin is open"
        );

        let seat = Seat::Taken(Box::new(instance));
        let queue = WriteQueue::new(limits.queue_depth, limits.queue_bytes);
        let (reads, worker) = work(seat, &factory, &shared, &queue, limits);
        Ok(Arc::new(Self {
            shared,
            queue,
            reads,
            worker: Mutex::new(Some(worker)),
            facts: Arc::clone(facts),
            factory,
        }))
    }

    /// How the plugin is now.
    pub fn status(&self) -> Status {
        let (queue_depth, queue_bytes) = self.queue.waiting();
        let memory_used = self.shared.memory_used();
        Status {
            state: self.shared.state(),
            restarts: self.shared.restarts(),
            queue_depth,
            queue_bytes,
            statistics: self.shared.statistics(),
            ..self.facts.status(&self.shared.name, memory_used)
        }
    }

    /// What the tenant adds to the levels of the server.
    pub fn levels(&self) -> Levels {
        let (queue_depth, queue_bytes) = self.queue.waiting();
        let Statistics {
            traces,
            spans,
            bytes,
            ..
        } = self.shared.statistics();
        Levels {
            open: 1,
            ready: u64::from(*self.shared.ready().borrow()),
            queue_depth,
            queue_bytes,
            memory: self.shared.memory_used(),
            traces,
            spans,
            bytes,
        }
    }

    /// Whether writes wait, or are being written.
    pub fn is_busy(&self) -> bool {
        self.queue.waiting() != (0, 0)
    }

    /// Changes how many writes may wait, and how many bytes of them; what waits already stays.
    pub fn set_queue(&self, depth: usize, bytes: usize) {
        self.queue.set_limits(depth, bytes);
    }

    /// Where its data lives.
    pub fn instancing(&self) -> Instancing {
        self.shared.instancing
    }

    /// What its namespace takes up, compressed, in bytes; nothing for a plugin that does not use `kv`.
    pub fn stored_bytes(&self) -> u64 {
        self.factory.namespace().stored_bytes()
    }

    /// Whether calls are served; changes with every restart that has to wait.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.shared.ready()
    }

    /// Forgets everything that was written before. A write that is acknowledged after this returns is kept.
    ///
    /// # Errors
    /// [`Unavailable`](storage::ErrorKind::Unavailable) where the plugin cannot be started afresh.
    pub async fn purge(&self) -> Result<(), storage::Error> {
        self.settled(self.queue.purge()?).await
    }

    /// Writes what waits, refuses what comes after, and returns once all of it is durable.
    pub async fn shutdown(&self) {
        self.queue.close();
        let worker = lock(&self.worker).take();
        if let Some(worker) = worker
            && let Err(error) = worker.await
        {
            error!(plugin = &*self.shared.name, %error, "the plugin's task ended early");
        }
    }

    async fn ask(&self, question: Question) -> Result<Answer, storage::Error> {
        let sender = match &self.reads {
            Reads::Pool(pool) => return pool.ask(question).await,
            Reads::Writer(sender) => sender,
        };
        let (reply, answer) = oneshot::channel();
        match sender.try_send(Ask { question, reply }) {
            Ok(()) => answer
                .await
                .unwrap_or_else(|_| Err(self.shared.shutting_down())),
            Err(mpsc::error::TrySendError::Full(_)) => Err(too_many_reads(sender.max_capacity())),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.shared.shutting_down()),
        }
    }

    /// Waits for the writer's answer.
    async fn settled(
        &self,
        answer: oneshot::Receiver<Result<(), storage::Error>>,
    ) -> Result<(), storage::Error> {
        let answer = answer.await;
        answer.unwrap_or_else(|_| Err(self.shared.shutting_down()))
    }
}

#[async_trait::async_trait]
impl Storage for Tenant {
    async fn write(&self, batch: Batch) -> Result<(), storage::Error> {
        let verdict = lock(&self.shared.suspects).verdict(&batch);
        let suspect = match verdict {
            Verdict::Clean => None,
            Verdict::Suspect(suspect) => Some(suspect),
            Verdict::Poison(digest) => return Err(poisonous(&self.shared.name, digest)),
        };
        self.settled(self.queue.push(batch, suspect)?).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, storage::Error> {
        let question = Question::Find {
            search: search.clone(),
            resume: resume.map(<[u8]>::to_vec),
            limit,
        };
        match self.ask(question).await? {
            Answer::Sightings(page) => Ok(page),
            other => Err(mixed_up(&other)),
        }
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, storage::Error> {
        let question = Question::Read {
            wanted: wanted.clone(),
            part,
            resume: resume.map(<[u8]>::to_vec),
            max_bytes,
        };
        match self.ask(question).await? {
            Answer::Pieces(page) => Ok(page),
            other => Err(mixed_up(&other)),
        }
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        match self.ask(Question::Services).await? {
            Answer::Services(names) => Ok(names),
            other => Err(mixed_up(&other)),
        }
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        let service = service.to_owned();
        match self.ask(Question::Operations { service }).await? {
            Answer::Operations(operations) => Ok(operations),
            other => Err(mixed_up(&other)),
        }
    }

    fn report(&self, breach: &storage::Error) {
        if self.shared.reported(breach) {
            match &self.reads {
                Reads::Writer(_) => self.shared.struck_out.notify_one(),
                Reads::Pool(pool) => pool.renew(),
            }
        }
    }
}

/// Starts the writer's task, with readers beside it where the plugin wants them.
fn work(
    seat: Seat,
    factory: &Arc<Factory>,
    shared: &Arc<Shared>,
    queue: &Arc<WriteQueue>,
    limits: &Limits,
) -> (Reads, JoinHandle<()>) {
    let (sender, asks) = mpsc::channel(limits.queue_depth.max(1));
    let replicated = shared.instancing == Instancing::Replicated;
    let pool = replicated.then(|| {
        let (factory, shared) = (Arc::clone(factory), Arc::clone(shared));
        Pool::new(factory, shared, limits)
    });
    let worker = Worker {
        factory: Arc::clone(factory),
        shared: Arc::clone(shared),
        queue: Arc::clone(queue),
        asks,
        pool: pool.clone(),
        acks: replicated.then(Acks::start),
        seat,
        backoff: Backoff::new(limits.restart_delay),
        maintain_every: limits.maintain_every,
        maintain_at: Instant::now(),
    };
    let reads = match pool {
        Some(pool) => Reads::Pool(pool),
        None => Reads::Writer(sender),
    };
    let span = info_span!("tenant", tenant.id = factory.tenant());
    (reads, tokio::spawn(worker.run().instrument(span)))
}

#[cfg(test)]
mod tests;
