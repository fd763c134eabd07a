//! What `bindgen!` makes of `wit/storage.wit`: the only generated code of the host.
//!
//! Parameters of exports are lent, not owned, so that a write takes our buffers as they are and copies each once, into the guest.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::large_futures,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    imports: { default: async },
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});
