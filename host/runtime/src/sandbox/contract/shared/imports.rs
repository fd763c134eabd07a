//! The functions that a guest imports.

/// The functions of the import `kv`, for `impl kv::Host for GuestState`. What they may do is checked behind them, for all versions.
macro_rules! kv_functions {
    (put) => {
        async fn put(&mut self, objects: Vec<kv::Object>) -> Result<(), kv::Error> {
            let objects = objects.into_iter().map(|object| larder_store::Object {
                key: object.key.into(),
                value: object.value,
            });
            Ok(self.kv.put(objects.collect()).await?)
        }
    };
    (commit) => {
        async fn commit(
            &mut self,
            partition: String,
            changes: Vec<kv::Change>,
        ) -> Result<(), kv::Error> {
            let changes = changes.into_iter().map(|change| match change {
                kv::Change::Put(kv::Entry { sort, value }) => {
                    larder_store::Change::Put(larder_store::Entry { sort, value })
                }
                kv::Change::Delete(sort) => larder_store::Change::Delete(sort),
            });
            Ok(self.kv.commit(&partition, changes.collect()).await?)
        }
    };
    (get) => {
        async fn get(&mut self, keys: Vec<kv::Key>) -> Result<Vec<Option<Vec<u8>>>, kv::Error> {
            let keys: Vec<larder_store::Key> = shared::converted(keys);
            Ok(self.kv.get(&keys).await?)
        }
    };
    (scan) => {
        async fn scan(
            &mut self,
            partition: String,
            range: kv::Range,
            direction: kv::Direction,
            max_entries: u32,
            max_bytes: u32,
        ) -> Result<kv::Page, kv::Error> {
            let scan = larder_store::Scan {
                start: range.start,
                end: range.end,
                descending: matches!(direction, kv::Direction::Descending),
                max_entries,
                max_bytes,
            };
            let page = self.kv.scan(&partition, scan).await?;
            let entries = page.entries.into_iter().map(|entry| kv::Entry {
                sort: entry.sort,
                value: entry.value,
            });
            Ok(kv::Page {
                entries: entries.collect(),
                more: page.more,
            })
        }
    };
    (reclaim) => {
        async fn reclaim(&mut self, partition: String) -> Result<(), kv::Error> {
            Ok(self.kv.reclaim(&partition).await?)
        }
    };
    (writers) => {
        async fn writers(&mut self) -> Result<Vec<String>, kv::Error> {
            Ok(self.kv.writers().await?)
        }
    };
    (partitions) => {
        async fn partitions(&mut self) -> Result<Vec<String>, kv::Error> {
            Ok(self.kv.partitions().await?)
        }
    };
    ($first:ident, $($rest:ident),+ $(,)?) => {
        kv_functions! { $first }
        $(kv_functions! { $rest })+
    };
}

/// The functions of the import `log`, for `impl log::Host for GuestState`.
macro_rules! log_functions {
    (write) => {
        async fn write(&mut self, level: log::Level, message: String) {
            self.output.log(level.into(), &message);
        }
    };
}

pub(in super::super) use {kv_functions, log_functions};
