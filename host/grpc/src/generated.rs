//! The server stubs, generated from the `.proto` files and checked in. The test `codegen` keeps them equal;
//! `LARDER_BLESS=1 cargo test -p larder-grpc --test codegen` rewrites them.

/// `jaeger.storage.v2`: `TraceReader`, `DependencyReader` and `Capabilities`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    reason = "generated"
)]
pub(super) mod jaeger {
    include!("generated/jaeger.storage.v2.rs");
}

/// `opentelemetry.proto.collector.trace.v1`: `TraceService`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    reason = "generated"
)]
pub(super) mod otlp {
    include!("generated/opentelemetry.proto.collector.trace.v1.rs");
}
