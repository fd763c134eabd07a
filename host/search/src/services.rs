//! Services and operations, sorted (O1, O2). Of lists that fit no message the most recently written are kept, as the plugin orders them.

use larder_model::storage::{Error, Storage};
use larder_proto::otlp::EMPTY_SPAN_NAME;
use larder_proto::storage::v2::{GetOperationsRequest, Operation};
use prost::Message as _;

use super::omission::Omission;

/// Services except the empty name, sorted.
pub(crate) async fn services(
    storage: &dyn Storage,
    limit: usize,
    omission: &Omission,
) -> Result<Vec<String>, Error> {
    let mut services = storage.services().await?;
    services.retain(|service| !service.is_empty());
    let mut services = omission.fit("services", services, limit, |service| service.len() + 8)?;
    services.sort_unstable();
    services.dedup();
    Ok(services)
}

/// A service's operations, sorted by name and kind: of all kinds, or of the kind in the request. An unknown kind has none.
pub(crate) async fn operations(
    storage: &dyn Storage,
    request: &GetOperationsRequest,
    limit: usize,
    omission: &Omission,
) -> Result<Vec<Operation>, Error> {
    let stored = storage.operations(&request.service).await?;
    let operations: Vec<_> = stored
        .into_iter()
        .map(|operation| Operation {
            span_kind: operation.kind.as_operation_word().to_owned(),
            // An older release listed the name that was sent.
            name: if operation.name.is_empty() {
                EMPTY_SPAN_NAME.to_owned()
            } else {
                operation.name
            },
        })
        .filter(|operation| {
            request.span_kind.is_empty() || request.span_kind == operation.span_kind
        })
        .collect();
    let bytes = |operation: &Operation| operation.encoded_len() + 8;
    let mut operations = omission.fit("operations", operations, limit, bytes)?;
    operations.sort_unstable_by(|one, other| {
        (&one.name, &one.span_kind).cmp(&(&other.name, &other.span_kind))
    });
    operations.dedup();
    Ok(operations)
}
