//! One instance beside the writer, which is refreshed for the requests that ask it.

use std::sync::Arc;

use larder_store::Namespace;

use super::freshness::Moment;
use super::question::{Outcome, Question};
use super::shared::Shared;
use crate::sandbox::guest::Instance;
use crate::sandbox::refusal;

/// See the module.
pub(crate) struct Reader {
    instance: Instance,
    /// When its last refresh began.
    refreshed: Moment,
}

// === impl Reader ===

impl Reader {
    /// An instance that was never refreshed.
    pub(crate) fn new(instance: Instance) -> Self {
        Self {
            instance,
            refreshed: Moment::default(),
        }
    }

    /// The namespace that the instance reads.
    pub(crate) fn namespace(&self) -> &Arc<dyn Namespace> {
        self.instance.namespace()
    }

    /// Asks the instance. It is refreshed before, unless it was since the moment from which on the request needs to know everything. A refresh
    /// that fails ends the request as a failed answer does.
    pub(crate) async fn ask<Q: Question>(
        &mut self,
        question: &Q,
        since: Moment,
        shared: &Shared,
    ) -> Outcome<Q::Answer> {
        if self.refreshed < since {
            let begun = shared.moments.now();
            match self.instance.refresh().await {
                Ok(Ok(())) => self.refreshed = begun,
                Ok(Err(raised)) => {
                    return Outcome::Refused(refusal::of_read(&shared.name, &raised));
                }
                Err(failure) => return Outcome::Failed(failure),
            }
        }
        question.ask(&mut self.instance, &shared.name).await
    }
}
