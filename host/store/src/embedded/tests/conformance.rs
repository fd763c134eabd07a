//! The suite of all drivers, on a real folder.

use std::sync::Arc;

use tempfile::TempDir;

use super::{EmbeddedDriver, options};
use crate::Driver;
use crate::conformance::Subject;

struct Embedded {
    dir: TempDir,
}

#[async_trait::async_trait]
impl Subject for Embedded {
    async fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(EmbeddedDriver::open(options(self.dir.path())).unwrap())
    }

    async fn reopen(&self, driver: Arc<dyn Driver>) -> Option<Arc<dyn Driver>> {
        drop(driver);
        Some(self.driver().await)
    }
}

async fn setup() -> Embedded {
    Embedded {
        dir: TempDir::new().unwrap(),
    }
}

crate::driver_tests!(setup);
