#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::*;

#[test]
fn every_method_of_the_descriptors_is_in_the_table() {
    let sets = [
        larder_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut described = BTreeSet::new();
    for file in sets
        .into_iter()
        .flat_map(|set| FileDescriptorSet::decode(set).unwrap().file)
    {
        for service in &file.service {
            for method in &service.method {
                described.insert(format!(
                    "{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    let named: BTreeSet<String> = METHODS
        .iter()
        .map(|method| method.name.to_owned())
        .collect();
    assert_eq!(named, described);
}

#[test]
fn an_unknown_path_has_no_method() {
    let name = |path| Method::of(path).map(|method| method.name);
    assert_eq!(
        name("/jaeger.storage.v2.TraceReader/FindTraces"),
        Some("jaeger.storage.v2.TraceReader/FindTraces")
    );
    for path in ["/jaeger.storage.v2.TraceReader/Find", "*", "/", ""] {
        assert_eq!(name(path), None, "{path}");
    }
}

#[test]
fn only_a_valid_trace_id_of_a_traceparent_is_read() {
    let read = |text: &'static str| trace_id(&HeaderValue::from_static(text)).map(str::to_owned);
    let id = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(
        read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(),
        Some(id)
    );
    assert_eq!(read("00-0af7"), None);
    assert_eq!(read("00-this is not a trace id at all, no-b7ad-01"), None);
}

#[test]
fn zstd_is_preferred_where_it_is_accepted() {
    let after = |list: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-accept-encoding", HeaderValue::from_static(list));
        prefer_zstd(&mut headers);
        headers["grpc-accept-encoding"].to_str().unwrap().to_owned()
    };
    assert_eq!(after("gzip, snappy, zstd"), "zstd");
    assert_eq!(after("identity,deflate,gzip"), "identity,deflate,gzip");
}
