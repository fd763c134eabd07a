//! What an answer leaves out where a limit cuts one of its lists, or large values. It is counted here, and the answer's trailers tell it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use larder_core::telemetry::Metrics;
use larder_model::storage::Error;

use super::session::too_large;

/// The setting that limits a message.
pub(crate) const MESSAGE: &str = "grpc.max_message_bytes";

/// Takes the place of a list's name where values are cut.
const VALUES: &str = "values";

/// What one answer leaves out, known at its end. Clones share it.
#[derive(Clone, Debug)]
pub struct Omission {
    metrics: Arc<Metrics>,
    omitted: Arc<OnceLock<Omitted>>,
    /// Number of values that were cut.
    values: Arc<AtomicUsize>,
}

/// A list that was cut, or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Omitted {
    /// The list: `services`, `operations`, `trace_ids`, `dependencies`, or `search_depth` for the traces of a search. `values` for values
    /// of which a part is answered, or nothing.
    pub list: &'static str,
    /// The number of entries that were left out, or of values that were cut; `None` if it is at least one and not known.
    pub left_out: Option<usize>,
    /// The setting that is the limit.
    pub setting: &'static str,
}

// === impl Omission ===

impl Omission {
    /// Nothing is left out yet.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            omitted: Arc::default(),
            values: Arc::default(),
        }
    }

    /// What is left out, known at the end of the answer.
    pub fn all(&self) -> impl Iterator<Item = Omitted> + use<> {
        let values = self.values.load(Ordering::Relaxed);
        let values = (values > 0).then_some(Omitted {
            list: VALUES,
            left_out: Some(values),
            setting: MESSAGE,
        });
        self.omitted.get().copied().into_iter().chain(values)
    }

    /// Values of the answer are cut.
    pub(crate) fn cut_values(&self, count: usize) {
        if count > 0 && self.values.fetch_add(count, Ordering::Relaxed) == 0 {
            self.metrics.cut(VALUES);
        }
    }

    /// A list of the answer is cut.
    pub(crate) fn omit(&self, list: &'static str, left_out: Option<usize>, setting: &'static str) {
        let omitted = Omitted {
            list,
            left_out,
            setting,
        };
        if self.omitted.set(omitted).is_ok() {
            self.metrics.cut(list);
        }
    }

    /// Keeps of a list that is one message as much as fits, what comes first before the rest. `bytes` is the size of an entry.
    ///
    /// # Errors
    /// `AnswerTooLarge` if nothing of it fits.
    pub(crate) fn fit<T>(
        &self,
        list: &'static str,
        mut entries: Vec<T>,
        limit: usize,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<Vec<T>, Error> {
        let all = entries.len();
        let mut left = limit;
        entries.retain(|entry| {
            let rest = left.checked_sub(bytes(entry));
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        let left_out = all - entries.len();
        if left_out > 0 {
            if entries.is_empty() {
                return Err(too_large(&format!("any of the {all} {list}"), limit));
            }
            self.omit(list, Some(left_out), MESSAGE);
        }
        Ok(entries)
    }
}

// === impl Omitted ===

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "list={}", self.list)?;
        if let Some(left_out) = self.left_out {
            write!(f, "; left-out={left_out}")?;
        }
        write!(f, "; setting={}", self.setting)
    }
}
