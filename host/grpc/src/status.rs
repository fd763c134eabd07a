//! Maps every failure to its gRPC status, by the table "Errors on the wire" of `host/docs/architecture.md`.
//!
//! Architecture invariant: no other module of the crate makes a `Status`.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_core::fair::Ended;
use larder_edge::access::AuthError;
use larder_edge::tenant;
use larder_model::storage::{self, ErrorKind};
use tokio::task::JoinError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Minimum delay before a retry, unless the error has its own.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Maximum bytes of a text. Longer ones are cut, as a status is sent in headers and clients limit those.
const MAX_MESSAGE: usize = 2 << 10;

/// The domain of our `google.rpc.ErrorInfo`.
const DOMAIN: &str = "larder";

/// The domain of the reasons that Jaeger defines: the API's package, as `jaeger.api_v3` for Jaeger's own.
const JAEGER_DOMAIN: &str = "jaeger.storage.v2";

/// A failed RPC.
pub(super) enum Failure<'a> {
    /// The storage failed, or the search over it.
    Storage(&'a storage::Error),
    /// The request cannot be decoded.
    Malformed {
        /// The name of the message.
        message: &'a str,
        /// The problem and its place.
        reason: &'a dyn fmt::Display,
    },
    /// The request is decoded but invalid. The text is complete.
    Invalid(&'a dyn fmt::Display),
    /// The request has more than `grpc.max_request_bytes`, before or after decompression.
    RequestTooLarge {
        /// The setting's value.
        limit: usize,
    },
    /// A request that is decoded into messages, which need dozens of times its bytes, is over its limit.
    MessageTooLarge {
        /// The limit, which no setting raises.
        limit: usize,
    },
    /// A limit of concurrency or memory is reached. The text names it.
    Overloaded(&'a dyn fmt::Display),
    /// The caller is not authenticated or lacks the right.
    Auth(&'a AuthError),
    /// The client did not send its request within `limits.request_timeout`.
    TooSlow {
        /// The setting's value.
        timeout: Duration,
    },
    /// The request has no usable tenant header.
    Tenant(tenant::HeaderError),
    /// A health check names an unknown service.
    UnknownService(&'a str),
    /// The path is not a served method.
    UnknownMethod(&'a str),
    /// A method of a reader is called on the port for writes alone.
    ReadOnWriterPort(&'a str),
    /// A bug of the server.
    Bug(&'a dyn fmt::Display),
}

/// Column of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Export,
    Read,
}

/// Source that marks a status as made here, and not by tonic.
#[derive(Debug)]
struct OwnStatus;

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

/// The status of an RPC whose task of a lane ended without an answer.
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

/// The replacement of a status that tonic made before a handler was called. `None` if tonic's own is right.
///
/// tonic answers `OUT_OF_RANGE` or `RESOURCE_EXHAUSTED` for a request over the limit, and INTERNAL for an invalid frame or
/// compression.
pub(super) fn instead_of(tonic: &Status, max_request_bytes: usize) -> Option<Status> {
    if is_own(tonic) {
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
        Failure::Storage(error) => storage_status(error, class),
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
        Failure::MessageTooLarge { limit } => over_limit(
            "REQUEST_TOO_LARGE",
            None,
            format!(
                "the request has more than {limit} bytes, the most of any but an Export: ask for less at a time"
            ),
        ),
        Failure::Overloaded(what) => retryable(what.to_string(), None, RETRY_DELAY),
        Failure::Auth(refusal) => {
            let code = match refusal {
                AuthError::Unauthenticated(_) => Code::Unauthenticated,
                AuthError::PermissionDenied(_) => Code::PermissionDenied,
            };
            plain(code, refusal.to_string())
        }
        Failure::TooSlow { timeout } => plain(
            Code::DeadlineExceeded,
            format!(
                "the request did not come whole within {timeout:?}: send less at a time, or raise limits.request_timeout"
            ),
        ),
        Failure::Tenant(refusal) => {
            let code = match refusal {
                tenant::HeaderError::Missing => Code::Unauthenticated,
                tenant::HeaderError::Extra | tenant::HeaderError::Unknown => Code::PermissionDenied,
            };
            plain(code, refusal.to_string())
        }
        Failure::UnknownService(name) => plain(
            Code::NotFound,
            format!("there is no service {name:?} on this server"),
        ),
        Failure::UnknownMethod(path) => plain(Code::Unimplemented, unknown_method(path)),
        Failure::ReadOnWriterPort(method) => plain(
            Code::Unimplemented,
            format!(
                "this port takes OTLP's TraceService alone, for writes; {method:?} is served on grpc.endpoint"
            ),
        ),
        Failure::Bug(detail) => internal(detail),
    };
    status.set_source(Arc::new(OwnStatus));
    status
}

fn storage_status(error: &storage::Error, class: Class) -> Status {
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
        // Jaeger's client takes UNIMPLEMENTED for a method that does not exist, and falls back to another.
        (ErrorKind::UnsupportedPagination, _) => detailed(
            Code::InvalidArgument,
            message,
            ErrorDetails::with_error_info("PAGINATION_UNSUPPORTED", JAEGER_DOMAIN, HashMap::new()),
        ),
        (ErrorKind::InvalidOrdering, _) => detailed(
            Code::InvalidArgument,
            message,
            ErrorDetails::with_error_info("ORDERING_INVALID", JAEGER_DOMAIN, HashMap::new()),
        ),
        (ErrorKind::ResourceExhausted, _) => {
            let delay = error.retry_after().unwrap_or(RETRY_DELAY);
            retryable(message, error.setting(), delay)
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
        // Export answers a poisonous batch with partial_success, and reads have no batches.
        (ErrorKind::Poison | ErrorKind::Internal, _) => internal(&error),
    }
}

/// The text for a path that is no method. Services that a client takes this server for are named, with what to do.
fn unknown_method(path: &str) -> String {
    let service = path.trim_start_matches('/').split('/').next();
    let service = service.unwrap_or_default();
    let is_of = |packages: &[&str]| packages.iter().any(|package| service.starts_with(package));
    if is_of(&["jaeger.storage.v1."]) {
        return format!(
            "this server has no service {service:?}, which is of version 1 of Jaeger's storage API: it serves version 2, \
             jaeger.storage.v2, and OTLP's TraceService for writes; use Jaeger 2.6.0 or later"
        );
    }
    if is_of(&["jaeger.api_v2.", "jaeger.api_v3."]) {
        return format!(
            "this server has no service {service:?}, which is of Jaeger itself: this is the storage behind it; call Jaeger's own port"
        );
    }
    if is_of(&["opentelemetry.proto.collector."]) {
        return format!(
            "this server has no method {path:?}: of OTLP it takes traces alone, with TraceService/Export"
        );
    }
    format!(
        "this server has no method {path:?}: it serves jaeger.storage.v2, OTLP's TraceService, health and reflection"
    )
}

/// The request may succeed later: the exporter retries it after the delay.
fn retryable(message: String, setting: Option<&str>, delay: Duration) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(delay));
    if let Some(setting) = setting {
        let metadata = HashMap::from([("setting".to_owned(), setting.to_owned())]);
        details.set_error_info("QUOTA_EXCEEDED", DOMAIN, metadata);
    }
    detailed(Code::ResourceExhausted, message, details)
}

/// The request fails until the setting is raised. Without `RetryInfo` OTLP clients do not retry it.
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

/// Logs the cause under an id. The client gets only the id.
fn internal(detail: &dyn fmt::Display) -> Status {
    let id = error_id();
    tracing::error!(error.id = %id, error = %detail, "internal error");
    plain(
        Code::Internal,
        format!("internal error; the server's log has its cause under the id {id}"),
    )
}

/// An id that is unique with high probability, also across restarts.
fn error_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let id = xxh3_64_with_seed(&now.as_nanos().to_le_bytes(), count);
    format!("{id:016x}")
}

fn is_own(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(<dyn std::error::Error>::is::<OwnStatus>)
}

// === impl OwnStatus ===

impl fmt::Display for OwnStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status of the table")
    }
}

impl std::error::Error for OwnStatus {}

#[cfg(test)]
mod tests;
