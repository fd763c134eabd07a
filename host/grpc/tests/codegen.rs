//! Keeps `src/generated` equal to what the `.proto` files say. `LARDER_BLESS=1 cargo test -p larder-grpc --test codegen`
//! rewrites it; the build itself needs no code generator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Server stubs only: every message has a type already, requests of OTLP and answers with traces that of raw bytes.
fn generate(to: &Path) {
    let mut set = FileDescriptorSet::decode(larder_proto::FILE_DESCRIPTOR_SET).unwrap();
    set.file.retain(|file| !file.service.is_empty());
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .codec_path("crate::codec::Codec")
        .extern_path(".jaeger.storage.v2", "::larder_proto::storage::v2")
        .extern_path(
            ".opentelemetry.proto.trace.v1.TracesData",
            "::larder_proto::TracesBytes",
        )
        .extern_path(
            ".opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
            "crate::codec::ExportBytes",
        )
        .extern_path(
            ".opentelemetry.proto.collector.trace.v1",
            "::opentelemetry_proto::tonic::collector::trace::v1",
        )
        .out_dir(to)
        .compile_fds(set)
        .expect("the stubs are generated");
}

fn files(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn generated_code_matches_the_proto_files() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let wanted = files(fresh.path());

    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    if std::env::var_os("LARDER_BLESS").is_some() {
        for (name, content) in &wanted {
            fs::write(dir.join(name), content).unwrap();
        }
    }
    let found = files(&dir);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted), "files of src/generated");
    for (name, content) in &wanted {
        assert!(
            found.get(name) == Some(content),
            "src/generated/{name} is not what the .proto files say: run this test with LARDER_BLESS=1"
        );
    }
}
