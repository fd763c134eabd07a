//! The bindings that `wit-bindgen` generates from `wit/storage.wit`. No other module of the SDK has unsafe code.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "full-plugin",
    additional_derives: [PartialEq, Eq, PartialOrd, Ord, Hash],
    additional_type_attributes: {
        "larder:storage/integrity@0.2.0/checked": [#[derive(Default)]],
        "larder:storage/upkeep@0.2.0/counts": [#[derive(Default)]],
        "larder:storage/integrity@0.2.0/repaired": [#[derive(Default)]],
        "larder:storage/upkeep@0.2.0/sizes": [#[derive(Default)]],
        "larder:storage/writer@0.2.0/batch": [#[derive(Default)]],
    },
    generate_unused_types: true,
    export_macro_name: "export_world",
    pub_export_macro: true,
    default_bindings_module: "larder_plugin::bindings",
    runtime_path: "::larder_plugin::wit_bindgen_rt",
});
