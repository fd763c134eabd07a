//! The namespaces of the tenants.

use larder_store::Error;

use crate::db::{Db, random, row, rows};
use crate::statements::Name;
use crate::timestamps::now_millis;

// === impl Db ===

impl Db {
    /// The number of a tenant's namespace, after everything that is under way.
    pub(crate) async fn namespace_of(&self, tenant: &str) -> Result<Option<i64>, Error> {
        let found: Option<(Option<i64>,)> = row(self.run(Name::TenantGet, (tenant,)).await?)?;
        Ok(found.and_then(|(ns,)| ns))
    }

    /// The number of a tenant's namespace, after every purge that has returned.
    pub(crate) async fn namespace_now(&self, tenant: &str) -> Result<Option<i64>, Error> {
        let found: Option<(Option<i64>,)> = row(self.run(Name::TenantNow, (tenant,)).await?)?;
        Ok(found.and_then(|(ns,)| ns))
    }

    /// The number of a tenant's namespace, which is made if there is none.
    pub(crate) async fn make_namespace(&self, tenant: &str) -> Result<i64, Error> {
        let mut tries = self.tries();
        loop {
            if let Some(ns) = self.namespace_of(tenant).await? {
                return Ok(ns);
            }
            let ns = random();
            match self.condition(Name::TenantNew, (tenant, ns)).await {
                Ok(verdict) if verdict.applied => return Ok(ns),
                Ok(_) => {}
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Takes a tenant's namespace away, and gives it a new one if that is wanted. Returns the numbers of both.
    ///
    /// The old one is doomed first, so that its data is removed even if this host does not live to see it: see `doom.rs`.
    pub(crate) async fn replace_namespace(
        &self,
        tenant: &str,
        renew: bool,
    ) -> Result<(Option<i64>, Option<i64>), Error> {
        let new = renew.then(random);
        let mut tries = self.tries();
        let mut replaced = None;
        loop {
            let old = self.namespace_of(tenant).await?;
            // The answer to an earlier try was lost.
            if replaced.is_some() && old == new {
                return Ok((replaced, new));
            }
            let Some(old) = old else {
                return Ok((None, None));
            };
            let doomed = (old, tenant, now_millis());
            if let Err(failure) = self.condition(Name::DoomPut, doomed).await {
                tries.again(failure).await?;
                continue;
            }
            replaced = Some(old);
            let verdict = match new {
                Some(new) => self.condition(Name::TenantSet, (new, tenant, old)).await,
                None => self.condition(Name::TenantDelete, (tenant, old)).await,
            };
            match verdict {
                Ok(verdict) if verdict.applied => return Ok((replaced, new)),
                Ok(_) => tries.lost("a tenant's namespace").await?,
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    pub(crate) async fn tenant_rows(&self) -> Result<Vec<(String, i64)>, Error> {
        let found: Vec<(String, Option<i64>)> = rows(self.run(Name::TenantList, ()).await?)?;
        let whole = found
            .into_iter()
            .filter_map(|(tenant, ns)| Some((tenant, ns?)));
        Ok(whole.collect())
    }
}
