//! The suite of all drivers, on a store whose reclaimed partitions linger and on one where they do not.

use super::*;
use crate::conformance::Subject;

struct Memory {
    linger: Duration,
}

#[async_trait::async_trait]
impl Subject for Memory {
    async fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(MemoryDriver::with_linger(self.linger))
    }

    fn lingers(&self) -> bool {
        !self.linger.is_zero()
    }
}

async fn setup() -> Memory {
    Memory { linger: LINGER }
}

crate::driver_tests!(setup);

mod without_linger {
    use super::{Duration, Memory};

    async fn setup() -> Memory {
        Memory {
            linger: Duration::ZERO,
        }
    }

    crate::driver_tests!(setup);
}
