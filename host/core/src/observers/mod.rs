//! Several observers of a tenant's data beside each other ([`Several`]), and one for what is turned off ([`Forgotten`]).

mod forgotten;
mod place;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use larder_model::storage::{
    Batch, Error, Keep, Observer, Observers, Statistics, StorageSource, Upkept,
};

pub use forgotten::Forgotten;
use place::Place;

/// Several observers, told in this order. Each keeps what it derives under a prefix of its own, of which none begins another one.
pub struct Several(pub Vec<(&'static str, Arc<dyn Observers>)>);

/// The observers of one tenant.
struct SeveralOfTenant(Vec<(&'static str, Arc<dyn Observer>)>);

// === impl Several ===

#[async_trait::async_trait]
impl Observers for Several {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        let mut opened = Vec::with_capacity(self.0.len());
        for (prefix, observers) in &self.0 {
            let place = Arc::new(Place::new(prefix, Arc::clone(&keep)));
            let observer = observers.open(tenant, place, Weak::clone(&storage)).await;
            opened.push((*prefix, observer));
        }
        Arc::new(SeveralOfTenant(opened))
    }
}

// === impl SeveralOfTenant ===

#[async_trait::async_trait]
impl Observer for SeveralOfTenant {
    fn admit(&self, now: u64, batch: &Batch) -> Result<(), Error> {
        let mut all = self.0.iter();
        all.try_for_each(|(_, observer)| observer.admit(now, batch))
    }

    async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        for (number, (_, observer)) in self.0.iter().enumerate() {
            if let Err(error) = observer.before_write(now, batches).await {
                // There will be no write.
                let told = self.0.iter().take(number);
                told.for_each(|(_, observer)| observer.after_write());
                return Err(error);
            }
        }
        Ok(())
    }

    fn after_write(&self) {
        self.0
            .iter()
            .for_each(|(_, observer)| observer.after_write());
    }

    fn counted(&self, now: u64, statistics: &Statistics) {
        self.0
            .iter()
            .for_each(|(_, observer)| observer.counted(now, statistics));
    }

    /// Each observer forgets, whatever becomes of the others. The error is the first one's.
    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error> {
        let mut result = Ok(());
        for (prefix, observer) in &self.0 {
            let place = Arc::new(Place::new(prefix, Arc::clone(&keep)));
            let forgotten = observer.forget(place).await;
            result = result.and(forgotten);
        }
        result
    }

    async fn close(&self) {
        for (_, observer) in &self.0 {
            observer.close().await;
        }
    }

    async fn before_upkeep(&self, dead: Option<&str>) -> Result<(), Error> {
        for (_, observer) in &self.0 {
            observer.before_upkeep(dead).await?;
        }
        Ok(())
    }

    async fn after_upkeep(&self, dead: Option<&str>, now: u64, upkept: Upkept) {
        for (_, observer) in &self.0 {
            observer.after_upkeep(dead, now, upkept).await;
        }
    }

    async fn adopted(&self, dead: &str, keep: Arc<dyn Keep>) {
        for (prefix, observer) in &self.0 {
            let place = Arc::new(Place::new(prefix, Arc::clone(&keep)));
            observer.adopted(dead, place).await;
        }
    }

    fn memory(&self) -> u64 {
        self.0.iter().map(|(_, observer)| observer.memory()).sum()
    }
}
