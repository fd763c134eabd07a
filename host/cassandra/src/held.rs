//! Ids of this host that another process has: while that is alive, this one writes nothing under them, and says so.

use std::collections::HashMap;

use larder_store::Reach;
use parking_lot::Mutex;

use crate::db::Db;
use crate::process;
use crate::watch::Life;

/// By namespace.
#[derive(Default)]
pub(crate) struct HeldIds(Mutex<HashMap<i64, Held>>);

struct Held {
    /// The process that has the id.
    holder: String,
    words: String,
}

// === impl HeldIds ===

impl HeldIds {
    /// An id was not given to this process.
    pub(crate) fn note(&self, ns: i64, holder: &str, words: &str) {
        let held = Held {
            holder: holder.to_owned(),
            words: words.to_owned(),
        };
        self.0.lock().insert(ns, held);
    }

    /// An id was given to it.
    pub(crate) fn forget(&self, ns: i64) {
        self.0.lock().remove(&ns);
    }

    fn words(&self) -> Option<String> {
        self.0.lock().values().next().map(|it| it.words.clone())
    }
}

// === impl Db ===

impl Db {
    /// Forgets of holders that have died. The tenants' next claims succeed.
    pub(crate) fn look_at_holders(&self) {
        let watch = self.watch.lock();
        self.held.0.lock().retain(|_, held| {
            let is_holder = |instance: &str| instance == held.holder;
            let life = watch.life(&self.options.host, is_holder, process::has_ended);
            life != Life::Dead
        });
    }

    /// What this host reaches. Writes under an id that it does not have reach nothing.
    pub(crate) fn reach_now(&self) -> Reach {
        let now = self.reach.now();
        Reach {
            writes: now.writes.or_else(|| self.held.words()),
            ..now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_held_in_each_namespace_by_itself() {
        let held = HeldIds::default();
        held.note(1, "p", "in one");
        held.note(2, "p", "in another");
        held.forget(1);
        assert_eq!(held.words().as_deref(), Some("in another"));
        held.forget(2);
        assert_eq!(held.words(), None);
    }
}
