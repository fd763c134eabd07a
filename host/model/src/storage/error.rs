//! Errors of [`Storage`](super::Storage): a coarse kind for callers, and a message for people.

use std::fmt;
use std::time::Duration;

/// Kind of an [`Error`], by what a caller can do about it. `grpc/status.rs` maps each kind to a code, as the table "Errors on the wire"
/// in `host/docs/architecture.md` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can never succeed; the message says what to change.
    InvalidArgument,
    /// The query's structured filter is invalid or not supported; the message says which part of it.
    InvalidFilter,
    /// The query's paging is invalid; the message says why.
    InvalidPagination,
    /// The query continues a page, and page tokens are turned off; the message names the setting.
    UnsupportedPagination,
    /// The query's ordering of spans is invalid; the message says which part of it.
    InvalidOrdering,
    /// A queue, a quota or a disk is full. The same call may succeed later.
    ResourceExhausted,
    /// A query exceeded its budget; the message names the setting that raises it.
    QueryBudget,
    /// The answer cannot be cut below the message limit; the message names the setting.
    AnswerTooLarge,
    /// A trap, a deadline, a restart or a shutdown. The same call may succeed later.
    Unavailable,
    /// The plugin broke the contract; its answer was not used.
    ContractBroken,
    /// The batch traps the plugin every time, also alone. It will never be stored.
    Poison,
    /// Stored bytes cannot be read back.
    DataLoss,
    /// A bug in Larder.
    Internal,
}

impl ErrorKind {
    /// The value in logs and of the metric attribute `error.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidFilter => "invalid_filter",
            Self::InvalidPagination => "invalid_pagination",
            Self::UnsupportedPagination => "unsupported_pagination",
            Self::InvalidOrdering => "invalid_ordering",
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
    is_void: bool,
}

impl Error {
    /// Creates an error. `message` says what is wrong, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            setting: None,
            retry_after: None,
            is_void: false,
        }
    }

    /// Adds the setting that raises the exceeded limit, written as in the configuration file, such as
    /// `limits.query_timeout`. For [`ErrorKind::QueryBudget`], [`ErrorKind::AnswerTooLarge`] and [`ErrorKind::ResourceExhausted`].
    #[must_use]
    pub fn with_setting(mut self, setting: &'static str) -> Self {
        self.setting = Some(setting);
        self
    }

    /// Adds the delay after which the same call may succeed. For [`ErrorKind::ResourceExhausted`].
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Says of a failed write that nothing of its batch is stored, or that nobody will ever read it. Made anew of the same request, as the
    /// tenant's dictionary may be another, it may be written at once.
    #[must_use]
    pub fn of_void_write(mut self) -> Self {
        self.is_void = true;
        self
    }

    /// Whether this is an [`Error::of_void_write`].
    pub fn is_of_void_write(&self) -> bool {
        self.is_void
    }

    /// Delay after which the same call may succeed, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The setting that raises the exceeded limit.
    pub fn setting(&self) -> Option<&'static str> {
        self.setting
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message.
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
