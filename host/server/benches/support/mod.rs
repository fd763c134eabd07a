//! Code that the benches share: searches, and the storages that answer them.

#![allow(
    dead_code,
    reason = "each bench is a crate of its own, and uses its part of this"
)]

pub(crate) mod kv;
pub(crate) mod native;
pub(crate) mod searches;
pub(crate) mod stored;
