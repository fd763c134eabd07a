//! What is damaged is made anew: by its host what one has marked, and by the holder what all keep together.

use std::sync::Arc;

use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};

use super::holding;
use super::marking::Marking;

/// Keys that are removed in one commit.
const KEYS: usize = 1024;

/// Has a host's marks begin another series if they cannot be read back.
///
/// # Errors
/// The place's.
pub(super) async fn mend_marks(marking: &Marking) -> Result<(), Error> {
    marking.read_again();
    marking.begin().await
}

/// Removes what hosts keep together if it cannot be read back, so that the next one that holds it makes it anew from all that is stored.
/// Returns `true` if it was damaged. It has to be held here.
///
/// # Errors
/// The place's.
pub(super) async fn mend_together(keep: &Arc<dyn Keep>, day_buckets: u32) -> Result<bool, Error> {
    match holding::load(&**keep, day_buckets).await {
        Err(error) if error.kind() == ErrorKind::DataLoss => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(false),
    }
    loop {
        let (entries, _) = keep.scan(b"").await?;
        // The stamp stays, and is another one with each commit.
        let keys = entries.into_iter().map(|(key, _)| key);
        let keys = keys.filter(|key| key != super::marks::STAMP);
        let deletes: Vec<KeepChange> = keys.take(KEYS).map(KeepChange::Delete).collect();
        if deletes.is_empty() {
            break;
        }
        keep.commit(deletes).await?;
    }
    for group in keep.groups().await? {
        keep.reclaim(&group).await?;
    }
    Ok(true)
}
