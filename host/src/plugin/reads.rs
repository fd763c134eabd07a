//! Who answers the reads of one request: the one instance, or the readers that were there when it came.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Tenant;
use super::pool::{Pool, too_many_reads};
use super::question::{Answer, Question, mixed_up};
use super::queue::WriteQueue;
use super::shared::Shared;
use super::worker::Ask;
use crate::storage::{self, Batch, Operation, Part, Pieces, Search, Sightings, Storage, Wanted};

/// See the module.
pub(super) enum Reads {
    /// The one instance.
    Writer {
        asks: mpsc::Sender<Ask>,
        /// Says how many may wait.
        queue: Arc<WriteQueue>,
        shared: Arc<Shared>,
    },
    /// Instances beside the writer.
    Pool(Arc<Pool>),
}

/// A tenant's storage for one request. A query goes on asking instances of the component that it began with: where another has taken
/// its place, neither a page nor a fragment's handle goes from the one to the other.
pub(super) struct Pinned {
    pub(super) tenant: Arc<Tenant>,
    pub(super) reads: Reads,
}

// === impl Reads ===

impl Reads {
    async fn ask(&self, question: Question) -> Result<Answer, storage::Error> {
        let (asks, queue, shared) = match self {
            Self::Pool(pool) => return pool.ask(question).await,
            Self::Writer {
                asks,
                queue,
                shared,
            } => (asks, queue, shared),
        };
        let waiting = asks.max_capacity() - asks.capacity();
        if waiting >= queue.most_depth().max(1) {
            return Err(too_many_reads(waiting));
        }
        let (reply, answer) = oneshot::channel();
        match asks.try_send(Ask { question, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(shared.shutting_down())),
            Err(mpsc::error::TrySendError::Full(_)) => Err(too_many_reads(asks.max_capacity())),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(shared.shutting_down()),
        }
    }

    pub(super) async fn find(
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

    pub(super) async fn read(
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

    pub(super) async fn services(&self) -> Result<Vec<String>, storage::Error> {
        match self.ask(Question::Services).await? {
            Answer::Services(names) => Ok(names),
            other => Err(mixed_up(&other)),
        }
    }

    pub(super) async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        let service = service.to_owned();
        match self.ask(Question::Operations { service }).await? {
            Answer::Operations(operations) => Ok(operations),
            other => Err(mixed_up(&other)),
        }
    }

    /// The instances have broken too many rules, and are to be replaced.
    pub(super) fn struck_out(&self) {
        match self {
            Self::Writer { shared, .. } => shared.struck_out.notify_one(),
            Self::Pool(pool) => pool.renew(),
        }
    }
}

#[async_trait::async_trait]
impl Storage for Pinned {
    async fn write(&self, batch: Batch) -> Result<(), storage::Error> {
        self.tenant.write(batch).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, storage::Error> {
        self.reads.find(search, resume, limit).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, storage::Error> {
        self.reads.read(wanted, part, resume, max_bytes).await
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        self.reads.services().await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        self.reads.operations(service).await
    }

    fn report(&self, breach: &storage::Error) {
        self.tenant.reported(breach, &self.reads);
    }
}
