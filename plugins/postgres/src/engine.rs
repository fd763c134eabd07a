//! One instance: its connection, and what it knows of the tenant's tables.

use std::collections::HashSet;

use larder_plugin::{Environment, Error, Role, Timestamp, log};

use crate::connection::{Connection, Failure};
use crate::partition::{self, Partition};
use crate::schema::{self, Tenant};
use crate::settings::{Config, PASSWORD};

/// The end of time belongs to no partition.
const LAST_TIME: Timestamp = Timestamp::MAX - 1;
/// More operations than these are written again, which does nothing but cost time.
const MAX_KNOWN: usize = 200_000;

/// An instance of the plugin.
#[derive(Debug)]
pub(crate) struct Engine {
    config: Config,
    is_writer: bool,
    /// False while [`Engine::open`] runs.
    is_opened: bool,
    /// None before the first call, and after a failure.
    connection: Option<Connection>,
    /// None until it was found, or made.
    tenant: Option<Tenant>,
    pub(crate) written: Written,
}

/// What this instance knows of the partition that it writes to.
#[derive(Debug, Default)]
pub(crate) struct Written {
    partition: Option<Partition>,
    /// The operations that it has.
    pub(crate) known: HashSet<[u8; 32]>,
    /// The time of the last write: a clock that is put back changes no order.
    latest: Timestamp,
}

// === impl Engine ===

impl Engine {
    /// Reads the settings, and connects. A server that does not answer is asked again with the first call; one that refuses this user, or
    /// whose tables are newer, is an error of the configuration.
    pub(crate) fn open(environment: &Environment) -> Result<Self, Error> {
        let password = std::env::var(PASSWORD).ok();
        let mut engine = Self {
            config: Config::new(environment, password)?,
            is_writer: matches!(environment.role, Role::Writer(_)),
            is_opened: false,
            connection: None,
            tenant: None,
            written: Written::default(),
        };
        if environment.tenant.is_empty() {
            // The host only looks at the plugin, and grants nothing.
            return Ok(engine);
        }
        let found = engine.with_tenant(|_, _, _| Ok(()));
        match found {
            Err(Error::Unavailable(text)) => log::warn(&text),
            found => drop(found?),
        }
        engine.is_opened = true;
        Ok(engine)
    }

    /// Runs `call` with the connection and the tenant's tables; none if there are none. It is run again where these were dropped meanwhile.
    pub(crate) fn with_tenant<R>(
        &mut self,
        mut call: impl FnMut(&mut Connection, &Config, &Tenant) -> Result<R, Failure>,
    ) -> Result<Option<R>, Error> {
        let (config, is_writer) = (self.config.clone(), self.is_writer);
        let mut tenant = self.tenant.take();
        let done = self.connected(|connection| {
            if let Some(known) = &tenant {
                match call(connection, &config, known) {
                    Err(failure) if failure.is_missing() => {}
                    done => return done.map(Some),
                }
            }
            tenant = schema::find(connection, &config, is_writer)?;
            let found = tenant.as_ref();
            let again = found.map(|found| call(connection, &config, found));
            again.transpose()
        });
        self.tenant = tenant;
        done
    }

    /// As [`Engine::with_tenant`], for what is written at this time: the tables and the partition are made, if there are none.
    pub(crate) fn with_partition<R>(
        &mut self,
        now: Timestamp,
        mut call: impl FnMut(&mut Connection, &Tenant, Partition, &mut Written) -> Result<R, Failure>,
    ) -> Result<R, Error> {
        if !self.is_writer {
            return Err(Error::Other("this instance is a reader".to_owned()));
        }
        let config = self.config.clone();
        let mut written = std::mem::take(&mut self.written);
        // The host's clock does not believe a jump ahead, and one back changes no order here.
        written.latest = written.latest.max(now.min(LAST_TIME));
        let mut tenant = self.tenant.take();
        let done = self.connected(|connection| {
            loop {
                let is_known = tenant.is_some();
                let done = in_partition(connection, &config, &mut tenant, &mut written, &mut call);
                match done {
                    // Retention or a purge, by whatever host, has dropped what this instance knew, and nothing was written.
                    Err(failure) if is_known && failure.is_missing() => {
                        tenant = None;
                        written.partition = None;
                    }
                    done => return done,
                }
            }
        });
        self.tenant = tenant;
        self.written = written;
        done
    }

    /// One step of upkeep; true if there may be more to do.
    pub(crate) fn maintain(&mut self, now: Timestamp) -> Result<bool, Error> {
        let now = now.min(LAST_TIME);
        let done = self.with_tenant(|connection, config, tenant| {
            partition::maintain(connection, config, tenant, now)
        })?;
        Ok(done.unwrap_or(false))
    }

    /// Forgets all that is stored of the tenant.
    pub(crate) fn purge(&mut self) -> Result<(), Error> {
        let config = self.config.clone();
        self.tenant = None;
        self.written.partition = None;
        self.connected(|connection| schema::purge(connection, &config))
    }

    /// Runs `call` with a connection: the one that was used last, if it is still open. One that fails is not used again.
    fn connected<R>(
        &mut self,
        call: impl FnOnce(&mut Connection) -> Result<R, Failure>,
    ) -> Result<R, Error> {
        let used = self.connection.take();
        let used = used.and_then(|mut used| used.is_open().then_some(used));
        let mut connection = match used {
            Some(used) => used,
            None => Connection::open(&self.config).map_err(|failure| self.unreached(failure))?,
        };
        let done = call(&mut connection);
        if !matches!(done, Err(Failure::Lost(_))) {
            self.connection = Some(connection);
        }
        done.map_err(Error::from)
    }

    /// What is refused while the plugin serves may be put right on the server, such as a password: clients keep their spans meanwhile.
    fn unreached(&self, failure: Failure) -> Error {
        let text = match failure {
            Failure::Lost(text) => text,
            other => match other.into() {
                Error::InvalidArgument(text) if self.is_opened => text,
                error => return error,
            },
        };
        Error::Unavailable(format!(
            "no connection to PostgreSQL as {:?}: {text}; it is tried again with the next call",
            self.config
        ))
    }
}

fn in_partition<R>(
    connection: &mut Connection,
    config: &Config,
    tenant: &mut Option<Tenant>,
    written: &mut Written,
    call: &mut impl FnMut(&mut Connection, &Tenant, Partition, &mut Written) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let tenant = match tenant {
        Some(tenant) => tenant,
        None => tenant.insert(schema::make(connection, config)?),
    };
    let known = written.partition.filter(|it| it.has(written.latest));
    let partition = if let Some(known) = known {
        known
    } else {
        written.known.clear();
        partition::for_writes(connection, config, tenant, written.latest)?
    };
    written.partition = Some(partition);
    if written.known.len() > MAX_KNOWN {
        written.known.clear();
    }
    call(connection, tenant, partition, written)
}
