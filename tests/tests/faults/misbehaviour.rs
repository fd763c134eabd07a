//! What the tests of guests share: a hostile server, a way to provoke it by a service's name, and proof that it serves again.

use larder_proto::storage::v2::{FindTracesRequest, GetTraceParams, GetTracesRequest};
use larder_tests::otlp::{ResourceBuilder, service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, eventually, http, method};
use prost::Message as _;
use tonic::{Code, Status};

/// Where a guest is provoked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Export,
    FindTraces,
    GetTraces,
    GetServices,
    GetOperations,
}

/// A server whose guest misbehaves for certain services.
pub(crate) fn hostile() -> Options {
    Options::new(Plugin::Hostile)
}

/// Two traces of a service.
pub(crate) fn two_traces(name: &str) -> [ResourceBuilder; 2] {
    [1, 2].map(|number| {
        let one = span([number; 16], 1)
            .name(name)
            .at(1000 + u64::from(number));
        service(name).span(one)
    })
}

/// Stores two traces of the service (unless the write itself is what provokes), then calls. Gives how the call ended.
pub(crate) async fn provoke(client: &Client, name: &str, call: Call) -> Result<(), Status> {
    if call != Call::Export {
        client.store(two_traces(name)).await;
    }
    let raw = client.call();
    match call {
        Call::Export => client.export(two_traces(name)).await.map(drop),
        Call::FindTraces => {
            let query = Some(Query::default().service(name).0);
            let body = FindTracesRequest { query }.encode_to_vec();
            raw.stream(method::FIND_TRACES, body.into()).await.end
        }
        Call::GetTraces => {
            let query = [[1; 16], [2; 16]].map(|id: [u8; 16]| GetTraceParams {
                trace_id: id.to_vec(),
                ..GetTraceParams::default()
            });
            let body = GetTracesRequest {
                query: query.into(),
            }
            .encode_to_vec();
            raw.stream(method::GET_TRACES, body.into()).await.end
        }
        Call::GetServices => client.services().await.map(drop),
        Call::GetOperations => client.operations(name, "").await.map(drop),
    }
}

/// Writes and reads until both work: UNAVAILABLE is all that may come in between.
pub(crate) async fn assert_serves_again(client: &Client) {
    let one = || service("fine").span(span([9; 16], 1).at(5));
    eventually("the plugin's restart", async || {
        match client.export([one()]).await {
            Ok(answer) => {
                assert_eq!(answer.partial_success, None);
                Some(())
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                None
            }
        }
    })
    .await;
    let found = client.find(&Query::default().service("fine")).await;
    assert_eq!(found, [[9; 16]]);
}

/// How often the plugin was replaced for this.
pub(crate) fn restarts(larder: &Larder, error_type: &str) -> u64 {
    let label = format!("error_type=\"{error_type}\"");
    http::count(&larder.metrics(), "larder_plugin_restarts_total", &[&label])
}
