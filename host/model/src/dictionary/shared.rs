//! A tenant's dictionary: what walks and queries share with the one task that writes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use super::bounds::{Bounds, Size};
use super::follower::Follower;
use super::listing::ListedValues;
use super::snapshot::Snapshot;
use super::source::Source;
use super::state::{Column, Contents, State};
use super::{day, texts};

/// The dictionary of a tenant. Clones share everything.
///
/// One task changes it; any number of others take [`Snapshot`]s.
#[derive(Clone, Debug)]
pub struct Dictionary(Arc<Shared>);

/// Bytes of memory that a value takes besides its text, about: its end, its day, and up to four places to find it by.
pub(super) const VALUE_OVERHEAD: usize = 40;

/// Bytes of memory that an attribute takes besides its key and values, about.
pub(super) const ATTRIBUTE_OVERHEAD: usize = 300;

/// What the clones of a dictionary share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bounds: Bounds,
    /// `None` while the dictionary cannot be used.
    current: RwLock<Option<Arc<State>>>,
    reserved: Mutex<Reserved>,
    /// Held while the state is changed.
    change: Mutex<()>,
    /// The latest day of a write so far. A clock that is set back does not take it back: the plugin may still tell the later time as that of
    /// its oldest span, and what has been written since must not be dropped by it.
    written: AtomicU32,
    /// The day of the clock when it was last told.
    clock: AtomicU32,
    /// Values last written before this day may have been dropped.
    pruned: AtomicU32,
    follower: OnceLock<Weak<dyn Follower>>,
}

/// The values that walks have listed and that are not recorded yet.
#[derive(Debug, Default)]
struct Reserved {
    all: Size,
    attributes: HashMap<(Source, Vec<u8>), Waiting>,
}

/// The values of an attribute that are not recorded yet.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    values: Size,
    /// Bytes of the key, if the attribute had no values.
    key: usize,
    /// True once a further value was not taken because there are too many.
    is_full: bool,
}

/// A place for a new value of a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The value has been recorded in the meantime.
    Known,
    /// There is room for it.
    Reserved,
    /// It cannot be listed.
    None,
}

// === impl Dictionary ===

impl Dictionary {
    /// A dictionary that cannot be used until it is opened.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Shared {
            bounds,
            current: RwLock::default(),
            reserved: Mutex::default(),
            change: Mutex::default(),
            written: AtomicU32::new(0),
            clock: AtomicU32::new(0),
            pruned: AtomicU32::new(0),
            follower: OnceLock::new(),
        }))
    }

    /// Has searches ask this one for the values of all hosts. Only the first one is asked.
    pub fn followed_by(&self, follower: Weak<dyn Follower>) {
        drop(self.0.follower.set(follower));
    }

    /// Where the values of all hosts are to be asked for; `None` if no other host writes to the tenant's data.
    pub(super) fn follower(&self) -> Option<&Weak<dyn Follower>> {
        self.0.follower.get()
    }

    /// What the dictionary has now: every value that a stored fragment of this host's calls listed. `None` while that is not known; then a
    /// listed value may be any. For a search see [`Dictionaries::snapshot`](super::Dictionaries::snapshot).
    pub fn snapshot(&self) -> Option<Snapshot> {
        let snapshot = self.0.snapshot()?;
        snapshot.state.is_complete.then_some(snapshot)
    }

    /// What the dictionary has now, to list the values of a request that came at this time; `None` while no value can be listed. Not for
    /// searches: listed values may be missing.
    pub fn for_request(&self, time: u64) -> Option<Snapshot> {
        self.0.clock.store(day(time), Ordering::Relaxed);
        self.contents()
    }

    /// What the dictionary has now, be it complete or not; `None` while it cannot be used. Not for searches.
    pub fn contents(&self) -> Option<Snapshot> {
        self.0.snapshot()
    }

    /// Makes the dictionary one of these values. What was listed before that and is not written yet is refused. `is_complete` is false if
    /// stored fragments may call other values listed.
    pub fn open(&self, contents: Contents, is_complete: bool) {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        let _change = self.0.change();
        let none = State::new(EPOCHS.fetch_add(1, Ordering::Relaxed), is_complete);
        self.0
            .written
            .fetch_max(contents.last_day(), Ordering::Relaxed);
        self.0.set(Some(none.with(contents)));
    }

    /// Sets whether every value that a stored fragment calls listed is in the dictionary.
    pub fn set_complete(&self, is_complete: bool) {
        let _change = self.0.change();
        if let Some(state) = self.0.current() {
            let mut state = State::clone(&state);
            state.is_complete = is_complete;
            self.0.set(Some(state));
        }
    }

    /// Makes the dictionary unusable until it is opened.
    pub fn close(&self) {
        let _change = self.0.change();
        self.0.set(None);
    }

    /// Tells the time of a write. Returns `false` if the values that were listed for it may be none of this dictionary any more: it was
    /// opened anew, or closed, or they were listed on an earlier day. The request must then be walked again.
    pub fn admits(&self, listed: &ListedValues, now: u64) -> bool {
        let today = day(now);
        self.0.written.fetch_max(today, Ordering::Relaxed);
        let epoch = self.0.current().map(|state| state.epoch);
        epoch == Some(listed.epoch())
            && today <= listed.day().saturating_add(1)
            && self.0.pruned.load(Ordering::Relaxed) <= listed.day()
    }

    /// Adds values, which must be durable. Bounds are not looked at: what was listed is recorded.
    pub fn record(&self, contents: Contents) {
        let _change = self.0.change();
        if let Some(state) = self.0.current() {
            let state = state.with(contents);
            self.0.set_full(&state);
            self.0.set(Some(state));
        }
    }

    /// Drops the values that were last written before this day, and returns how many these are. No stored fragment may have one of them.
    pub fn prune(&self, before: u32) -> usize {
        let _change = self.0.change();
        let Some(state) = self.0.current() else {
            return 0;
        };
        if !state.has_older(before) {
            return 0;
        }
        let (state, dropped) = state.without(before);
        self.0.pruned.fetch_max(before, Ordering::Relaxed);
        self.0.set(Some(state));
        dropped
    }

    /// Notes which attributes another dictionary knows to have values that are not listed.
    pub fn note_full(&self, other: &Self) {
        let (Some(state), Some(other)) = (self.0.current(), other.0.current()) else {
            return;
        };
        for (source, key, _) in other.columns().filter(|(_, _, column)| column.is_full()) {
            if let Some(column) = state.column(source, key) {
                column.set_full();
            }
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn memory(&self) -> usize {
        self.0.current().map_or(0, |state| {
            state.size.bytes
                + state.size.values * VALUE_OVERHEAD
                + state.attributes * ATTRIBUTE_OVERHEAD
        })
    }

    /// Returns `true` if both are clones of one dictionary.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

// === impl Shared ===

impl Shared {
    fn snapshot(self: &Arc<Self>) -> Option<Snapshot> {
        let written = self.written.load(Ordering::Relaxed);
        Some(Snapshot {
            state: self.current()?,
            shared: Arc::clone(self),
            day: written.max(self.clock.load(Ordering::Relaxed)),
        })
    }

    fn current(&self) -> Option<Arc<State>> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: Option<State>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = state.map(Arc::new);
    }

    /// Notes at a new state which attributes are full: those of which a value has not been taken while others were on their way.
    fn set_full(&self, state: &State) {
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = reserved.attributes.iter();
        for ((source, key), _) in waiting.filter(|(_, waiting)| waiting.is_full) {
            if let Some(column) = state.column(*source, key) {
                column.set_full();
            }
        }
    }

    fn change(&self) -> impl Drop {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a value that a snapshot of this epoch does not have. What is reserved must be released.
    pub(super) fn reserve(&self, epoch: u64, (source, key): (Source, &[u8]), form: &[u8]) -> Place {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.current().filter(|state| state.epoch == epoch) else {
            return Place::None;
        };
        let column = state.column(source, key);
        let hash = texts::hash(form);
        if column.is_some_and(|column| column.find(hash, form).is_some()) {
            return Place::Known;
        }
        let (bounds, pending) = (&self.bounds, reserved.attributes.len());
        let known = reserved.attributes.get(&(source, key.to_owned())).copied();
        let is_new = column.is_none() && known.is_none();
        if is_new && state.attributes + pending >= bounds.attributes {
            return Place::None;
        }
        let mut waiting = known.unwrap_or_default();
        let own = column.map(Column::size).unwrap_or_default() + waiting.values;
        let all = state.size + reserved.all;
        let key_bytes = if is_new { key.len() } else { 0 };
        let fits = bounds.fit(own, all, form.len() + key_bytes);
        if !fits {
            if let Some(column) = column {
                column.set_full();
            }
            // It is told of the values that are recorded next, too.
            if let Some(waiting) = reserved.attributes.get_mut(&(source, key.to_owned())) {
                waiting.is_full = true;
            }
        }
        if !fits || column.is_some_and(|column| column.is_crowded(hash)) {
            return Place::None;
        }
        let size = Size::of_value(form.len());
        waiting.values = waiting.values + size;
        waiting.key += key_bytes;
        reserved
            .attributes
            .insert((source, key.to_owned()), waiting);
        reserved.all = reserved.all + size + Size::of_key(key_bytes);
        Place::Reserved
    }

    /// Releases what was reserved for a value.
    pub(super) fn release(&self, (source, key): (Source, &[u8]), form: &[u8]) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let size = Size::of_value(form.len());
        reserved.all = reserved.all - size;
        let key = (source, key.to_owned());
        if let Some(waiting) = reserved.attributes.get_mut(&key) {
            waiting.values = waiting.values - size;
            if waiting.values.values == 0 {
                let key_bytes = Size::of_key(waiting.key);
                reserved.attributes.remove(&key);
                reserved.all = reserved.all - key_bytes;
            }
        }
    }
}
