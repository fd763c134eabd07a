//! Messages of Jaeger's storage API, and a zero-copy reader of OTLP traces.
//!
//! Owns the `.proto` files under `proto/`, the messages generated from them (checked in; the test `codegen` compares them),
//! and [`wire`] and [`otlp`]. Architecture invariant: knows neither tonic servers nor wasm.

#![forbid(unsafe_code)]

pub mod otlp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traces_bytes;
pub mod wire;

pub use generated::{expression, storage};
pub use traces_bytes::TracesBytes;

#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    reason = "generated"
)]
mod generated {
    /// `jaeger.storage.v2`: requests and responses of Jaeger's storage API.
    pub mod storage {
        /// `jaeger.storage.v2`.
        pub mod v2 {
            include!("generated/jaeger.storage.v2.rs");
        }
    }

    /// `jaeger.expression.v1`: structured filters (RFC 0005).
    pub mod expression {
        /// `jaeger.expression.v1`.
        pub mod v1 {
            include!("generated/jaeger.expression.v1.rs");
        }
    }
}

/// An encoded `FileDescriptorSet` of Jaeger's storage API, OTLP's trace service and their imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");
