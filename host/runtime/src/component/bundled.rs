//! The plugins that are part of the binary; `build.rs` compiled them.

/// Name and component of each.
const BUNDLED: &[(&str, &[u8])] = &[
    (
        "kv",
        include_bytes!(concat!(env!("OUT_DIR"), "/larder_kv.wasm")),
    ),
    (
        "memory",
        include_bytes!(concat!(env!("OUT_DIR"), "/larder_memory.wasm")),
    ),
];

/// The bundled plugin of this name.
pub(crate) fn find(name: &str) -> Option<(&'static str, &'static [u8])> {
    BUNDLED
        .iter()
        .copied()
        .find(|(bundled, _)| *bundled == name)
}

/// The names, for messages: `` `kv`, `memory` ``.
pub(crate) fn names() -> String {
    let names: Vec<_> = BUNDLED
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    names.join(", ")
}
