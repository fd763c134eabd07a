//! The connection to the cluster, and the keyspace with its tables.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use larder_store::Error;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::cluster::ClusterState;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{
    DefaultPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy,
};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use tracing::{info, warn};

use crate::db::{Db, row, rows};
use crate::errors::{Failure, connect_words, misread};
use crate::options::{DEFAULT_COPIES, Options};
use crate::schema::{self, TABLES, VERSION};
use crate::statements::Statements;

/// Time for a change of the schema to reach all nodes.
const SCHEMA_TIMEOUT: Duration = Duration::from_mins(1);
/// Cassandra gives up on a write after two seconds. One that this host gives up on earlier may still be applied.
const LEAST_ATTEMPT: Duration = Duration::from_millis(2500);

/// Connects, makes or checks the schema, and prepares the statements.
pub(crate) async fn connect(mut options: Options) -> Result<Arc<Db>, Error> {
    schema::check_keyspace_name(&options.keyspace)?;
    check_host(&options)?;
    let attempt = (options.timeout / 3)
        .max(LEAST_ATTEMPT)
        .min(options.timeout);
    let base = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(attempt))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .build();
    let mut writes = base.clone().into_handle_with_label("writes".to_owned());
    let session = session(&options, &writes).await?;
    let datacenter = datacenter(&options, &session)?;
    let balancing = DefaultPolicy::builder()
        .prefer_datacenter(datacenter.clone())
        .token_aware(true)
        .permit_dc_failover(false)
        .build();
    options.datacenter = Some(datacenter);
    let near = base.to_builder().load_balancing_policy(balancing).build();
    let mut reads = near
        .to_builder()
        .retry_policy(Arc::new(DefaultRetryPolicy::new()));
    if let Some(after) = options.speculative_after {
        let policy = SimpleSpeculativeExecutionPolicy {
            max_retry_count: 1,
            retry_interval: after,
        };
        reads = reads.speculative_execution_policy(Some(Arc::new(policy)));
    }
    let reads = reads.build().into_handle_with_label("reads".to_owned());
    writes.map_to_another_profile(near);
    make_schema(&options, &session).await?;
    let statements = Statements::prepare(&session, &options.keyspace, &reads).await?;
    Ok(Db::new(options, session, statements))
}

fn check_host(options: &Options) -> Result<(), Error> {
    if options.host.is_empty() {
        return Err(Error::Other(
            "this host has no writer id: give it one that no other host has".to_owned(),
        ));
    }
    Ok(())
}

async fn session(
    options: &Options,
    profile: &scylla::client::execution_profile::ExecutionProfileHandle,
) -> Result<Session, Error> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile.clone())
        .keyspaces_to_fetch([options.keyspace.as_str()])
        .connection_timeout(options.timeout)
        .schema_agreement_timeout(SCHEMA_TIMEOUT);
    if let Some(user) = &options.username {
        builder = builder.user(user, options.password.as_deref().unwrap_or_default());
    }
    if let Some(tls) = &options.tls {
        builder = with_tls(builder, tls)?;
    }
    let session = builder.build().await;
    session.map_err(|error| connect_words(&error, options))
}

#[cfg(feature = "tls")]
fn with_tls(builder: SessionBuilder, tls: &crate::options::Tls) -> Result<SessionBuilder, Error> {
    Ok(builder.tls_context(Some(crate::tls::config(tls)?)))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_builder: SessionBuilder, _tls: &crate::options::Tls) -> Result<SessionBuilder, Error> {
    let text = "this build of the driver cannot speak TLS: it was built without the feature `tls`";
    Err(Error::Other(text.to_owned()))
}

/// The datacentre to use: the one of the options, if it has nodes, or that of a contact point.
fn datacenter(options: &Options, session: &Session) -> Result<String, Error> {
    let cluster = session.get_cluster_state();
    let nodes = cluster.get_nodes_info();
    let mut names: Vec<&str> = nodes
        .iter()
        .filter_map(|node| node.datacenter.as_deref())
        .collect();
    names.sort_unstable();
    names.dedup();
    if let Some(wanted) = &options.datacenter {
        if names.contains(&wanted.as_str()) {
            return Ok(wanted.clone());
        }
        return Err(Error::Other(format!(
            "the cluster has no datacentre `{wanted}`, only `{}`: check `datacenter`",
            names.join("`, `")
        )));
    }
    // A contact point's address is kept as it was given; addresses of other nodes come from the cluster.
    let is_contact = |node: &scylla::cluster::Node| {
        matches!(node.address, scylla::cluster::NodeAddr::Untranslatable(_))
    };
    let mut nodes: Vec<_> = nodes.iter().collect();
    nodes.sort_by_key(|node| (!is_contact(node), node.host_id));
    let first = nodes.iter().find_map(|node| node.datacenter.clone());
    let first = first.ok_or_else(|| {
        Error::Unavailable("no node tells its datacentre: set `datacenter`".to_owned())
    })?;
    if names.len() > 1 {
        warn!(
            datacenter = first,
            known = names.join(", "),
            "the datacentre of the first node is used; all hosts have to use one: set `datacenter`"
        );
    }
    Ok(first)
}

/// Makes what is missing of the schema, or tells what is.
async fn make_schema(options: &Options, session: &Session) -> Result<(), Error> {
    if let Some(missing) = missing(options, session).await? {
        if !options.create_schema {
            return Err(Error::Other(format!(
                "{missing} A DBA has to run it, or everything that `larder kv schema` prints; or let this host do it by `create_schema`"
            )));
        }
        create(options, session).await?;
    }
    match version(options, session).await? {
        // A host that made the schema did not live to finish it.
        None if options.create_schema => {
            create(options, session).await?;
            check_version(options, version(options, session).await?)
        }
        version => check_version(options, version),
    }
}

/// What is missing of the schema, in words.
async fn missing(options: &Options, session: &Session) -> Result<Option<String>, Error> {
    let keyspace = &options.keyspace;
    let found =
        "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?";
    let found = local(session, found, (keyspace,)).await?;
    let columns: HashMap<(String, String), String> = rows::<(String, String, String)>(found)?
        .into_iter()
        .map(|(table, column, kind)| ((table, column), kind))
        .collect();
    if columns.is_empty() {
        let found = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let found = local(session, found, (keyspace,)).await?;
        if row::<(String,)>(found)?.is_none() {
            return Ok(Some(format!(
                "the keyspace `{keyspace}` is missing; run: {};",
                schema::create_keyspace(options)
            )));
        }
    }
    for table in TABLES {
        let has = |column: &str| {
            let key = (table.name.to_owned(), column.to_owned());
            columns.get(&key).cloned()
        };
        if let Some(fault) = table.fault(keyspace, has) {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// Executes a read of what every node has.
async fn local(
    session: &Session,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<scylla::response::query_result::QueryResult, Error> {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::One);
    statement.set_is_idempotent(true);
    let found = session.query_unpaged(statement, values).await;
    found.map_err(|error| Failure::of(&error, "system_schema").into())
}

async fn create(options: &Options, session: &Session) -> Result<(), Error> {
    let cluster = session.get_cluster_state();
    check_copies(options, session, &cluster).await?;
    // Two nodes that make one table at the same time make two of it. All hosts ask the same node, which does one thing after the other.
    let nodes = cluster.get_nodes_info();
    let live = nodes.iter().filter(|node| node.is_connected());
    let Some(node) = live.min_by_key(|node| node.host_id) else {
        return Err(Error::Unavailable(
            "no Cassandra node is connected".to_owned(),
        ));
    };
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(SCHEMA_TIMEOUT))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .load_balancing_policy(SingleTargetLoadBalancingPolicy::new(
            NodeIdentifier::HostId(node.host_id),
            None,
        ))
        .build()
        .into_handle();
    for text in schema::statements(options) {
        let mut statement = Statement::new(text.as_str());
        statement.set_execution_profile_handle(Some(profile.clone()));
        let done = session.query_unpaged(statement, ()).await;
        done.map_err(|error| create_error(&error, &text, options))?;
    }
    info!(keyspace = options.keyspace, "the schema has been made");
    Ok(())
}

fn create_error(error: &ExecutionError, statement: &str, options: &Options) -> Error {
    if let ExecutionError::LastAttemptError(RequestAttemptError::DbError(
        DbError::Unauthorized,
        message,
    )) = error
    {
        return Error::Other(format!(
            "the role `{}` may not make the schema: {message}. A DBA has to run it: {statement}; and everything else that `larder kv schema` prints",
            options.username.as_deref().unwrap_or_default()
        ));
    }
    let failure = Failure::of(error, &options.keyspace);
    match Error::from(failure) {
        Error::Other(words) => Error::Other(format!("{words}; it was: {statement};")),
        other => other,
    }
}

/// Refuses to make a keyspace with more copies than there are nodes: it could never reach a quorum.
async fn check_copies(
    options: &Options,
    session: &Session,
    cluster: &ClusterState,
) -> Result<(), Error> {
    let keyspace = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = local(session, keyspace, (&options.keyspace,)).await?;
    if row::<(String,)>(found)?.is_some() {
        return Ok(());
    }
    let mut replication = options.replication.clone();
    let datacenter = options.datacenter.clone().unwrap_or_default();
    if replication.is_empty() {
        replication.insert(datacenter.clone(), DEFAULT_COPIES);
    }
    if !replication.contains_key(&datacenter) {
        return Err(Error::Other(format!(
            "`replication` has no copies in the datacentre `{datacenter}`, which is used"
        )));
    }
    for (datacenter, copies) in &replication {
        let is_there =
            |node: &&Arc<scylla::cluster::Node>| node.datacenter.as_ref() == Some(datacenter);
        let nodes = cluster.get_nodes_info().iter().filter(is_there).count();
        if usize::try_from(*copies).is_ok_and(|copies| copies > nodes) {
            return Err(Error::Other(format!(
                "{copies} copies are wanted in the datacentre `{datacenter}`, which has {nodes} nodes: add nodes, or set `replication` to `{datacenter}: {nodes}`, with which data may be lost when a node is"
            )));
        }
    }
    Ok(())
}

async fn version(options: &Options, session: &Session) -> Result<Option<i32>, Error> {
    let keyspace = &options.keyspace;
    let mut statement = Statement::new(format!(
        "SELECT version FROM \"{keyspace}\".meta WHERE k = 0"
    ));
    statement.set_consistency(Consistency::LocalSerial);
    statement.set_is_idempotent(true);
    let found = session.query_unpaged(statement, ()).await;
    let found = found.map_err(|error| Error::from(Failure::of(&error, keyspace)))?;
    Ok(row::<(Option<i32>,)>(found)?.and_then(|(version,)| version))
}

/// Refuses a schema of a newer release.
fn check_version(options: &Options, version: Option<i32>) -> Result<(), Error> {
    let keyspace = &options.keyspace;
    match version {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(Error::Other(format!(
            "the keyspace `{keyspace}` has version {newer} of the schema, and this release knows version {VERSION}: a newer release has changed it; use that one"
        ))),
        Some(other) => Err(misread(format!(
            "version {other} of the schema was never used"
        ))),
        None => Err(Error::Other(format!(
            "the keyspace `{keyspace}` has no version of the schema. A DBA has to run: INSERT INTO \"{keyspace}\".meta (k, version) VALUES (0, {VERSION}) IF NOT EXISTS;"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    #[test]
    fn only_the_schema_of_this_release_is_used() {
        let options = options();
        assert_eq!(check_version(&options, Some(VERSION)), Ok(()));
        let newer = check_version(&options, Some(VERSION + 1));
        assert!(matches!(newer, Err(Error::Other(text)) if text.contains("a newer release")));
        let none = check_version(&options, None);
        assert!(
            matches!(none, Err(Error::Other(text)) if text.contains("INSERT INTO \"larder\".meta"))
        );
    }
}
