//! What a start opens while the ports answer already.

use std::sync::Arc;

use larder_model::TenantName;
use larder_model::storage::{self, ErrorKind, Storage};
use tokio::sync::SetOnce;

use crate::{Live, Quotas, Stores};

/// A value that is missing until a start has opened it. Clones share it.
pub struct Opening<T> {
    opened: Arc<SetOnce<T>>,
    step: Live<String>,
}

/// The server is still starting. The text says what it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is starting: {step}")]
pub struct NotOpen {
    step: String,
}

// === impl Opening ===

impl<T> Opening<T> {
    /// A missing value. `step` is what the start does now, such as "opening the store".
    pub fn new(step: Live<String>) -> Self {
        Self {
            opened: Arc::new(SetOnce::new()),
            step,
        }
    }

    /// A value that is there from the beginning.
    pub fn done(value: T) -> Self {
        Self {
            opened: Arc::new(SetOnce::new_with(Some(value))),
            step: Live::new(String::new()),
        }
    }

    /// Sets the value. A second one is dropped.
    pub fn finish(&self, value: T) {
        drop(self.opened.set(value));
    }

    /// The value. Cheap enough for every call.
    ///
    /// # Errors
    /// [`NotOpen`] while the server is starting.
    pub fn opened(&self) -> Result<&T, NotOpen> {
        self.opened.get().ok_or_else(|| NotOpen {
            step: self.step.get().to_string(),
        })
    }

    /// Waits for the value.
    pub async fn wait(&self) -> &T {
        self.opened.wait().await
    }
}

impl<T> Clone for Opening<T> {
    fn clone(&self) -> Self {
        Self {
            opened: Arc::clone(&self.opened),
            step: self.step.clone(),
        }
    }
}

/// Calls fail with [`NotOpen`] while the server is starting.
#[async_trait::async_trait]
impl Stores for Opening<Arc<dyn Stores>> {
    fn get(&self, tenant: Option<&TenantName>) -> Option<Arc<dyn Storage>> {
        self.opened().ok()?.get(tenant)
    }

    fn quotas(&self, tenant: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error> {
        self.opened()?.quotas(tenant)
    }

    async fn open(&self, tenant: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error> {
        self.opened()?.open(tenant).await
    }
}

// === impl NotOpen ===

impl From<NotOpen> for storage::Error {
    fn from(not_open: NotOpen) -> Self {
        Self::new(ErrorKind::Unavailable, not_open.to_string())
    }
}
