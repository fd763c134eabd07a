//! Reads ahead what a page of a search needs: of the items that come next, level by level, so that each level takes one call of `kv`.

use std::collections::BTreeMap;

use larder_plugin::Error;

use super::{Item, ItemKind, SearchPage};
use crate::handle::Key;

/// The number of segments, and of chunks, that are read ahead at first, how much it grows each time, and its limit: a page that is soon
/// full does not read much that it does not need.
pub(super) const FIRST: usize = 4;
const GROWTH: usize = 4;
const MOST: usize = 64;
/// After the first time, the headers of further segments are read too, up to about this many bytes.
const HEADERS: usize = 1 << 20;

/// What is read ahead together.
struct Plan {
    /// The item that has been taken from the queue.
    first: Item,
    /// The most segments, and the most chunks of which it is not known how few fragments they have.
    most: usize,
    /// Chunks all of which is in memory, by opened segment and number, with the number of their fragments that satisfy every clause.
    ready: BTreeMap<(usize, u32), usize>,
}

// === impl SearchPage ===

impl SearchPage<'_> {
    /// Reads what the next items need, the first of which has been taken from the queue. Segments are opened, so that it is known which
    /// chunks they have.
    pub(super) fn read_ahead(&mut self, first: Item) -> Result<(), Error> {
        let mut plan = Plan {
            first,
            most: self.ahead,
            ready: BTreeMap::new(),
        };
        self.ahead = (self.ahead * GROWTH).min(MOST);
        self.store.begin_plan();
        loop {
            let items = loop {
                let (items, opened) = (self.next(first), self.opened.len());
                self.plan(&mut plan, &items);
                // The chunks of what has been opened come next.
                if self.opened.len() == opened {
                    break items;
                }
            };
            if plan.most > FIRST {
                self.plan_headers(&items);
            }
            if !self.store.fetch()? {
                return Ok(());
            }
        }
    }

    /// Returns this item and the segments and chunks that are opened next, in that order.
    fn next(&self, first: Item) -> Vec<Item> {
        let mut matches: Vec<Key> = Vec::new();
        let mut items: Vec<Item> = Vec::new();
        for item in &self.queue {
            match item.kind {
                ItemKind::Match(_) => matches.push(item.key),
                ItemKind::Entry(..) => {}
                ItemKind::Segment(..) | ItemKind::Chunk(..) => items.push(*item),
            }
        }
        // Nothing is opened below what fills the page.
        let mut floor = self.below;
        if let Some(last) = self.left.checked_sub(1)
            && last < matches.len()
        {
            let (_, key, _) = matches.select_nth_unstable_by(last, |a, b| b.cmp(a));
            floor = floor.max(Some(*key));
        }
        items.retain(|it| floor.is_none_or(|floor| it.key > floor));
        if items.len() > 2 * MOST {
            items.select_nth_unstable_by(2 * MOST, |a, b| b.cmp(a));
            items.truncate(2 * MOST);
        }
        items.push(first);
        items.sort_unstable_by(|a, b| b.cmp(a));
        items
    }

    /// Notes what these items need, as far as it is known yet: those that the page can open before its steps are spent.
    fn plan(&mut self, plan: &mut Plan, items: &[Item]) {
        let mut steps = self.steps;
        let (mut segments, mut chunks, mut matches) = (0, 0, 0_usize);
        for item in items {
            let is_spent = steps == 0 && item.key < self.from && *item != plan.first;
            if is_spent || self.store.is_full() {
                break;
            }
            let cost = match item.kind {
                ItemKind::Segment(view, place) => {
                    // What it has is not known before it is open.
                    segments += 1;
                    if segments > plan.most {
                        break;
                    }
                    self.plan_segment(view, place)
                }
                ItemKind::Chunk(opened, chunk) => {
                    chunks += 1;
                    if chunks > plan.most && matches >= self.left {
                        break;
                    }
                    let known = self.plan_chunk(plan, (opened, chunk));
                    matches = matches.saturating_add(known.unwrap_or(self.left));
                    1
                }
                ItemKind::Match(_) | ItemKind::Entry(..) => 1,
            };
            steps = steps.saturating_sub(cost);
        }
    }

    /// Opens a segment if all that this takes is in memory, and notes it otherwise. Returns the steps that it counts for.
    fn plan_segment(&mut self, view: usize, place: usize) -> usize {
        if let Some(steps) = self.opened_early.get(&(view, place)) {
            return *steps;
        }
        let noted = self.store.noted();
        self.store.forget_misses();
        drop(self.look_up(view, place));
        let loads = self.store.noted() - noted;
        let mut steps = self.steps_of(loads);
        if !self.store.has_missed() {
            self.store.begin_try();
            self.loads = self.store.loads;
            // An error is raised when it is the segment's turn.
            if let Ok(opened) = self.open_segment(view, place) {
                steps = opened;
                self.opened_early.insert((view, place), steps);
            }
            self.store.resume_plan();
        }
        steps
    }

    /// Notes what a chunk needs. Returns how many of its fragments satisfy every clause, if that is known.
    fn plan_chunk(&mut self, plan: &mut Plan, (opened, chunk): (usize, u32)) -> Option<usize> {
        if let Some(count) = plan.ready.get(&(opened, chunk)) {
            return Some(*count);
        }
        let rows = self.rows_of(opened, chunk);
        if let Ok(rows) = rows {
            let places = rows.map_or([0; 16], |(places, _)| places);
            let count = places.iter().map(|it| it.count_ones() as usize).sum();
            plan.ready.insert((opened, chunk), count);
            return Some(count);
        }
        self.opened.get(opened)?.postings.known(chunk)
    }

    /// Notes the headers of the segments among these items, and keeps those that have been read.
    fn plan_headers(&mut self, items: &[Item]) {
        let mut bytes = 0;
        for item in items {
            let ItemKind::Segment(view, place) = item.kind else {
                continue;
            };
            let Some(view) = self.views.get_mut(view) else {
                continue;
            };
            if let Some((_, segment)) = view.segments.get(place).copied() {
                bytes += segment.header_bytes();
                if bytes > HEADERS {
                    break;
                }
                // One that cannot be read raises an error when the segment is opened.
                view.header_from(self.store, &segment).ok();
            }
        }
    }
}
