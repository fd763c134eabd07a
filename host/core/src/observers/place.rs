//! One observer's part of the place that several share.

use std::sync::Arc;

use larder_model::storage::{Common, Error, HostState, Keep, KeepChange};

/// A page of entries, and whether there are more.
type Entries = (Vec<(Vec<u8>, Vec<u8>)>, bool);

/// The entries whose keys begin with a prefix, and the groups whose names do. Whoever uses it does not see the prefix.
pub(super) struct Place {
    prefix: &'static str,
    keep: Arc<dyn Keep>,
}

/// One observer's part of the place that all hosts have together.
struct CommonPlace {
    prefix: &'static str,
    common: Arc<dyn Common>,
}

// === impl Place ===

impl Place {
    pub(super) fn new(prefix: &'static str, keep: Arc<dyn Keep>) -> Self {
        Self { prefix, keep }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), key].concat()
    }

    fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The entries of a page that are the observer's own, without the prefix, and whether more of them may follow.
    fn own(&self, (entries, more): Entries) -> Entries {
        let all = entries.len();
        let own = entries.into_iter().map_while(|(key, value)| {
            let key = key.strip_prefix(self.prefix.as_bytes())?;
            Some((key.to_owned(), value))
        });
        let own: Vec<_> = own.collect();
        let more = more && own.len() == all;
        (own, more)
    }
}

#[async_trait::async_trait]
impl Keep for Place {
    fn is_durable(&self) -> bool {
        self.keep.is_durable()
    }

    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        self.keep.put(&self.group(group), values).await
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.keep.get(&self.group(group), names).await
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        let changes = changes.into_iter().map(|change| match change {
            KeepChange::Put(key, value) => KeepChange::Put(self.key(&key), value),
            KeepChange::Delete(key) => KeepChange::Delete(self.key(&key)),
        });
        self.keep.commit(changes.collect()).await
    }

    async fn scan(&self, start: &[u8]) -> Result<Entries, Error> {
        Ok(self.own(self.keep.scan(&self.key(start)).await?))
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.keep.reclaim(&self.group(group)).await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        let groups = self.keep.groups().await?;
        let own = groups.iter().filter_map(|it| it.strip_prefix(self.prefix));
        Ok(own.map(str::to_owned).collect())
    }

    fn generation(&self) -> u64 {
        self.keep.generation()
    }

    fn is_shared(&self) -> bool {
        self.keep.is_shared()
    }

    async fn is_whole(&self) -> bool {
        self.keep.is_whole().await
    }

    async fn hosts(&self, keys: &[Vec<u8>]) -> Result<Vec<HostState>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        self.keep.hosts(&keys).await
    }

    async fn scan_host(&self, state: &str, start: &[u8]) -> Result<Entries, Error> {
        let page = self.keep.scan_host(state, &self.key(start)).await?;
        Ok(self.own(page))
    }

    fn had_written(&self) -> bool {
        self.keep.had_written()
    }

    fn common(&self) -> Option<Arc<dyn Common>> {
        let (prefix, common) = (self.prefix, self.keep.common()?);
        Some(Arc::new(CommonPlace { prefix, common }))
    }
}

#[async_trait::async_trait]
impl Common for CommonPlace {
    fn keep(&self) -> Arc<dyn Keep> {
        Arc::new(Place::new(self.prefix, self.common.keep()))
    }

    async fn hold(&self) -> Result<Option<u64>, Error> {
        self.common.hold().await
    }

    async fn release(&self) -> Result<(), Error> {
        self.common.release().await
    }
}
