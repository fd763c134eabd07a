//! The suite of all drivers, on a real Cassandra whose address is in `LARDER_TEST_CASSANDRA`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{connect, options};
use larder_store::conformance::Subject;
use larder_store::{Driver, Error, HostStatus, Namespace, Quotas, Reach, Statistics, TenantUsage};

/// All cases share one keyspace, as making one takes seconds. Each has tenants of its own.
struct OneCase {
    number: u32,
}

/// A driver that sees the tenants of one case alone.
struct OfCase {
    inner: Arc<dyn Driver>,
    prefix: String,
}

async fn setup() -> OneCase {
    static CASES: AtomicU32 = AtomicU32::new(0);
    OneCase {
        number: CASES.fetch_add(1, Ordering::Relaxed),
    }
}

larder_store::driver_tests!(setup);

// === impl OneCase ===

impl OneCase {
    async fn host(&self, name: &str) -> Arc<dyn Driver> {
        let host = format!("case {} {name}", self.number);
        Arc::new(OfCase {
            inner: Arc::new(connect(options(&host)).await.unwrap()),
            prefix: format!("case {}: ", self.number),
        })
    }
}

#[async_trait::async_trait]
impl Subject for OneCase {
    async fn driver(&self) -> Arc<dyn Driver> {
        self.host("a").await
    }

    async fn second(&self) -> Option<Arc<dyn Driver>> {
        Some(self.host("b").await)
    }

    async fn reopen(&self, driver: Arc<dyn Driver>) -> Option<Arc<dyn Driver>> {
        drop(driver);
        Some(self.host("a").await)
    }

    fn random_cases(&self) -> u32 {
        4
    }
}

// === impl OfCase ===

impl OfCase {
    fn name_of(&self, tenant: &str) -> String {
        format!("{}{tenant}", self.prefix)
    }
}

#[async_trait::async_trait]
impl Driver for OfCase {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn writer_id(&self) -> String {
        self.inner.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.inner.open(&self.name_of(tenant)).await
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.inner.renew(&self.name_of(tenant)).await
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        self.inner.forget(&self.name_of(tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        let all = self.inner.tenants().await?.into_iter();
        let own = all.filter_map(|it| {
            let tenant = it.tenant.strip_prefix(&self.prefix)?.to_owned();
            Some(TenantUsage { tenant, ..it })
        });
        Ok(own.collect())
    }

    fn set_quotas(&self, quotas: Quotas) {
        let own = quotas.own.into_iter();
        self.inner.set_quotas(Quotas {
            default: quotas.default,
            own: own
                .map(|(tenant, quota)| (self.name_of(&tenant), quota))
                .collect(),
        });
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn hosts(&self) -> Result<Vec<HostStatus>, Error> {
        self.inner.hosts().await
    }

    fn reach(&self) -> Reach {
        self.inner.reach()
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}
