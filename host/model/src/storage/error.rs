//! Why a call on a [`Storage`](super::Storage) failed: one coarse kind for callers, and a message for people.

use std::fmt;
use std::time::Duration;

/// What a caller can do about an [`Error`]. `grpc/status.rs` maps each to a code, by the table "Errors on the
/// wire" of `host/docs/architecture.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can never work; the message says what to change.
    InvalidArgument,
    /// The query's structured filter is invalid or not supported; the message says which part of it.
    InvalidFilter,
    /// The query's paging is invalid; the message says why.
    InvalidPagination,
    /// The query asks for what is turned off; the message names the setting.
    Unsupported,
    /// A queue, a quota or a disk is full. The same call may work later.
    ResourceExhausted,
    /// A query ran into its budget; the message names the setting that raises it.
    QueryBudget,
    /// The answer cannot be cut below the message limit; the message names the setting.
    AnswerTooLarge,
    /// A trap, a deadline, a restart or a shutdown. The same call may work later.
    Unavailable,
    /// The guest broke the contract: its answer was not used.
    ContractBroken,
    /// This batch traps the plugin, alone and every time: it will never be stored.
    Poison,
    /// Stored bytes cannot be read back.
    DataLoss,
    /// Our own bug.
    Internal,
}

impl ErrorKind {
    /// The word for logs and the `error.type` label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidFilter => "invalid_filter",
            Self::InvalidPagination => "invalid_pagination",
            Self::Unsupported => "unsupported",
            Self::ResourceExhausted => "resource_exhausted",
            Self::QueryBudget => "query_budget",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Unavailable => "unavailable",
            Self::ContractBroken => "contract_broken",
            Self::Poison => "poison",
            Self::DataLoss => "data_loss",
            Self::Internal => "internal",
        }
    }
}

/// A failed call on a [`Storage`](super::Storage).
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    setting: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of `kind`; `message` says what was wrong, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            setting: None,
            retry_after: None,
        }
    }

    /// Names the setting that raises the limit which was reached, as the configuration file writes it:
    /// `limits.query_timeout`. For [`ErrorKind::QueryBudget`], [`ErrorKind::AnswerTooLarge`] and [`ErrorKind::ResourceExhausted`].
    #[must_use]
    pub fn with_setting(mut self, setting: &'static str) -> Self {
        self.setting = Some(setting);
        self
    }

    /// Says when the same call is taken at the soonest, where that is known. For [`ErrorKind::ResourceExhausted`].
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// When the same call is taken at the soonest, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The setting that raises the limit which was reached.
    pub fn setting(&self) -> Option<&'static str> {
        self.setting
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
