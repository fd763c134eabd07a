//! A value that many look at, and that a reload puts another in the place of.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// See the module. Clones look at the same value.
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

// === impl Live ===

impl<T> Live<T> {
    /// With its first value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value of this moment, which the caller keeps however long it looks.
    pub fn get(&self) -> Arc<T> {
        let value = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&value)
    }

    /// Puts another value in its place, for whoever asks from here on.
    pub fn set(&self, value: T) {
        self.put(Arc::new(value));
    }

    /// As [`Live::set`], of a value that others have as well.
    pub fn put(&self, value: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
