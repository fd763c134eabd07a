//! The tables: those that all tenants share, those of a tenant, and how they came to be.
//!
//! Both kinds have a version. A newer plugin brings older tables to its own, step by step, in the transaction that holds the lock; an older
//! plugin refuses newer ones. `README.md` has the tables in words.

use larder_plugin::{Error, log};
use sha2::{Digest as _, Sha256};

use crate::connection::{BEGIN, Connection, Failure, Value};
use crate::settings::Config;

/// What brings the shared tables from each version to the next.
const SHARED: &[&str] = &["
CREATE TABLE $.tenants (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    version integer NOT NULL DEFAULT 0
)"];

/// What brings a tenant's tables from each version to the next.
const TENANT: &[&str] = &["
CREATE SEQUENCE IF NOT EXISTS $.partition_numbers AS integer MAXVALUE 8388607;
CREATE TABLE $.partitions (
    number integer PRIMARY KEY DEFAULT nextval('$.partition_numbers'),
    starts bigint NOT NULL,
    ends bigint NOT NULL
);
CREATE TABLE $.fragments (
    id bigint NOT NULL,
    trace uuid NOT NULL,
    start_first bigint NOT NULL,
    start_last bigint NOT NULL,
    reach smallint NOT NULL,
    shortest bigint NOT NULL,
    longest bigint NOT NULL,
    spans integer NOT NULL,
    terms bigint[] NOT NULL,
    digest bytea NOT NULL,
    otlp bytea NOT NULL
) PARTITION BY RANGE (id);
ALTER TABLE $.fragments ALTER terms SET STORAGE EXTERNAL;
DO $$ BEGIN
    ALTER TABLE $.fragments ALTER digest SET COMPRESSION lz4, ALTER otlp SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;
CREATE TABLE $.services (
    partition integer NOT NULL,
    key bytea NOT NULL,
    name bytea NOT NULL
) PARTITION BY LIST (partition);
CREATE TABLE $.operations (
    partition integer NOT NULL,
    service bytea NOT NULL,
    key bytea NOT NULL,
    name bytea NOT NULL,
    kind smallint NOT NULL
) PARTITION BY LIST (partition)"];

/// A tenant whose tables are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: i32,
    /// Of its tables: `larder_7`.
    pub(crate) schema: String,
}

/// Looks for a tenant's tables. None if it has none: nothing was ever written, or it was purged. A writer brings older ones to this version.
pub(crate) fn find(
    connection: &mut Connection,
    config: &Config,
    is_writer: bool,
) -> Result<Option<Tenant>, Failure> {
    let shared = version_of_shared(connection, config)?;
    if shared.is_none_or(|version| version == 0) {
        return Ok(None);
    }
    match tenant(connection, config)? {
        None | Some((_, 0)) => Ok(None),
        Some((tenant, version)) if version == TENANT.len() => Ok(Some(tenant)),
        Some(_) if is_writer => make(connection, config).map(Some),
        Some((tenant, version)) => Err(Failure::Raised(Error::Unavailable(format!(
            "the tables in the schema {} are of version {version}: the writer brings them to {}",
            tenant.schema,
            TENANT.len()
        )))),
    }
}

/// Makes a tenant's tables, or brings them to this version; does nothing where that was done.
pub(crate) fn make(connection: &mut Connection, config: &Config) -> Result<Tenant, Failure> {
    if version_of_shared(connection, config)? != Some(SHARED.len()) {
        locked(connection, config, 0, |connection| {
            make_shared(connection, config)
        })?;
    }
    if let Some((tenant, version)) = tenant(connection, config)?
        && version == TENANT.len()
    {
        return Ok(tenant);
    }
    locked(connection, config, 0, |connection| {
        make_tenant(connection, config)
    })
}

/// Forgets a tenant and all that is stored of it.
pub(crate) fn purge(connection: &mut Connection, config: &Config) -> Result<(), Failure> {
    if version_of_shared(connection, config)?.is_none_or(|version| version == 0) {
        return Ok(());
    }
    locked(connection, config, 0, |connection| {
        let Some((Tenant { id, schema }, _)) = tenant(connection, config)? else {
            return Ok(());
        };
        if may_create(connection)? {
            connection.run(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))?;
            let forget = format!("DELETE FROM {}.tenants WHERE id = $1", config.schema);
            return connection.query(&forget, &[Value::Int4(id)], |_| Ok(()));
        }
        // A schema that an administrator has made could not be made again. Numbers of partitions, and so handles, do not come back.
        connection.run(&format!(
            "DROP TABLE IF EXISTS {schema}.fragments, {schema}.services, {schema}.operations, {schema}.partitions CASCADE;
             UPDATE {}.tenants SET version = 0 WHERE id = {id}",
            config.schema
        ))
    })
}

/// Runs `call` in a transaction that has the lock of this number: 0 for what is shared, and a tenant's id for its partitions.
pub(crate) fn locked<R>(
    connection: &mut Connection,
    config: &Config,
    number: i32,
    call: impl FnOnce(&mut Connection) -> Result<R, Failure>,
) -> Result<R, Failure> {
    connection.run(BEGIN)?;
    let lock = [Value::Int4(class(&config.schema)), Value::Int4(number)];
    let done = connection
        .query("SELECT pg_advisory_xact_lock($1, $2)", &lock, |_| Ok(()))
        .and_then(|()| call(connection));
    match done {
        Ok(done) => connection.run("COMMIT").map(|()| done),
        Err(Failure::Lost(text)) => Err(Failure::Lost(text)),
        Err(failure) => connection.run("ROLLBACK").and(Err(failure)),
    }
}

/// The first half of the locks' numbers, which other users of the database have to let alone.
fn class(schema: &str) -> i32 {
    let hash = Sha256::digest(format!("larder storage {schema}"));
    hash.first_chunk().map_or(0, |it| i32::from_be_bytes(*it))
}

/// None if there are none, and 0 if there is only their schema.
fn version_of_shared(
    connection: &mut Connection,
    config: &Config,
) -> Result<Option<usize>, Failure> {
    let Config { schema, .. } = config;
    let mut found = (false, false);
    // `to_regnamespace` may answer from before the lock was taken.
    let asked = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
        EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'version')";
    connection.query(asked, &[Value::Text(schema)], |row| {
        found = (row.bool(0)?, row.bool(1)?);
        Ok(())
    })?;
    match found {
        (false, _) => return Ok(None),
        (true, false) => return Ok(Some(0)),
        (true, true) => {}
    }
    let mut version = 0;
    let asked = format!("SELECT number FROM {schema}.version");
    connection.query(&asked, &[], |row| {
        version = row.int4(0)?;
        Ok(())
    })?;
    known(version, SHARED.len(), schema).map(Some)
}

/// The version, if this plugin knows it.
fn known(version: i32, newest: usize, schema: &str) -> Result<usize, Failure> {
    let number = usize::try_from(version).ok().filter(|it| *it <= newest);
    number.ok_or_else(|| {
        Failure::Raised(Error::InvalidArgument(format!(
            "the tables in the schema {schema} are of version {version}, and this plugin knows none above {newest}: a newer plugin has made them, so use that one"
        )))
    })
}

fn tenant(
    connection: &mut Connection,
    config: &Config,
) -> Result<Option<(Tenant, usize)>, Failure> {
    let asked = format!(
        "SELECT id, version FROM {}.tenants WHERE name = $1",
        config.schema
    );
    let mut found = None;
    connection.query(&asked, &[Value::Text(&config.tenant)], |row| {
        found = Some((row.int4(0)?, row.int4(1)?));
        Ok(())
    })?;
    let Some((id, version)) = found else {
        return Ok(None);
    };
    let schema = format!("{}_{id}", config.schema);
    let version = known(version, TENANT.len(), &schema)?;
    Ok(Some((Tenant { id, schema }, version)))
}

fn make_shared(connection: &mut Connection, config: &Config) -> Result<(), Failure> {
    let Config { schema, .. } = config;
    let version = version_of_shared(connection, config)?;
    if version.is_none() {
        connection.run(&format!("CREATE SCHEMA {schema}"))?;
    }
    if version.is_none_or(|version| version == 0) {
        connection.run(&format!(
            "CREATE TABLE {schema}.version (number integer NOT NULL); INSERT INTO {schema}.version VALUES (0)"
        ))?;
    }
    migrate(connection, SHARED, version.unwrap_or(0), schema)?;
    let newest = SHARED.len();
    connection.run(&format!("UPDATE {schema}.version SET number = {newest}"))
}

fn make_tenant(connection: &mut Connection, config: &Config) -> Result<Tenant, Failure> {
    let shared = &config.schema;
    let insert = format!("INSERT INTO {shared}.tenants (name) VALUES ($1) ON CONFLICT DO NOTHING");
    connection.query(&insert, &[Value::Text(&config.tenant)], |_| Ok(()))?;
    let Some((tenant, version)) = tenant(connection, config)? else {
        let text = format!("the row of a tenant vanished from {shared}.tenants");
        return Err(Failure::Raised(Error::Other(text)));
    };
    let Tenant { id, schema } = &tenant;
    let mut is_there = false;
    let asked = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    connection.query(asked, &[Value::Text(schema)], |row| {
        is_there = row.bool(0)?;
        Ok(())
    })?;
    if !is_there {
        connection.run(&format!("CREATE SCHEMA {schema}"))?;
    }
    migrate(connection, TENANT, version, schema)?;
    let newest = TENANT.len();
    connection.run(&format!(
        "UPDATE {shared}.tenants SET version = {newest} WHERE id = {id}"
    ))?;
    log::debug(&format!(
        "made the tables of a tenant in the schema {schema}"
    ));
    Ok(tenant)
}

fn migrate(
    connection: &mut Connection,
    steps: &[&str],
    from: usize,
    schema: &str,
) -> Result<(), Failure> {
    for step in steps.iter().skip(from) {
        connection.run(&step.replace("$.", &format!("{schema}.")))?;
    }
    Ok(())
}

/// True if the user may make schemas in this database.
fn may_create(connection: &mut Connection) -> Result<bool, Failure> {
    let asked = "SELECT has_database_privilege(current_database(), 'CREATE')";
    let mut may = false;
    connection.query(asked, &[], |row| {
        may = row.bool(0)?;
        Ok(())
    })?;
    Ok(may)
}
