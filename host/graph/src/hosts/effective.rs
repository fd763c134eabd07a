//! The state that a query counts by: the one that hosts keep together, with what they have marked besides.

use std::sync::Arc;

use hashbrown::HashMap;

use super::followed::Seen;
use crate::state::{Entry, Phase, State};

/// The state with all marks, and the reason why nothing may be answered from it; `None` if it can be.
pub(super) type Effective = (State, Option<&'static str>);

// === impl Seen ===

impl Seen {
    /// The state with all marks. It is combined once for what does not change between two looks.
    pub(super) fn effective(&self) -> Effective {
        self.effective.get_or_init(|| self.combined()).clone()
    }

    fn combined(&self) -> Effective {
        let mut state = self.together.state.clone();
        let holding = &self.together.holding;
        let mut unusable = None;
        let mut known = 0;
        let mut drops = state.drops;
        for (_, marks) in &self.hosts {
            let Some(head) = marks.head else {
                unusable =
                    Some("a host does not mark what it writes, as with `dependencies.kept` off");
                continue;
            };
            let taken = holding.taken.get(&head.series);
            known += usize::from(taken.is_some());
            if taken.is_none() && !head.is_whole {
                unusable = Some("a host has written without marking it, and all is counted anew");
            }
            if marks.drops.is_under_way {
                unusable = Some("upkeep of a host may be dropping traces at this moment");
            }
            if marks.drops.number > taken.map_or(0, |it| it.number) {
                drops.number = state.drops.number + 1;
                drops.before = drops.before.max(marks.drops.before);
            }
            for (bucket, open) in &marks.opens {
                let before = state.buckets.get(bucket).map(|it| it.first_write);
                let entry = Entry {
                    first_write: before.unwrap_or(open.at).min(open.at),
                    opened: open.at,
                    phase: Phase::Open,
                };
                state.buckets_mut().insert(*bucket, entry);
            }
            if !marks.late.is_empty() {
                let late: &mut HashMap<_, _> = Arc::make_mut(&mut state.late);
                late.extend(marks.late.keys().copied());
            }
        }
        state.drops = drops;
        if known < holding.taken.len() {
            unusable = Some("a host is gone whose writes are counted, and all is counted anew");
        }
        (state, unusable)
    }
}
