//! An instance that a component is tried out with when it is loaded.

use std::sync::Arc;

use larder_store::{Claim, Driver as _, MemoryDriver, Namespace};

use crate::instance::starter::OpenError;
use crate::sandbox::guest::{Instance, InstanceConfig, KvAccess};

/// An instance on an empty store of its own, which is dropped with it.
pub(super) struct Trial {
    pub(super) instance: Instance,
    namespace: Arc<dyn Namespace>,
    /// The id that the instance is opened with as a writer.
    writer: String,
}

// === impl Trial ===

impl Trial {
    /// Starts an instance that can be described. It cannot write before [`Trial::claim`].
    pub(super) async fn start(config: &InstanceConfig) -> Result<Self, OpenError> {
        let driver = MemoryDriver::new();
        let namespace = driver.open("").await.map_err(OpenError::Kv)?;
        let kv = KvAccess::new(Arc::clone(&namespace), None);
        let started = Instance::start(config, kv).await;
        Ok(Self {
            instance: started.map_err(OpenError::Failed)?,
            namespace,
            writer: driver.writer_id(),
        })
    }

    /// Lets the instance write.
    pub(super) async fn claim(&mut self) -> Result<Claim, OpenError> {
        let claimed = self.namespace.claim(&self.writer).await;
        let claim = claimed.map_err(OpenError::Kv)?;
        self.instance.grant(claim.clone());
        Ok(claim)
    }
}
