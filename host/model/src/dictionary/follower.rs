//! What several hosts list together.

use super::Snapshot;

/// Reads what all hosts list that write to a tenant's data.
#[async_trait::async_trait]
pub trait Follower: Send + Sync + 'static {
    /// Every value that is called listed in a fragment whose write, by whatever host, had ended before the call; and others. `None` if these
    /// cannot be told now.
    async fn follow(&self) -> Option<Snapshot>;
}
