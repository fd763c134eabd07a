//! Takes away what the host of a writer kept to which nothing refers any more.

use larder_store::{Error, Namespace};

use super::leave;
use super::names::{Names, own_writer};

/// Takes what the host of this writer kept, and its own id, out of a shared store. Does nothing while the host is alive.
///
/// # Errors
/// The driver's. It may be tried again.
pub(crate) async fn retire(namespace: &dyn Namespace, writer: &str) -> Result<(), Error> {
    let Some(claim) = namespace.adopt(&own_writer(writer)).await? else {
        return Ok(());
    };
    let names = Names::new(writer, true);
    let partitions = namespace.partitions().await?;
    let kept = partitions.iter();
    for partition in kept.filter(|name| name.starts_with(names.base())) {
        if names.is_state(partition) {
            leave(namespace, &claim, partition).await?;
        }
        namespace.reclaim(&claim, partition).await?;
    }
    namespace.retire(&claim).await
}
