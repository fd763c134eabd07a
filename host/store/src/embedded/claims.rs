//! Who may write, and where: namespaces and the claims of their writers. Both are on disk before they are given out.

use super::durable;
use super::record::{self, Writer};
use super::shared::Shared;
use super::store::{State, Store};
use crate::{Claim, Error, Stored};

// === impl Shared ===

impl Shared {
    pub(super) fn claim(&self, namespace: u64, writer: &str) -> Result<Claim, Error> {
        let store = self.store();
        let epoch = {
            let mut state = store.state();
            if let Some(failed) = &state.failed {
                return Err(Error::Unavailable(failed.clone()));
            }
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
        })
    }

    /// Every tenant that has a namespace.
    pub(super) fn tenants(&self) -> Vec<Stored> {
        let store = self.store();
        let state = store.state();
        let bytes = |number| state.namespaces.get(number).map_or(0, |it| it.stored);
        let stored = state.tenants.iter().map(|(tenant, number)| Stored {
            tenant: tenant.clone(),
            bytes: bytes(number),
        });
        stored.collect()
    }

    /// Gives the tenant a namespace: the one it has, or with `anew` another, empty one.
    pub(super) fn namespace(&self, tenant: &str, anew: bool) -> Result<u64, Error> {
        let store = self.store();
        let number = {
            let mut state = store.state();
            let old = state.tenants.get(tenant).copied();
            if let Some(old) = old.filter(|_| !anew) {
                return Ok(old);
            }
            if let Some(failed) = &state.failed {
                return Err(Error::Unavailable(failed.clone()));
            }
            let number = store.change(&mut state, |change| {
                let number = change.number();
                change.put(&record::tenant_key(tenant), &number.to_le_bytes());
                number
            });
            store.live.insert(number);
            state.namespaces.entry(number).or_default();
            state.tenants.insert(tenant.to_owned(), number);
            if let Some(old) = old {
                doom(&store, &mut state, old);
            }
            number
        };
        durable::sync(&store, &self.syncs)?;
        Ok(number)
    }

    /// Takes the tenant's namespace away, if it has one.
    pub(super) fn forget(&self, tenant: &str) -> Result<(), Error> {
        let store = self.store();
        {
            let mut state = store.state();
            if let Some(failed) = &state.failed {
                return Err(Error::Unavailable(failed.clone()));
            }
            let Some(old) = state.tenants.remove(tenant) else {
                return Ok(());
            };
            store.change(&mut state, |change| {
                change.delete(&record::tenant_key(tenant));
            });
            doom(&store, &mut state, old);
        }
        durable::sync(&store, &self.syncs)
    }
}

/// Nobody writes to the namespace from here on, and what it holds is removed behind.
fn doom(store: &Store, state: &mut State, namespace: u64) {
    store.live.remove(namespace);
    let gone = state.namespaces.remove(&namespace).into_iter();
    let partitions: Vec<u64> = gone.flat_map(|gone| gone.names.into_values()).collect();
    if partitions.is_empty() {
        return;
    }
    state.doomed.extend(partitions);
    store.change(state, |change| change.give_up(namespace));
}

/// Writes a writer's record.
pub(super) fn put_writer(
    store: &Store,
    state: &mut State,
    namespace: u64,
    writer: &str,
    record: Writer,
) {
    let key = record::key(record::WRITER, namespace, writer.as_bytes());
    store.change(state, |change| change.put(&key, &record.encode()));
}
