//! What can go wrong with a server, and what the host is told of it.

use std::fmt;

use fallible_iterator::FallibleIterator as _;
use larder_plugin::Error;
use postgres_protocol::message::backend::ErrorResponseBody;

/// Why a statement has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection is lost, or what came over it is not PostgreSQL's protocol.
    Lost(String),
    /// The server has refused it. The connection stays.
    Server(ServerError),
    /// The plugin cannot go on with what the server has answered, or with what it was asked.
    Raised(Error),
}

/// An error that the server tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// SQLSTATE
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: String,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn data_loss(text: impl Into<String>) -> Self {
        Self::Raised(Error::DataLoss(text.into()))
    }

    /// True where the tables are not there any more: retention or a purge, by whatever host, has dropped them.
    pub(crate) fn is_missing(&self) -> bool {
        // undefined_table, invalid_schema_name
        self.has_code(&["42P01", "3F000"])
    }

    /// True where the transaction only has to be run again.
    pub(crate) fn is_conflict(&self) -> bool {
        // serialization_failure, deadlock_detected
        self.has_code(&["40001", "40P01"])
    }

    /// True where a lock was not to be had in time.
    pub(crate) fn is_locked(&self) -> bool {
        self.has_code(&["55P03"])
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Server(error) if codes.contains(&error.code.as_str()))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let text = match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                "it did not answer in time".to_owned()
            }
            _ => error.to_string(),
        };
        Self::Lost(text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Raised(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(text) => Self::Unavailable(format!(
                "the connection to PostgreSQL failed: {text}; the next call connects again"
            )),
            Failure::Server(error) => error.into(),
            Failure::Raised(error) => error,
        }
    }
}

// === impl ServerError ===

impl ServerError {
    /// Never fails: a text that is not UTF-8, or a message that ends early, is told as far as it goes.
    pub(crate) fn new(body: &ErrorResponseBody) -> Self {
        let mut error = Self::default();
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = text(),
                b'M' => error.message = text(),
                b'D' => error.detail = text(),
                _ => {}
            }
        }
        error
    }

    /// What the operator can do, for the codes that are told most.
    fn advice(&self) -> &'static str {
        match self.code.as_str() {
            "53300" => {
                "; every instance has a connection: raise `max_connections`, or lower `tenancy.idle_timeout`, after which a tenant has none"
            }
            "57014" => {
                "; it took longer than the setting `statement_timeout`, or somebody cancelled it"
            }
            "42501" => {
                "; see \"A role without CREATE\" in the plugin's README for what a database administrator runs once"
            }
            "25006" => "; this server is a standby: give the plugin the primary's address",
            "28P01" => {
                "; the password is that of the variable PGPASSWORD, which the grant `env` hands over when Larder opens the plugin: after a change of it, restart Larder"
            }
            "28000" => "; pg_hba.conf has to let this user in, from this address",
            "3D000" => "; create it: CREATE DATABASE",
            "53100" => "; the server's disk is full",
            _ => "",
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL: {} ({}", self.message, self.code)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, "){}", self.advice())
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        let text = error.to_string();
        let class = error.code.get(..2).unwrap_or_default();
        match (class, error.code.as_str()) {
            ("28", _) | (_, "3D000") => Self::InvalidArgument(text),
            (_, "53100" | "53200") => Self::ResourceExhausted(text),
            ("XX", "XX001" | "XX002") => Self::DataLoss(text),
            // Connections, operator intervention, too many connections, conflicts, locks, a standby, no such tables any more.
            ("08" | "40" | "53" | "57", _) | (_, "55P03" | "25006" | "42P01" | "3F000") => {
                Self::Unavailable(text)
            }
            _ => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str) -> Error {
        let error = ServerError {
            code: code.to_owned(),
            message: "it is so".to_owned(),
            detail: "very much".to_owned(),
        };
        error.into()
    }

    #[test]
    fn the_kind_says_if_trying_again_helps() {
        for (code, is_unavailable) in [
            ("57P01", true),
            ("57P03", true),
            ("08006", true),
            ("53300", true),
            ("40P01", true),
            ("25006", true),
            ("57014", true),
            ("42601", false),
            ("23505", false),
            ("", false),
        ] {
            let is = matches!(told(code), Error::Unavailable(_));
            assert_eq!(is, is_unavailable, "{code}");
        }
        assert!(matches!(told("53100"), Error::ResourceExhausted(_)));
        assert!(matches!(told("28P01"), Error::InvalidArgument(_)));
        assert!(matches!(told("XX001"), Error::DataLoss(_)));
    }

    #[test]
    fn the_text_has_the_servers_words_the_code_and_what_to_do() {
        let Error::Unavailable(text) = told("53300") else {
            unreachable!("unavailable");
        };
        for part in ["it is so", "very much", "53300", "max_connections"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
