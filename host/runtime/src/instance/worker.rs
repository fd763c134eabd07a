//! The task that runs the plugin's writes and maintenance, and restarts a failed instance.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use larder_core::clock::TrustedClock;
use larder_model::storage::{Batch, Error, ErrorKind};
use tokio::time::sleep_until;
use tracing::{Instrument as _, error, info, warn};

use super::Plugin;
use super::acks::{Acks, purged};
use super::adoption::Adopter;
use super::pools::Pools;
use super::queue::{Reply, Waiting, Work, WriteQueue, answer};
use super::shared::Shared;
use super::slot::{Writer, WriterSlot};
use super::starter::Starter;
use super::suspects::Digest;
use crate::component::Instancing;
use crate::sandbox::guest::{Cause, Failure, Instance};
use crate::sandbox::refusal;

/// The writer's task and all it owns.
pub(crate) struct Worker {
    pub(crate) starter: Arc<Starter>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<WriteQueue>,
    /// The readers of a `replicated` plugin, which has to forget with the writer.
    pub(crate) pools: Option<Arc<Pools>>,
    /// Where writes have to be made durable before they are acknowledged.
    pub(crate) acks: Option<Acks>,
    pub(crate) slot: Arc<WriterSlot>,
    pub(crate) maintain_every: Duration,
    pub(crate) maintain_at: Instant,
    /// The tenant's handle, until the tenant is observed. `None` once it is.
    pub(crate) unobserved: Option<Weak<Plugin>>,
    /// Keeps up what dead hosts have written.
    pub(crate) adopter: Arc<Adopter>,
}

// === impl Worker ===

impl Worker {
    /// Works until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let adopter = Arc::clone(&self.adopter);
        let adopting = tokio::spawn(self.starter.lane().gated(adopter.run().in_current_span()));
        loop {
            let restart_at = self.slot.lock().await.restart_at();
            let go_on = match restart_at {
                None => self.serve().await,
                Some(until) => self.wait_for_start(until).await,
            };
            if !go_on {
                break;
            }
        }
        // A call that is cut off leaves nothing behind that its next instance does not see.
        adopting.abort();
        drop(adopting.await);
        self.slot.lock().await.close();
        self.shared.observed.close().await;
        if let Some(acks) = self.acks.take() {
            acks.stop().await;
        }
        let namespace = self.starter.namespace();
        if self.pools.is_some()
            && let Err(error) = namespace.sync(namespace.generation()).await
        {
            error!(plugin = &*self.shared.name, %error, "the last sync failed");
        }
    }

    /// One piece of work with an instance there; false at the end.
    async fn serve(&mut self) -> bool {
        if self.starter.is_stale() {
            if let Some(pools) = &self.pools {
                pools.renew();
            }
            let failure = Failure {
                cause: Cause::Kv,
                detail: "kv has lost what was not durable, and was opened anew".to_owned(),
            };
            self.slot.lock().await.fail(failure).await;
            return true;
        }
        if self.starter.is_keep_fenced() {
            let mut writer = self.slot.lock().await;
            self.claim_again(&mut writer, Failure::fenced()).await;
            return true;
        }
        if self.observe().await.is_err() {
            return true;
        }
        tokio::select! {
            () = self.queue.ready() => return self.work().await,
            () = sleep_until(self.maintain_at.into()) => self.maintain().await,
            () = self.shared.struck_out.notified() => {
                self.slot.lock().await.fail(Failure::struck_out()).await;
            }
            // Seen to by the next turn, before anything is written.
            () = self.starter.keep_is_fenced() => {}
            // An instance failed in a read.
            () = self.slot.failed() => {}
        }
        true
    }

    /// Has the tenant observed, if that had to wait for its first writer.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) while there is no writer. Nothing may be written then.
    async fn observe(&mut self) -> Result<(), Error> {
        if self.unobserved.is_none() {
            return Ok(());
        }
        self.slot.lock().await.instance().await?;
        let plugin = self.unobserved.take().and_then(|plugin| plugin.upgrade());
        if let Some(plugin) = plugin
            && let Err(error) = plugin.observe().await
        {
            warn!(plugin = &*self.shared.name, %error, "nothing is derived from the tenant's data until it is opened again");
        }
        Ok(())
    }

    /// True if kv has refused a write of the instance because its claim holds no longer. Where the driver has lost what was not durable,
    /// [`Worker::serve`] sees to that.
    fn has_lost(&self, instance: &Instance) -> bool {
        instance.is_fenced() && !self.starter.is_stale()
    }

    /// Drops an instance that can write nothing more. The next one has a claim of its own, at once in the namespace that a purge by another
    /// host has made. True if there was such a purge.
    async fn claim_again(&self, writer: &mut Writer, failure: Failure) -> bool {
        if self.follow_purge(writer).await {
            return true;
        }
        writer.fail(failure).await;
        if let Some(pools) = &self.pools {
            pools.renew();
        }
        false
    }

    /// Refuses what comes while there is no instance, and starts one when it is time; false at the end.
    async fn wait_for_start(&mut self, until: Instant) -> bool {
        tokio::select! {
            biased;
            () = sleep_until(until.into()) => {
                // A read may have started one meanwhile. If it cannot be started, the next call gets the reason.
                drop(self.slot.lock().await.instance().await);
                true
            }
            () = self.queue.ready() => self.work().await,
        }
    }

    /// Takes the next piece of work from the queue; false at its end.
    async fn work(&mut self) -> bool {
        match self.queue.take() {
            Some(Work::Writes(writes)) => match self.observe().await {
                Ok(()) => self.write(writes).await,
                Err(refused) => refuse(writes, &refused),
            },
            Some(Work::Purge(reply)) => self.purge(reply).await,
            Some(Work::Exchange(exchange)) => self.exchange(*exchange).await,
            Some(Work::Follow(reply)) => self.follow(reply).await,
            Some(Work::Stop) => return false,
            None => {}
        }
        true
    }

    async fn write(&self, writes: Vec<Waiting>) {
        let mut writer = self.slot.lock().await;
        let instance = match writer.instance().await {
            Ok(instance) => instance,
            Err(refused) => return refuse(writes, &refused),
        };
        let (now, observed) = (self.clock().mark(), &self.shared.observed);
        let writes = self.admitted(now, writes);
        if writes.is_empty() {
            return;
        }
        let started = Instant::now();
        let batches: Vec<_> = writes.iter().map(|waiting| &waiting.batch).collect();
        let count = batches.iter().copied().map(Batch::len).sum();
        // Read before the write, so that a later sync notices if the driver lost data that was not durable.
        let generation = self.starter.namespace().generation();
        let patience = writes.iter().find_map(|waiting| waiting.suspect);
        let patience = patience.map_or(1, |suspect| suspect.patience);
        if let Err(error) = observed.before_write(now, &batches).await {
            if self.follow_purge(&mut writer).await {
                return refuse(writes, &purged());
            }
            warn!(plugin = &*self.shared.name, %error, "a write is refused, as what is derived from it could not be noted");
            return refuse(writes, &error);
        }
        let written = instance.write(now, &batches, patience).await;
        if self.has_lost(instance) {
            let error = self.shared.unavailable(&Failure::fenced());
            let failure = written.err().unwrap_or_else(Failure::fenced);
            let is_purged = self.claim_again(&mut writer, failure).await;
            // Whatever came of it, the batches are not to blame.
            return refuse(writes, &if is_purged { purged() } else { error });
        }
        let mut counted = Ok(());
        if written.is_ok() {
            if self.shared.instancing == Instancing::Exclusive {
                // What lives in an instance is dropped by writes as well, not only by upkeep, and who reads after this one sees it.
                counted = self.count(instance).await;
            }
            observed.write_ended();
        }
        if let Err(failure) = counted {
            writer.fail(failure).await;
        }
        match written {
            Ok(Ok(())) => {
                drop(writer);
                let seconds = started.elapsed().as_secs_f64();
                self.shared.metrics.write(count, seconds);
                self.acknowledge(writes, generation).await;
            }
            Ok(Err(raised)) => {
                let error = refusal::of_write(&self.shared.name, &raised);
                warn!(plugin = &*self.shared.name, %error, "the plugin refused a write");
                for waiting in writes {
                    waiting.ack.answer(Err(error.clone()));
                }
            }
            Err(failure) => {
                self.suspect(writes, &failure);
                writer.fail(failure).await;
            }
        }
    }

    /// Refuses the writes that the observer does not admit, and returns the others.
    fn admitted(&self, now: u64, writes: Vec<Waiting>) -> Vec<Waiting> {
        let observed = &self.shared.observed;
        let admitted = writes.into_iter().filter_map(|waiting| {
            let Err(error) = observed.admit(now, &waiting.batch) else {
                return Some(waiting);
            };
            info!(plugin = &*self.shared.name, %error, "a write is refused, as it refers to what is gone");
            waiting.ack.answer(Err(error));
            None
        });
        admitted.collect()
    }

    async fn acknowledge(&self, writes: Vec<Waiting>, generation: u64) {
        for suspect in writes.iter().filter_map(|waiting| waiting.suspect) {
            self.shared.suspects.lock().acquit(suspect.digest);
        }
        let acks = writes.into_iter().map(|waiting| waiting.ack);
        match &self.acks {
            Some(later) => {
                let namespace = self.starter.namespace();
                later.written(namespace, generation, acks.collect()).await;
            }
            None => acks.for_each(|ack| ack.answer(Ok(()))),
        }
    }

    /// A write that killed its instance: its batches are remembered, and one that goes on doing so alone is never written again.
    fn suspect(&self, writes: Vec<Waiting>, failure: &Failure) {
        let alone = writes.len() == 1;
        for waiting in writes {
            let digest = waiting
                .suspect
                .map_or_else(|| Digest::of(&waiting.batch), |suspect| suspect.digest);
            let suspects = &self.shared.suspects;
            let poison = suspects.lock().failed(digest, alone, failure.cause);
            waiting.ack.answer(Err(if poison {
                poisonous(&self.shared.name, digest)
            } else {
                self.shared.unavailable(failure)
            }));
        }
    }

    /// The clock of retention.
    fn clock(&self) -> Arc<TrustedClock> {
        let component = self.starter.component();
        Arc::clone(&component.host().runtime.config().trusted_clock)
    }

    /// One step of upkeep, and a look at the plugin's counters.
    async fn maintain(&mut self) {
        let mut writer = self.slot.lock().await;
        let Ok(instance) = writer.instance().await else {
            return;
        };
        let more = match instance.maintain(self.clock().now()).await {
            Ok(Ok(more)) => more,
            Ok(Err(raised)) => {
                let error = refusal::describe(&raised);
                warn!(
                    plugin = &*self.shared.name,
                    error, "the plugin's upkeep failed"
                );
                false
            }
            Err(failure) => return writer.fail(failure).await,
        };
        if self.has_lost(instance) {
            self.claim_again(&mut writer, Failure::fenced()).await;
            return;
        }
        if let Err(failure) = self.count(instance).await {
            return writer.fail(failure).await;
        }
        let (now, upkept) = (self.clock().mark(), instance.upkept());
        self.shared.observed.after_upkeep(None, now, upkept).await;
        self.maintain_at = Instant::now();
        if !more {
            self.maintain_at += self.maintain_every;
        }
    }

    /// A look at the plugin's counters.
    async fn count(&self, instance: &mut Instance) -> Result<(), Failure> {
        let counts = instance.statistics().await?;
        self.shared.set_statistics(counts);
        // By the time that marks writes, as all that an observer is told.
        let now = self.clock().mark();
        self.shared.observed.counted(now, &counts);
        Ok(())
    }

    /// Everything written before is answered already, as the queue is in order; what follows goes to the new instance.
    async fn purge(&mut self, reply: Reply) {
        if let Some(acks) = &self.acks {
            acks.flush().await;
        }
        let purged = self.forget().await;
        answer(reply, purged);
    }

    /// Has the plugin delete what it keeps where the host does not reach.
    async fn purge_outside(&self, writer: &mut Writer) -> Result<(), Error> {
        match writer.instance().await?.purge().await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(raised)) => Err(refusal::of_write(&self.shared.name, &raised)),
            Err(failure) => {
                let error = self.shared.unavailable(&failure);
                writer.fail(failure).await;
                Err(error)
            }
        }
    }

    async fn forget(&mut self) -> Result<(), Error> {
        let mut writer = self.slot.lock().await;
        if self.starter.component().reaches_out() {
            self.purge_outside(&mut writer).await?;
        }
        let renewed = self.starter.driver().renew(self.starter.tenant()).await;
        let namespace = renewed.map_err(|error| {
            let text = format!("the plugin's storage could not be purged: {error}");
            Error::new(ErrorKind::Unavailable, text)
        })?;
        // Also if no instance can be started: what was kept is of data that is gone.
        writer.enter(namespace).await;
        let started = writer.restart().await;
        drop(writer);
        if let Some(pools) = &self.pools {
            pools.renew();
        }
        started?;
        self.maintain_at = Instant::now();
        Ok(())
    }
}

fn refuse(writes: Vec<Waiting>, refused: &Error) {
    let acks = writes.into_iter().map(|waiting| waiting.ack);
    acks.for_each(|ack| ack.answer(Err(refused.clone())));
}

/// The error for a batch that kills the plugin every time.
pub(crate) fn poisonous(plugin: &str, digest: Digest) -> Error {
    error!(plugin, %digest, "a batch that fails the plugin every time is refused");
    let text = format!(
        "plugin `{plugin}` fails on these spans every time, so they are refused; the log has more under digest {digest}"
    );
    Error::new(ErrorKind::Poison, text)
}
