//! Takes away what the host of a writer kept to which nothing refers any more.

use larder_store::{Error, Namespace};

use super::leave;
use super::names::{Names, own_writer};

/// Takes what the host of this writer kept, and its own id, out of a shared store. This host has adopted the writer's data.
///
/// # Errors
/// The driver's. It may be tried again.
pub(crate) async fn retire(namespace: &dyn Namespace, writer: &str) -> Result<(), Error> {
    let id = own_writer(writer);
    let claim = match namespace.adopt(&id).await? {
        Some(claim) => claim,
        None if namespace.writers().await?.contains(&id) => namespace.claim(&id).await?,
        None => return Ok(()),
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
