//! Compares `src/generated` with the code generated from the `.proto` files. `LARDER_BLESS=1 cargo test -p larder-proto --test codegen`
//! rewrites it; the crate's own build needs no code generator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const FILES: &[&str] = &[
    "jaeger/storage/v2/trace_storage.proto",
    "jaeger/storage/v2/dependency_storage.proto",
    "jaeger/storage/v2/capabilities.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
];

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Descriptors of all files that the services need, each after its imports.
fn descriptors() -> FileDescriptorSet {
    let mut compiler = protox::Compiler::new([crate_dir().join("proto")]).expect("an include path");
    compiler.include_imports(true).include_source_info(true);
    compiler
        .open_files(FILES)
        .expect("the .proto files compile");
    FileDescriptorSet::decode(&compiler.encode_file_descriptor_set()[..])
        .expect("protox writes a descriptor set")
}

/// The encoded set for reflection, without comments and positions, like protoc's default output.
fn without_source_info(mut set: FileDescriptorSet) -> Vec<u8> {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set.encode_to_vec()
}

/// The Rust source of each of Larder's packages, by file name.
fn messages(mut set: FileDescriptorSet) -> BTreeMap<String, Vec<u8>> {
    for file in &mut set.file {
        // The stubs of services belong to the crate with tonic; here their types are unknown.
        file.service.clear();
    }
    let requests = set
        .file
        .into_iter()
        .map(|file| {
            (
                prost_build::Module::from_protobuf_package_name(file.package()),
                file,
            )
        })
        .collect();
    let modules = prost_build::Config::new()
        .extern_path(
            ".opentelemetry.proto.trace.v1.TracesData",
            "crate::TracesBytes",
        )
        .generate(requests)
        .expect("messages are generated");
    modules
        .into_iter()
        .map(|(module, source)| (module.to_file_name_or("none"), source.into_bytes()))
        .filter(|(name, _)| name.starts_with("jaeger."))
        .collect()
}

#[test]
fn generated_code_equals_that_of_the_proto_files() {
    let set = descriptors();
    let mut wanted = messages(set.clone());
    wanted.insert("descriptors.bin".to_owned(), without_source_info(set));

    let dir: PathBuf = crate_dir().join("src/generated");
    if std::env::var_os("LARDER_BLESS").is_some() {
        for (name, content) in &wanted {
            std::fs::write(dir.join(name), content).unwrap();
        }
    }
    for (name, content) in &wanted {
        let found = std::fs::read(dir.join(name)).unwrap_or_default();
        assert!(
            found == *content,
            "src/generated/{name} is not what the .proto files say: run this test with LARDER_BLESS=1"
        );
    }
    let count = std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(
        count,
        wanted.len(),
        "src/generated holds a file that nothing generates"
    );
}
