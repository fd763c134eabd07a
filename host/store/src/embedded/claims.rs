//! Namespaces and the claims of their writers. Both are on disk before a caller gets them.

use super::durable;
use super::record::{self, Writer};
use super::shared::Shared;
use super::store::{Store, StoreState};
use crate::{Claim, Error, TenantUsage, local_number};

// === impl Shared ===

impl Shared {
    pub(super) fn claim(&self, namespace: u64, writer: &str) -> Result<Claim, Error> {
        let store = self.store();
        let epoch = {
            let mut state = store.state();
            state.check_writable()?;
            let Some(known) = state.namespaces.get_mut(&namespace) else {
                return Err(Error::Fenced);
            };
            let record = known.writers.entry(writer.to_owned()).or_default();
            record.epoch += 1;
            let record = *record;
            put_writer(&store, &mut state, namespace, writer, record);
            record.epoch
        };
        durable::sync(&store, &self.syncs)?;
        Ok(Claim {
            writer: writer.to_owned(),
            epoch,
            number: local_number(writer),
            is_upkeep: false,
        })
    }

    /// Takes a writer out of those that have committed, and fences its claim.
    pub(super) fn retire(&self, namespace: u64, by: &Claim) -> Result<(), Error> {
        let store = self.store();
        {
            let mut state = store.state();
            state.check(namespace, by)?;
            let record = Writer {
                epoch: by.epoch + 1,
                committed: false,
            };
            if let Some(known) = state.namespaces.get_mut(&namespace) {
                known.writers.insert(by.writer.clone(), record);
            }
            put_writer(&store, &mut state, namespace, &by.writer, record);
        }
        durable::sync(&store, &self.syncs)
    }

    /// The tenants that have a namespace.
    pub(super) fn tenants(&self) -> Vec<TenantUsage> {
        let store = self.store();
        let state = store.state();
        let bytes = |number| state.namespaces.get(number).map_or(0, |it| it.stored);
        let stored = state.tenants.iter().map(|(tenant, number)| TenantUsage {
            tenant: tenant.clone(),
            bytes: bytes(number),
        });
        stored.collect()
    }

    /// The number of the tenant's namespace. With `renew`, replaces the namespace by a new one.
    pub(super) fn namespace(&self, tenant: &str, renew: bool) -> Result<u64, Error> {
        let store = self.store();
        let number = {
            let mut state = store.state();
            let old = state.tenants.get(tenant).copied();
            if let Some(old) = old.filter(|_| !renew) {
                return Ok(old);
            }
            state.check_writable()?;
            let number = store.write_batch(&mut state, |batch| {
                let number = batch.number();
                batch.put(&record::tenant_key(tenant), &number.to_le_bytes());
                number
            });
            store.live.insert(number);
            state.namespaces.entry(number).or_default();
            state.tenants.insert(tenant.to_owned(), number);
            if let Some(old) = old {
                drop_namespace(&store, &mut state, old);
            }
            number
        };
        durable::sync(&store, &self.syncs)?;
        Ok(number)
    }

    /// Removes the tenant's namespace, if it has one.
    pub(super) fn forget(&self, tenant: &str) -> Result<(), Error> {
        let store = self.store();
        {
            let mut state = store.state();
            state.check_writable()?;
            let Some(old) = state.tenants.remove(tenant) else {
                return Ok(());
            };
            store.write_batch(&mut state, |batch| {
                batch.delete(&record::tenant_key(tenant));
            });
            drop_namespace(&store, &mut state, old);
        }
        durable::sync(&store, &self.syncs)
    }
}

/// Fences all writers of the namespace, and schedules its partitions for removal.
fn drop_namespace(store: &Store, state: &mut StoreState, namespace: u64) {
    store.live.remove(namespace);
    let gone = state.namespaces.remove(&namespace).into_iter();
    let partitions: Vec<u64> = gone.flat_map(|gone| gone.names.into_values()).collect();
    if partitions.is_empty() {
        return;
    }
    state.to_remove.extend(partitions);
    store.write_batch(state, |batch| batch.mark_dropped(namespace));
}

/// Writes a writer's record.
pub(super) fn put_writer(
    store: &Store,
    state: &mut StoreState,
    namespace: u64,
    writer: &str,
    record: Writer,
) {
    let key = record::key(record::WRITER, namespace, writer.as_bytes());
    store.write_batch(state, |batch| batch.put(&key, &record.encode()));
}
