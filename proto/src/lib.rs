//! The messages that Jaeger and OTLP clients send to Larder, and a reader of OTLP traces that copies nothing.
//!
//! Owns the `.proto` files under `proto/`, the messages generated from them (checked in; the test `codegen` keeps them equal),
//! and [`wire`] and [`otlp`]. Architecture invariant: knows neither tonic servers nor wasm.

#![forbid(unsafe_code)]

pub mod otlp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traces_bytes;
pub mod wire;

pub use traces_bytes::TracesBytes;

/// `jaeger.storage.v2`: what Jaeger asks a storage, and what it answers.
#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    reason = "generated"
)]
pub mod storage {
    /// `jaeger.storage.v2`.
    pub mod v2 {
        include!("generated/jaeger.storage.v2.rs");
    }
}

/// `jaeger.expression.v1`: structured filters (RFC 0005).
#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    reason = "generated"
)]
pub mod expression {
    /// `jaeger.expression.v1`.
    pub mod v1 {
        include!("generated/jaeger.expression.v1.rs");
    }
}

/// An encoded `FileDescriptorSet` of Jaeger's storage API, OTLP's trace service and all that they import, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");
