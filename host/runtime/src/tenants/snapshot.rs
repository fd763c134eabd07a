//! Snapshots of what all tenants have stored in `kv`.

use larder_store::{Made, SnapshotError, SnapshotRequest};

use super::Tenants;
use crate::plugin::Instancing;

impl Tenants {
    /// Copies the store of all tenants, as it stands at one moment during the call. Writes go on meanwhile, and one that was acknowledged
    /// before the call is in the copy. Data that a plugin keeps in its own memory is not.
    ///
    /// # Errors
    /// [`SnapshotError`]; [`SnapshotError::NothingOnDisk`] also if every configured plugin keeps its data in its own memory.
    pub async fn snapshot(&self, request: SnapshotRequest) -> Result<Made, SnapshotError> {
        let config = self.current.get();
        let overrides = config.overrides.values().map(|tenant| &tenant.plugin);
        let mut plugins = overrides.chain([&config.default.plugin]);
        if plugins.all(|plugin| plugin.instancing() == Instancing::Exclusive) {
            return Err(SnapshotError::NothingOnDisk(format!(
                "the plugin `{}` keeps its data in its own memory, and none in `kv`",
                config.default.plugin.name()
            )));
        }
        self.kv.snapshot(request).await
    }
}
