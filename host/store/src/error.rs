//! Errors of a [`Namespace`](super::Namespace): the cases of `kv.error` in `wit/storage.wit`.

use std::fmt;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The store cannot be reached. The same call may succeed later.
    Unavailable(String),
    /// The call may or may not have taken effect.
    OutcomeUnknown(String),
    /// The writer id has been claimed again, or the namespace was purged. The caller has to stop writing.
    Fenced,
    /// Another host that is alive writes under this id. Says who, and what to do.
    Held(String),
    /// The tenant or the disk is full.
    QuotaExceeded(String),
    /// A key, a value or the whole call exceeds its limit.
    TooLarge(String),
    /// Stored bytes cannot be read back.
    DataLoss(String),
    /// A call that can never succeed.
    Other(String),
}

impl Error {
    /// True if the same call may succeed later, without anybody changing what is configured: the store is not reached, or another host
    /// still has this one's id.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::OutcomeUnknown(_) | Self::Held(_) => true,
            Self::Fenced
            | Self::QuotaExceeded(_)
            | Self::TooLarge(_)
            | Self::DataLoss(_)
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) => write!(f, "kv is unavailable: {text}"),
            Self::OutcomeUnknown(text) => write!(f, "kv does not know the outcome: {text}"),
            Self::Fenced => f.write_str("kv is fenced: another writer has taken over"),
            Self::Held(text) => write!(f, "kv has given this host's id to another: {text}"),
            Self::QuotaExceeded(text) => write!(f, "kv is full: {text}"),
            Self::TooLarge(text) => write!(f, "too large for kv: {text}"),
            Self::DataLoss(text) => write!(f, "kv cannot read back what it stored: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
