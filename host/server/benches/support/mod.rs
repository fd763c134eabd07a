//! What the benches share: the spans of the benchmark program, and the storages that they are stored in.

#![allow(
    dead_code,
    reason = "each bench is a crate of its own, and uses its part of this"
)]

/// The benchmark program's own spans, so that what is measured here is what is measured there.
#[path = "../../../../tests/bench/src"]
mod bench {
    #[allow(
        unused,
        reason = "the benchmark program uses more of it, and runs its tests"
    )]
    pub(crate) mod generate;
}

pub(crate) mod kv;
pub(crate) mod native;
pub(crate) mod searches;
pub(crate) mod stored;

pub(crate) use bench::generate;
