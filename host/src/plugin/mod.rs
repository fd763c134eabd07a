//! Wasm components: load, limits, restart.
