//! What may be kept of traces between queries, and how it is read from them: the calls of the service graph. The keeping itself is
//! `larder-graph`'s; what judges a trace is here.

mod reader;

use std::ops::AddAssign;

use larder_model::storage::{TimeRange, TraceId};
use serde::Serialize;

pub use reader::{Finding, Reader};

pub use super::calls::{Call, TraceCalls};
pub use super::names::Names;

/// The calls of traces that are kept, so that [`Searcher::dependencies`](super::Searcher::dependencies) need not judge all.
#[async_trait::async_trait]
pub trait Kept: Send + Sync + 'static {
    /// What is kept, as it is now, for the traces within a window. `None` if all of them have to be judged.
    async fn view(&self, window: TimeRange) -> Option<Box<dyn View>>;

    /// How far the calls of the traces within a window are kept now. For those who explain an answer.
    fn coverage(&self, window: TimeRange) -> Coverage;
}

/// What is kept for one window, as it was at one moment. The methods are called in their order, [`View::judged`] for each trace.
#[async_trait::async_trait]
pub trait View: Send {
    /// Every trace with a span that starts in one of these ranges has to be judged. They may lie outside the window.
    fn unsettled(&self) -> &[TimeRange];

    /// Traces that have to be judged besides. `None` if what is kept cannot be read, and all traces have to be judged.
    async fn changed(&mut self) -> Option<Vec<TraceId>>;

    /// A trace was judged; its spans start at these times. What is kept of it does not count.
    fn judged(&mut self, trace: TraceId, starts: &[u64]);

    /// Passes on the calls of the traces within the window that were not judged, as calling service, called service and number. Returns
    /// `false` if what is kept cannot be read, and all traces have to be judged.
    async fn count(&mut self, add: &mut (dyn for<'a> FnMut(&'a str, &'a str, u64) + Send)) -> bool;

    /// What [`View::count`] has read and added up so far. For those who explain an answer.
    fn summed(&self) -> Summed;
}

/// How far the calls of the traces within a window are kept, by buckets of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Buckets of the window whose calls are kept.
    pub settled_buckets: u64,
    /// Buckets that were written to since, inside of the window or not: a span outside takes its trace out of it.
    pub open_buckets: u64,
    /// Buckets whose calls are kept, and some of whose traces retention may have dropped since. A trace that begins before the window may
    /// reach into it, so these count up to its end.
    pub suspect_buckets: u64,
    /// Buckets of the window of which nothing is known.
    pub unknown_buckets: u64,
    /// Traces, inside of the window or not, that were written to after their calls were kept.
    pub late_traces: u64,
    /// The reason why nothing that is kept can be used now; `None` if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<&'static str>,
}

/// What was read of the calls that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summed {
    /// Buckets whose sums were added up as they are.
    pub whole_buckets: u64,
    /// Buckets of which the traces outside of the window, or those that were judged, had to be left out.
    pub partial_buckets: u64,
    /// Pages of those that were read row by row, a row for each trace.
    pub scanned_pages: u64,
    /// The rows of these pages.
    pub scanned_rows: u64,
}

// === impl Summed ===

impl AddAssign for Summed {
    fn add_assign(&mut self, other: Self) {
        self.whole_buckets += other.whole_buckets;
        self.partial_buckets += other.partial_buckets;
        self.scanned_pages += other.scanned_pages;
        self.scanned_rows += other.scanned_rows;
    }
}
