//! What several hosts that share a store need of one tenant: each goes on in the namespace that a purge by another one has made, and no
//! answer leaves that was read from the one before.
//!
//! A namespace that is no longer the tenant's never becomes it again. Readers are started in the namespace of the moment, and one of an
//! earlier namespace is not asked again. So if the namespace at the end of a query is the one at its beginning, all was read from it.

use std::sync::Arc;
use std::time::Instant;

use larder_model::storage::{Error, ErrorKind};
use larder_store::{self as kv, Namespace};
use tracing::{info, warn};

use super::Plugin;
use super::queue::{Reply, answer};
use super::slot::Writer;
use super::starter::Starter;
use super::worker::Worker;

// === impl Starter ===

impl Starter {
    /// True if other hosts may use the tenant's namespace at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        self.driver().is_shared()
    }

    /// The tenant's namespace, if the one that instances work on is no longer that: another host has purged the tenant.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn successor(&self) -> Result<Option<Arc<dyn Namespace>>, kv::Error> {
        if !self.is_shared() || self.namespace().is_current().await? {
            return Ok(None);
        }
        let next = self.driver().open(self.tenant()).await?;
        info!(
            tenant.id = self.tenant(),
            "the tenant was purged by another host"
        );
        Ok(Some(next))
    }
}

// === impl Plugin ===

impl Plugin {
    /// Whether `read`, from which a query has read, is the tenant's namespace still. If it is not, the tenant goes on in the one that is,
    /// and this returns the latter.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if that cannot be found out.
    pub(crate) async fn moved_from(
        &self,
        read: &Arc<dyn Namespace>,
    ) -> Result<Option<Arc<dyn Namespace>>, Error> {
        let starter = &self.starter;
        if Arc::ptr_eq(read, &starter.namespace()) {
            if read.is_current().await.map_err(|error| unknown(&error))? {
                return Ok(None);
            }
            self.settled(self.queue.follow()?).await?;
        }
        Ok(Some(starter.namespace()))
    }
}

// === impl Worker ===

impl Worker {
    /// Goes on in the tenant's namespace, if another host has purged the tenant. The answer does not wait for a writer there.
    pub(crate) async fn follow(&mut self, reply: Reply) {
        let mut writer = self.slot.lock().await;
        let followed = self.follow_in(&mut writer).await;
        drop(writer);
        if matches!(followed, Ok(true)) {
            self.maintain_at = Instant::now();
        }
        answer(reply, followed.map(drop).map_err(|error| unknown(&error)));
    }

    /// As [`Worker::follow`], for what cannot be stored in the namespace of before. True if another host has purged the tenant.
    pub(crate) async fn follow_purge(&self, writer: &mut Writer) -> bool {
        matches!(self.follow_in(writer).await, Ok(true))
    }

    async fn follow_in(&self, writer: &mut Writer) -> Result<bool, kv::Error> {
        let followed = writer.follow().await;
        match &followed {
            Ok(true) => {
                // Its state says what came of it.
                drop(writer.restart().await);
                if let Some(pools) = &self.pools {
                    pools.renew();
                }
            }
            Ok(false) => {}
            Err(error) => {
                warn!(plugin = &*self.shared.name, %error, "the tenant's namespace cannot be opened");
            }
        }
        followed
    }
}

/// The error of an answer of which nobody knows whether it is of what was purged.
fn unknown(error: &kv::Error) -> Error {
    let text =
        format!("whether the tenant was purged by another host is not known: {error}; retry");
    Error::new(ErrorKind::Unavailable, text)
}
