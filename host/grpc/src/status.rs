//! Every failure's gRPC status, by the table "Errors on the wire" of `host/docs/architecture.md`.
//!
//! Architecture invariant: no other module of the crate makes a `Status`.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_core::fair::Ended;
use larder_edge::access::Refusal;
use larder_edge::tenant;
use larder_model::storage::{self, ErrorKind};
use tokio::task::JoinError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How long a client waits at the least before it repeats what did not fit, unless it is known when it will.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A status travels in headers, which clients limit: a longer text is cut.
const MAX_MESSAGE: usize = 2 << 10;

/// The domain of our `google.rpc.ErrorInfo`.
const DOMAIN: &str = "larder";

/// The domain of reasons that Jaeger gave a meaning: the API's package, as `jaeger.api_v3` is for Jaeger's own.
const JAEGER_DOMAIN: &str = "jaeger.storage.v2";

/// What went wrong.
pub(super) enum Failure<'a> {
    /// The storage, or the search over it.
    Storage(&'a storage::Error),
    /// The request cannot be read.
    Malformed {
        /// The message's name, or what else was sent.
        message: &'a str,
        /// What is wrong with it, and where.
        reason: &'a dyn fmt::Display,
    },
    /// The request can be read and is wrong; the text says all.
    Invalid(&'a dyn fmt::Display),
    /// The request has more than `grpc.max_request_bytes`, before or after decompression.
    RequestTooLarge {
        /// The setting's value.
        limit: usize,
    },
    /// A request that is read into messages, which take up dozens of times its bytes, has more than these.
    QuestionTooLarge {
        /// The bound, which no setting raises.
        limit: usize,
    },
    /// There is more at a time than a bound of ours allows; the text says of what.
    Overloaded(&'a dyn fmt::Display),
    /// Who calls may not do this.
    Refused(&'a Refusal),
    /// The client did not send its request within `limits.request_timeout`.
    TooSlow {
        /// The setting's value.
        timeout: Duration,
    },
    /// The request does not name its tenant, or not one that it may name.
    NoTenant(tenant::Refusal),
    /// A health check names a service that is not ours.
    UnknownService(&'a str),
    /// The path is no method that is served.
    UnknownMethod(&'a str),
    /// Our own bug.
    Bug(&'a dyn fmt::Display),
}

/// Which column of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Export,
    Read,
}

/// Marks a status as made here, and not by tonic.
#[derive(Debug)]
struct Ours;

/// The status of a failed Export.
pub(super) fn export(failure: &Failure<'_>) -> Status {
    status(failure, Class::Export)
}

/// The status of any other failed RPC.
pub(super) fn read(failure: &Failure<'_>) -> Status {
    status(failure, Class::Read)
}

/// The status of a read whose storage failed.
pub(super) fn read_storage(error: &storage::Error) -> Status {
    read(&Failure::Storage(error))
}

/// The status of an RPC whose handler panicked with `payload`.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> Status {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    read(&Failure::Bug(&format_args!("panic: {text}")))
}

/// The status of an RPC whose task ended without an answer: by a panic, or because the server is stopping.
pub(super) fn task_failed(error: JoinError) -> Status {
    match error.try_into_panic() {
        Ok(payload) => panicked(&*payload),
        Err(_cancelled) => stopping(),
    }
}

/// The same for a task of a lane.
pub(super) fn ended(ended: &Ended) -> Status {
    match ended {
        Ended::Panicked(payload) => panicked(&**payload),
        Ended::Stopped => stopping(),
    }
}

fn stopping() -> Status {
    read(&Failure::Storage(&storage::Error::new(
        ErrorKind::Unavailable,
        "the server is shutting down",
    )))
}

/// What stands for a status that tonic made itself before a handler was called; `None` where tonic's own is right.
///
/// tonic answers `OUT_OF_RANGE` or `RESOURCE_EXHAUSTED` for a request over the limit, and INTERNAL for a frame or a compression
/// that cannot be read.
pub(super) fn instead_of(tonic: &Status, max_request_bytes: usize) -> Option<Status> {
    if is_ours(tonic) {
        return None;
    }
    match tonic.code() {
        Code::OutOfRange | Code::ResourceExhausted => Some(read(&Failure::RequestTooLarge {
            limit: max_request_bytes,
        })),
        Code::Internal => Some(read(&Failure::Malformed {
            message: "request",
            reason: &tonic.message(),
        })),
        _ => None,
    }
}

/// The code's name in `rpc.response.status_code`.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The table.
fn status(failure: &Failure<'_>, class: Class) -> Status {
    let mut status = match *failure {
        Failure::Storage(error) => of_storage(error, class),
        Failure::Malformed { message, reason } => plain(
            Code::InvalidArgument,
            format!("malformed {message}: {reason}"),
        ),
        Failure::Invalid(text) => plain(Code::InvalidArgument, text.to_string()),
        Failure::RequestTooLarge { limit } => over_limit(
            "REQUEST_TOO_LARGE",
            Some("grpc.max_request_bytes"),
            format!(
                "the request has more than {limit} bytes: send less at a time, or raise grpc.max_request_bytes"
            ),
        ),
        Failure::QuestionTooLarge { limit } => over_limit(
            "REQUEST_TOO_LARGE",
            None,
            format!(
                "the request has more than {limit} bytes, the most of any but an Export: ask for less at a time"
            ),
        ),
        Failure::Overloaded(what) => try_later(what.to_string(), None, RETRY_DELAY),
        Failure::Refused(refusal) => {
            let code = match refusal {
                Refusal::Unauthenticated(_) => Code::Unauthenticated,
                Refusal::Denied(_) => Code::PermissionDenied,
            };
            plain(code, refusal.to_string())
        }
        Failure::TooSlow { timeout } => plain(
            Code::DeadlineExceeded,
            format!(
                "the request did not come whole within {timeout:?}: send less at a time, or raise limits.request_timeout"
            ),
        ),
        Failure::NoTenant(refusal) => {
            let code = match refusal {
                tenant::Refusal::Missing => Code::Unauthenticated,
                tenant::Refusal::Extra | tenant::Refusal::Unknown => Code::PermissionDenied,
            };
            plain(code, refusal.to_string())
        }
        Failure::UnknownService(name) => plain(
            Code::NotFound,
            format!("there is no service {name:?} on this server"),
        ),
        Failure::UnknownMethod(path) => plain(
            Code::Unimplemented,
            format!(
                "this server has no method {path:?}: it serves jaeger.storage.v2, OTLP's TraceService, health and reflection"
            ),
        ),
        Failure::Bug(detail) => internal(detail),
    };
    status.set_source(Arc::new(Ours));
    status
}

fn of_storage(error: &storage::Error, class: Class) -> Status {
    let message = error.message().to_owned();
    match (error.kind(), class) {
        (ErrorKind::InvalidArgument, _) => plain(Code::InvalidArgument, message),
        (ErrorKind::InvalidFilter, _) => detailed(
            Code::InvalidArgument,
            message,
            ErrorDetails::with_error_info("FILTER_INVALID", JAEGER_DOMAIN, HashMap::new()),
        ),
        (ErrorKind::InvalidPagination, _) => detailed(
            Code::InvalidArgument,
            message,
            ErrorDetails::with_error_info("PAGINATION_INVALID", JAEGER_DOMAIN, HashMap::new()),
        ),
        (ErrorKind::Unsupported, _) => detailed(
            Code::Unimplemented,
            message,
            ErrorDetails::with_error_info("PAGINATION_UNSUPPORTED", JAEGER_DOMAIN, HashMap::new()),
        ),
        (ErrorKind::ResourceExhausted, _) => {
            let delay = error.retry_after().unwrap_or(RETRY_DELAY);
            try_later(message, error.setting(), delay)
        }
        (ErrorKind::QueryBudget, _) => over_limit("QUERY_BUDGET", error.setting(), message),
        (ErrorKind::AnswerTooLarge, _) => over_limit("ANSWER_TOO_LARGE", error.setting(), message),
        (ErrorKind::Unavailable, _) | (ErrorKind::ContractBroken, Class::Export) => {
            plain(Code::Unavailable, message)
        }
        (ErrorKind::ContractBroken, Class::Read) => plain(Code::Internal, message),
        (ErrorKind::DataLoss, _) => {
            tracing::error!(%error, "stored spans cannot be read back");
            plain(Code::DataLoss, message)
        }
        // Export answers a poisonous batch with partial_success, and a read has none.
        (ErrorKind::Poison | ErrorKind::Internal, _) => internal(&error),
    }
}

/// The same request may work later: the exporter repeats it after the delay.
fn try_later(message: String, setting: Option<&str>, delay: Duration) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(delay));
    if let Some(setting) = setting {
        let metadata = HashMap::from([("setting".to_owned(), setting.to_owned())]);
        details.set_error_info("QUOTA_EXCEEDED", DOMAIN, metadata);
    }
    detailed(Code::ResourceExhausted, message, details)
}

/// The same request never works, unless the setting is raised: without `RetryInfo`, OTLP clients do not repeat it.
fn over_limit(reason: &str, setting: Option<&str>, message: String) -> Status {
    let metadata = setting
        .map(|setting| ("setting".to_owned(), setting.to_owned()))
        .into_iter()
        .collect::<HashMap<_, _>>();
    detailed(
        Code::ResourceExhausted,
        message,
        ErrorDetails::with_error_info(reason, DOMAIN, metadata),
    )
}

fn plain(code: Code, message: String) -> Status {
    Status::new(code, cut(message))
}

fn detailed(code: Code, message: String, details: ErrorDetails) -> Status {
    Status::with_error_details(code, cut(message), details)
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

/// What went wrong stays in the log; the client gets the id under which to find it there.
fn internal(detail: &dyn fmt::Display) -> Status {
    let id = error_id();
    tracing::error!(error.id = %id, error = %detail, "internal error");
    plain(
        Code::Internal,
        format!("internal error; the server's log has its cause under the id {id}"),
    )
}

/// An id that hardly repeats, also after a restart.
fn error_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let id = xxh3_64_with_seed(&now.as_nanos().to_le_bytes(), count);
    format!("{id:016x}")
}

fn is_ours(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(<dyn std::error::Error>::is::<Ours>)
}

// === impl Ours ===

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status of the table")
    }
}

impl std::error::Error for Ours {}

#[cfg(test)]
mod tests;
