//! Who answers the reads of one request: the one instance, or the readers that were there when it came.

use std::sync::Arc;

use larder_model::storage::{
    self, Batch, Operation, Part, Pieces, Search, Sightings, Storage, Wanted,
};

use super::pool::Pool;
use super::question::{Answer, Question, mixed_up};
use super::seat::Seat;
use super::{Tenant, unbroken};

/// See the module.
pub(super) enum Reads {
    /// The one instance.
    Writer(Arc<Seat>),
    /// Instances beside the writer.
    Pool(Arc<Pool>),
}

/// A tenant's storage for one request. A query goes on asking instances of the component that it began with: where another has taken
/// its place, neither a page nor a fragment's handle goes from the one to the other.
pub(super) struct Pinned {
    pub(super) tenant: Arc<Tenant>,
    pub(super) reads: Reads,
}

// === impl Pinned ===

impl Pinned {
    async fn ask(&self, question: Question) -> Result<Answer, storage::Error> {
        let seat = match &self.reads {
            Reads::Pool(pool) => return pool.ask(question).await,
            Reads::Writer(seat) => seat,
        };
        let Tenant { queue, factory, .. } = &*self.tenant;
        let mut seated = seat.lock_to_read(queue.most_depth()).await?;
        let answer = async move { seated.answer(&question).await };
        unbroken::read(factory.lane(), answer).await
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
        let shared = &self.tenant.shared;
        if !shared.reported(breach) {
            return;
        }
        // Those who answered these reads are to be replaced.
        match &self.reads {
            Reads::Writer(_) => shared.struck_out.notify_one(),
            Reads::Pool(pool) => pool.renew(),
        }
    }
}
