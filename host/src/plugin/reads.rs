//! Who answers the reads of one request: the one instance, or the readers that were there when it came.

use std::sync::Arc;

use tracing::{Instrument as _, info_span};

use super::Tenant;
use super::pool::{Pool, ended_early};
use super::question::{Answer, Question, mixed_up};
use super::queue::WriteQueue;
use super::seat::Seat;
use super::shared::Shared;
use super::unbroken::Unbroken;
use crate::fair::Lane;
use crate::storage::{self, Batch, Operation, Part, Pieces, Search, Sightings, Storage, Wanted};

/// See the module.
pub(super) enum Reads {
    /// The one instance.
    Writer {
        seat: Arc<Seat>,
        /// Says how many may wait.
        queue: Arc<WriteQueue>,
        shared: Arc<Shared>,
        lane: Lane,
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
        let (seat, queue, lane) = match self {
            Self::Pool(pool) => return pool.ask(question).await,
            Self::Writer {
                seat, queue, lane, ..
            } => (seat, queue, lane),
        };
        let mut seated = seat.lock_to_read(queue.most_depth()).await?;
        let span = info_span!("tenant", tenant.id = &**lane.tenant());
        let answer = async move { seated.answer(&question).await }.instrument(span);
        // The caller may go away, and a call that is cut off half-way costs the instance.
        let answered = Unbroken::new(lane.gated(answer)).await;
        answered.unwrap_or_else(|error| Err(ended_early(&error)))
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
        let question = Question::Find {
            search: search.clone(),
            resume: resume.map(<[u8]>::to_vec),
            limit,
        };
        match self.reads.ask(question).await? {
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
        match self.reads.ask(question).await? {
            Answer::Pieces(page) => Ok(page),
            other => Err(mixed_up(&other)),
        }
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        match self.reads.ask(Question::Services).await? {
            Answer::Services(names) => Ok(names),
            other => Err(mixed_up(&other)),
        }
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        let service = service.to_owned();
        match self.reads.ask(Question::Operations { service }).await? {
            Answer::Operations(operations) => Ok(operations),
            other => Err(mixed_up(&other)),
        }
    }

    fn report(&self, breach: &storage::Error) {
        self.tenant.reported(breach, &self.reads);
    }
}
