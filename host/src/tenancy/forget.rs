//! A tenant's name goes with what it has stored, so that it takes no place among `tenancy.max_tenants`.

use super::Tenants;
use super::slot::Slot;
use crate::storage::{Error, ErrorKind};

impl Tenants {
    /// Lets the name of a tenant go that has just been purged: the next call of it is the first one of a new tenant. It stays where
    /// the configuration names it, or somebody uses it now.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where its empty namespace cannot be given up.
    pub(super) async fn let_go(&self, slot: &Slot) -> Result<(), Error> {
        if self.is_kept(slot) {
            return Ok(());
        }
        // Whoever calls from here on waits until the name is gone, and then makes it anew.
        let mut door = slot.door().await;
        let Ok(tenant) = slot.take_unused(&door) else {
            return Ok(());
        };
        if let Some(tenant) = tenant {
            tenant.shutdown().await;
        }
        let forgotten = self.kv.forget(slot.name().as_str()).await;
        forgotten.map_err(|error| {
            let text =
                format!("it is purged, but its empty storage could not be given up: {error}");
            Error::new(ErrorKind::Unavailable, text)
        })?;
        let mut slots = self.slots_mut();
        // A reload may have named it meanwhile.
        if !self.is_kept(slot) {
            slots.remove(slot.name());
            door.gone = true;
        }
        Ok(())
    }

    fn is_kept(&self, slot: &Slot) -> bool {
        let options = self.options();
        !options.enabled || options.known.contains(slot.name())
    }
}
