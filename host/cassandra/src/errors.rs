//! What went wrong, in words: what it was, where, and what to do. And whether a statement may have been carried out.

use larder_store::Error;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

use crate::options::Options;

/// Why a statement has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It has not been carried out. It may succeed later.
    NotDone(String),
    /// It may or may not have been carried out.
    Unknown(String),
    /// It has not been carried out, and never will be.
    Refused(String),
}

// === impl Failure ===

impl Failure {
    /// Judges the error of a statement on this keyspace.
    pub(crate) fn of(error: &ExecutionError, keyspace: &str) -> Self {
        match error {
            ExecutionError::BadQuery(_) => Self::Refused(format!("the driver is wrong: {error}")),
            ExecutionError::RequestTimeout(after) => Self::Unknown(format!(
                "Cassandra has not answered within {} ms",
                after.as_millis()
            )),
            ExecutionError::ConnectionPoolError(pool) => Self::NotDone(pool_words(pool)),
            ExecutionError::PrepareError(error) => Self::NotDone(prepare_words(error, keyspace)),
            ExecutionError::LastAttemptError(attempt) => Self::of_attempt(attempt, keyspace),
            ExecutionError::EmptyPlan => Self::NotDone(
                "no node of the datacentre is known: check `datacenter` (`nodetool status` lists them)"
                    .to_owned(),
            ),
            _ => Self::NotDone(error.to_string()),
        }
    }

    fn of_attempt(error: &RequestAttemptError, keyspace: &str) -> Self {
        let RequestAttemptError::DbError(db, message) = error else {
            return match error {
                RequestAttemptError::UnableToAllocStreamId => Self::NotDone(
                    "too many statements are under way on one connection: lower `max_in_flight`"
                        .to_owned(),
                ),
                RequestAttemptError::SerializationError(_)
                | RequestAttemptError::CqlRequestSerialization(_) => {
                    Self::Refused(format!("the driver is wrong: {error}"))
                }
                _ => Self::Unknown(format!("the connection to Cassandra broke: {error}")),
            };
        };
        let words = db_words(db, message, keyspace);
        match db {
            // A condition is refused so before it has any effect.
            DbError::Unavailable { .. } | DbError::IsBootstrapping | DbError::Unauthorized => {
                Self::NotDone(words)
            }
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::ConfigError
            | DbError::ProtocolError => Self::Refused(words),
            _ => Self::Unknown(words),
        }
    }

    /// The words alone.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::NotDone(words) | Self::Unknown(words) | Self::Refused(words) => words,
        }
    }
}

impl From<Failure> for Error {
    /// For reads, and for writes that may be repeated.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDone(words) | Failure::Unknown(words) => Self::Unavailable(words),
            Failure::Refused(words) => Self::Other(words),
        }
    }
}

/// A result that is not what the statement asks for.
pub(crate) fn misread(error: impl std::fmt::Display) -> Error {
    Error::Other(format!(
        "Cassandra's answer has another form than the schema: {error}. Has somebody changed a table? `larder kv schema` prints them"
    ))
}

/// Why no connection came about.
pub(crate) fn connect_words(error: &NewSessionError, options: &Options) -> Error {
    let points = options.contact_points.join("`, `");
    let words = match error {
        NewSessionError::EmptyKnownNodesList => {
            return Error::Other("`contact_points` is empty: name at least one node".to_owned());
        }
        NewSessionError::FailedToResolveAnyHostname(_) => format!(
            "none of the contact points `{points}` is an address or a name that DNS knows: check `contact_points`"
        ),
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool)) => {
            let ConnectionPoolError::Broken {
                last_connection_error: last,
            } = pool
            else {
                return Error::Unavailable(unreachable_words(&points, &pool.to_string()));
            };
            match last {
                ConnectionError::ConnectionSetupRequestError(setup) => match &setup.error {
                    ConnectionSetupRequestErrorKind::DbError(
                        DbError::AuthenticationError,
                        message,
                    ) => return login_error(message, &points, options),
                    ConnectionSetupRequestErrorKind::MissingAuthentication => {
                        return Error::Other(format!(
                            "Cassandra at `{points}` wants a role and its password: set `username` and `password`"
                        ));
                    }
                    other => unreachable_words(&points, &other.to_string()),
                },
                other => unreachable_words(&points, &other.to_string()),
            }
        }
        other => unreachable_words(&points, &other.to_string()),
    };
    Error::Unavailable(words)
}

/// Cassandra does not let this host in. It answers so too while it cannot read the roles.
fn login_error(message: &str, points: &str, options: &Options) -> Error {
    let role = options.username.as_deref().unwrap_or_default();
    if message.contains("incorrect") {
        return Error::Other(format!(
            "Cassandra at `{points}` does not accept the password of the role `{role}`: check `username` and `password`"
        ));
    }
    Error::Unavailable(format!(
        "Cassandra at `{points}` cannot judge the password of the role `{role}` now: {message}"
    ))
}

fn unreachable_words(points: &str, why: &str) -> String {
    format!(
        "no Cassandra node can be used at `{points}`: {why}. Does it run, is the port that of `native_transport_port`, is a firewall in between, and does `tls` fit what the node speaks?"
    )
}

fn pool_words(error: &ConnectionPoolError) -> String {
    match error {
        ConnectionPoolError::Broken {
            last_connection_error,
        } => format!("no Cassandra node can be reached: {last_connection_error}"),
        _ => format!("no Cassandra node can be reached: {error}"),
    }
}

/// Why a statement cannot be prepared.
pub(crate) fn prepare_words(error: &PrepareError, keyspace: &str) -> String {
    match error {
        PrepareError::AllAttemptsFailed {
            first_attempt: RequestAttemptError::DbError(db, message),
        } => db_words(db, message, keyspace),
        PrepareError::ConnectionPoolError(pool) => pool_words(pool),
        _ => error.to_string(),
    }
}

/// An error that Cassandra has answered with.
fn db_words(error: &DbError, message: &str, keyspace: &str) -> String {
    match error {
        DbError::Unavailable {
            consistency,
            required,
            alive,
        } => format!(
            "Cassandra has no quorum for keyspace `{keyspace}`: {consistency} needs {required} live replicas, and there are {alive}. Start the nodes that are down (`nodetool status` lists them)"
        ),
        DbError::Unauthorized => format!(
            "the role of this host lacks a right: {message}. A DBA has to run GRANT SELECT, MODIFY ON KEYSPACE \"{keyspace}\" TO the role"
        ),
        DbError::Overloaded => format!("Cassandra is overloaded: {message}"),
        DbError::WriteTimeout {
            received, required, ..
        }
        | DbError::ReadTimeout {
            received, required, ..
        } => format!(
            "Cassandra has not answered in time for keyspace `{keyspace}`: {received} of {required} replicas have. Are nodes down or overloaded (`nodetool status`, `nodetool tpstats`)?"
        ),
        _ => format!("Cassandra refuses a statement on keyspace `{keyspace}`: {error}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;
    use crate::options::tests::options;

    fn failure(error: DbError) -> Failure {
        let attempt = RequestAttemptError::DbError(error, "said Cassandra".to_owned());
        Failure::of(&attempt.into(), "larder")
    }

    #[test]
    fn a_missing_quorum_is_told_with_numbers() {
        let failure = failure(DbError::Unavailable {
            consistency: Consistency::LocalQuorum,
            required: 2,
            alive: 1,
        });
        assert!(matches!(failure, Failure::NotDone(_)), "{failure:?}");
        let words = failure.words();
        assert!(
            words.contains("needs 2 live replicas, and there are 1"),
            "{words}"
        );
        assert!(words.contains("nodetool status"), "{words}");
    }

    #[test]
    fn only_a_statement_that_was_surely_not_carried_out_is_not_done() {
        let timeout = failure(DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type: WriteType::Cas,
        });
        assert!(matches!(timeout, Failure::Unknown(_)));
        assert!(matches!(
            failure(DbError::Other(0x1700)),
            Failure::Unknown(_)
        ));
        let late = Failure::of(&ExecutionError::RequestTimeout(Duration::from_secs(1)), "k");
        assert!(matches!(late, Failure::Unknown(_)));
    }

    #[test]
    fn a_missing_right_names_the_grant() {
        let words = failure(DbError::Unauthorized);
        assert!(
            words
                .words()
                .contains("GRANT SELECT, MODIFY ON KEYSPACE \"larder\"")
        );
        assert!(matches!(Error::from(words), Error::Unavailable(_)));
    }

    #[test]
    fn a_wrong_password_is_told_from_roles_that_cannot_be_read() {
        let wrong = "Provided username u and/or password are incorrect";
        let wrong = login_error(wrong, "n:1", &options());
        assert!(matches!(wrong, Error::Other(words) if words.contains("`n:1`")));
        let later = "Unable to perform authentication: Cannot achieve consistency level QUORUM";
        assert!(login_error(later, "n:1", &options()).may_pass());
    }

    #[test]
    fn an_unreachable_node_is_named() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let pool = ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::IoError(Arc::new(refused)),
        };
        let error = NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool));
        let Error::Unavailable(words) = connect_words(&error, &options()) else {
            panic!("not unavailable")
        };
        assert!(words.contains("`127.0.0.1:9042`"), "{words}");
        assert!(words.contains("refused"), "{words}");
    }
}
