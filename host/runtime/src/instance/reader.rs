//! One instance beside the writer, which is refreshed for the requests that ask it.

use std::sync::Arc;

use larder_store::{Key, Namespace};

use super::freshness::Moment;
use super::question::{Outcome, Question};
use super::shared::Shared;
use crate::sandbox::guest::{Ahead, Called, Instance};
use crate::sandbox::refusal;

/// See the module.
pub(crate) struct Reader {
    instance: Instance,
    /// When its last refresh began.
    refreshed: Moment,
    /// A moment after its last refresh had ended.
    ended: Moment,
    /// The keys with which its last refresh began, if it was told something ahead.
    keys: Option<Vec<Key>>,
}

/// What was read for a query where other hosts write too, before it asks an instance.
pub(crate) struct LookedAhead {
    /// A moment before the reading began, and of nothing else.
    pub(crate) begun: Moment,
    pub(crate) found: Ahead,
}

// === impl Reader ===

impl Reader {
    /// An instance that was never refreshed.
    pub(crate) fn new(instance: Instance) -> Self {
        Self {
            instance,
            refreshed: Moment::default(),
            ended: Moment::default(),
            keys: None,
        }
    }

    /// The namespace that the instance reads.
    pub(crate) fn namespace(&self) -> &Arc<dyn Namespace> {
        self.instance.namespace()
    }

    /// The keys that are worth reading ahead of the next refresh, if that has become known.
    pub(crate) fn take_keys(&mut self) -> Option<Vec<Key>> {
        self.keys.take()
    }

    /// Asks the instance. It is refreshed before, unless it was since the moment from which on the request needs to know everything. A refresh
    /// that fails ends the request as a failed answer does.
    pub(crate) async fn ask<Q: Question>(
        &mut self,
        question: &Q,
        since: Moment,
        ahead: Option<&LookedAhead>,
        shared: &Shared,
    ) -> Outcome<Q::Answer> {
        if self.refreshed < since {
            match self.refresh(since, ahead, shared).await {
                Ok(Ok(())) => {}
                Ok(Err(raised)) => {
                    return Outcome::Refused(refusal::of_read(&shared.name, &raised));
                }
                Err(failure) => return Outcome::Failed(failure),
            }
        }
        question.ask(&mut self.instance, &shared.name).await
    }

    /// Has the instance know all that was acknowledged before `since`. Takes what was read ahead only if that is no older than the request,
    /// and than what the instance knows already: it never goes back.
    pub(crate) async fn refresh(
        &mut self,
        since: Moment,
        ahead: Option<&LookedAhead>,
        shared: &Shared,
    ) -> Called<()> {
        let ahead = ahead.filter(|it| {
            it.begun >= since && it.begun > self.ended && it.found.is_of(self.namespace())
        });
        let begun = ahead.map_or_else(|| shared.moments.now(), |it| it.begun);
        let (called, keys) = self.instance.refresh(ahead.map(|it| &it.found)).await;
        self.ended = shared.moments.next();
        if matches!(called, Ok(Ok(()))) {
            self.refreshed = begun;
            self.keys = keys;
        }
        called
    }
}
