//! Looking ahead: where other hosts write to the store, a query begins to read what its instance will ask for first.

use std::sync::Arc;

use larder_store::Namespace;

use super::freshness::Moment;
use super::pool::Pool;
use crate::sandbox::guest::Ahead;

/// What was read ahead for one query.
pub(crate) struct LookedAhead {
    /// A moment before the reading began, and of nothing else.
    pub(crate) begun: Moment,
    pub(crate) found: Ahead,
}

// === impl Pool ===

impl Pool {
    /// Reads what the next refresh of an instance will ask for first. Returns nothing if that cannot be read: the refresh will say why.
    pub(crate) async fn look_ahead(&self, namespace: Arc<dyn Namespace>) -> Option<LookedAhead> {
        let begun = self.shared().moments.next();
        let keys = self.refresh_keys();
        let found = Ahead::read(namespace, &keys).await.ok()?;
        Some(LookedAhead { begun, found })
    }

    /// Starts an instance, and has it know what is stored, so that the first query need not wait for that.
    pub(crate) async fn open_one(self: Arc<Self>) {
        // A query that waits meanwhile says what is wrong, if something is.
        if let Ok(permit) = self.wait().await {
            self.prepare(permit).await;
        }
    }
}
