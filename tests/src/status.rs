//! Decodes the rich error details of a status (`google.rpc`).

use prost::Message;
use tonic::Status;

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    /// The reason, such as `QUERY_BUDGET`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// The domain.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// Further details, such as the name of a setting.
    #[prost(map = "string, string", tag = "3")]
    pub metadata: std::collections::HashMap<String, String>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// The minimum delay before a retry.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<prost_types::Duration>,
}

fn detail<M: Message + Default>(status: &Status, name: &str) -> Option<M> {
    let details =
        RpcStatus::decode(status.details()).expect("status details are a google.rpc.Status");
    if !details.details.is_empty() {
        assert_eq!(details.code, i32::from(status.code()), "{status:?}");
        assert_eq!(details.message, status.message(), "{status:?}");
    }
    details
        .details
        .iter()
        .find(|any| any.type_url == format!("type.googleapis.com/{name}"))
        .map(|any| M::decode(&any.value[..]).expect("a detail that decodes"))
}

/// Returns the status's `ErrorInfo`, if it has one.
pub fn error_info(status: &Status) -> Option<ErrorInfo> {
    detail(status, "google.rpc.ErrorInfo")
}

/// Returns the status's `RetryInfo`, if it has one.
pub fn retry_info(status: &Status) -> Option<RetryInfo> {
    detail(status, "google.rpc.RetryInfo")
}
