//! What may be kept of traces between queries, and how it is read from them: the calls of the service graph. The keeping itself is
//! `larder-graph`'s; what judges a trace is here.

mod reader;

use larder_model::storage::{TimeRange, TraceId};

pub use reader::{Finding, Reader};

pub use super::calls::{Call, TraceCalls};

/// The calls of traces that are kept, so that [`Searcher::dependencies`](super::Searcher::dependencies) need not judge all.
pub trait Kept: Send + Sync + 'static {
    /// What is kept, as it is now, for the traces within a window. `None` if all of them have to be judged.
    fn view(&self, window: TimeRange) -> Option<Box<dyn View>>;
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
}
