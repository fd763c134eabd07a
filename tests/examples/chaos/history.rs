//! What happened, for the table at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most wrong answers that are kept: one fault may cause thousands.
const MOST_WRONG: usize = 50;

/// What was done to hosts and nodes, what clients saw of it, and what was wrong.
#[derive(Debug)]
pub(crate) struct History {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    events: Vec<Event>,
    counts: BTreeMap<String, u64>,
    wrong: Vec<String>,
    last_acknowledgement: Instant,
    longest_gap: Duration,
    /// What went on during the longest gap.
    meanwhile: Vec<String>,
}

#[derive(Debug)]
struct Event {
    what: String,
    to: Option<Instant>,
}

/// Something that goes on until it is dropped.
pub(crate) struct Ongoing<'a> {
    history: &'a History,
    event: usize,
}

// === impl History ===

impl History {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            state: Mutex::new(State {
                events: Vec::new(),
                counts: BTreeMap::new(),
                wrong: Vec::new(),
                last_acknowledgement: now,
                longest_gap: Duration::ZERO,
                meanwhile: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an event of this kind; `detail` says to whom, and how.
    pub(crate) fn begin(&self, kind: &str, detail: &str) -> Ongoing<'_> {
        let what = format!("{kind}: {detail}");
        println!("{:7.1} s  {what}", self.begun.elapsed().as_secs_f64());
        self.count(kind);
        let mut state = self.lock();
        state.events.push(Event { what, to: None });
        Ongoing {
            history: self,
            event: state.events.len() - 1,
        }
    }

    /// Counts something.
    pub(crate) fn count(&self, what: &str) {
        *self.lock().counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Notes an acknowledgement.
    pub(crate) fn acknowledged(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let last = std::mem::replace(&mut state.last_acknowledgement, now);
        if now - last > state.longest_gap {
            state.longest_gap = now - last;
            let during = |event: &&Event| event.to.is_none_or(|to| to >= last);
            let during = state.events.iter().filter(during);
            state.meanwhile = during.map(|event| event.what.clone()).collect();
        }
    }

    /// Notes what must not be.
    pub(crate) fn note_wrong(&self, what: String) {
        println!(
            "{:7.1} s  WRONG: {what}",
            self.begun.elapsed().as_secs_f64()
        );
        let mut state = self.lock();
        if state.wrong.len() < MOST_WRONG {
            state.wrong.push(what);
        }
    }

    /// Returns what was wrong.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    /// Prints the counts, and the longest time without an acknowledgement.
    pub(crate) fn print(&self) {
        let state = self.lock();
        println!();
        for (what, count) in &state.counts {
            println!("{count:>8}  {what}");
        }
        let meanwhile = if state.meanwhile.is_empty() {
            "nothing".to_owned()
        } else {
            state.meanwhile.join("; ")
        };
        println!(
            "{:>8.1}  seconds without an acknowledgement at most; meanwhile: {meanwhile}",
            state.longest_gap.as_secs_f64()
        );
    }
}

// === impl Ongoing ===

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        let mut state = self.history.lock();
        if let Some(event) = state.events.get_mut(self.event) {
            event.to = Some(Instant::now());
        }
    }
}
