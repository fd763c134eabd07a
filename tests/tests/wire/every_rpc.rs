//! Each RPC once, on the main port; and the separate OTLP port.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Options, Plugin, Query, SpanSearch, http, timestamp};
use tonic::Code;

/// After one Export, every RPC of every service returns its data.
async fn every_rpc_answers(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    let id = [7; 16];
    client
        .store([
            service("shop").span(span(id, 1).name("buy").at(1000).lasting(50)),
            service("bank").span(span(id, 2).name("pay").parent(1).at(1010).lasting(9)),
        ])
        .await;

    assert_eq!(client.get_trace(id).await.span_ids(), [1, 2]);
    assert_eq!(client.services().await.unwrap(), ["bank", "shop"]);
    assert_eq!(client.operations("shop", "").await.unwrap()[0].name, "buy");
    let query = Query::default().service("bank");
    assert_eq!(
        client.find_traces(&query).await.unwrap()[0].span_ids(),
        [1, 2]
    );
    assert_eq!(client.find_trace_ids(&query).await.unwrap()[0].trace_id, id);
    let summaries = client.find_trace_summaries(&query).await.unwrap();
    assert_eq!(summaries[0].root_operation_name, "buy");
    let (spans, _) = client
        .page_of_spans(&SpanSearch::within(1010, 1010))
        .await
        .unwrap();
    assert_eq!(spans[0].scope_spans[0].spans[0].name, "pay");
    let links = client.dependencies(Some(timestamp(0)), None).await.unwrap();
    assert_eq!((&*links[0].parent, &*links[0].child), ("shop", "bank"));
    assert!(client.capabilities().await.unwrap().search.is_some());
}

larder_tests::with_plugins!(every_rpc_answers: memory = Memory, minimal = Minimal);

#[tokio::test]
async fn an_empty_export_is_taken_and_nothing_is_written() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let answer = client.export_bytes(Vec::new()).await.unwrap();
    assert_eq!(answer.partial_success, None);
    let written = || {
        let name = "larder_write_duration_seconds_count";
        http::count(&larder.metrics(), name, &[])
    };
    assert_eq!(written(), 0);
    client
        .store([service("a").span(span([1; 16], 1).at(5))])
        .await;
    assert_eq!(written(), 1);
}

/// The OTLP port accepts writes and health checks, but no reads; its writes are read on the main port, which accepts writes too.
#[tokio::test]
async fn the_writer_port_accepts_only_writes() {
    let larder = Options::new(Plugin::Memory).writer_port().start();
    let writer = Client::connect(larder.writer()).await;
    writer
        .store([service("a").span(span([1; 16], 1).at(5))])
        .await;
    let main = larder.client().await;
    main.store([service("b").span(span([2; 16], 1).at(6))])
        .await;

    assert_eq!(main.services().await.unwrap(), ["a", "b"]);
    let refused = writer.services().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("grpc.endpoint"), "{refused:?}");
}

/// Clients that take this server for another one of Jaeger's or of OpenTelemetry's are told what it is.
#[tokio::test]
async fn a_service_of_another_server_is_refused_by_name() {
    let larder = Options::new(Plugin::Memory).writer_port().start();
    let writer = Client::connect(larder.writer()).await;
    for client in [larder.client().await, writer] {
        for (path, told) in [
            (
                "/jaeger.storage.v1.SpanReaderPlugin/GetServices",
                [
                    "\"jaeger.storage.v1.SpanReaderPlugin\"",
                    "version 2",
                    "Jaeger 2.6.0",
                ],
            ),
            (
                "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan",
                [
                    "\"jaeger.storage.v1.SpanWriterPlugin\"",
                    "version 2",
                    "Jaeger 2.6.0",
                ],
            ),
            (
                "/jaeger.storage.v1.PluginCapabilities/Capabilities",
                [
                    "\"jaeger.storage.v1.PluginCapabilities\"",
                    "version 2",
                    "Jaeger 2.6.0",
                ],
            ),
            (
                "/jaeger.api_v2.CollectorService/PostSpans",
                [
                    "\"jaeger.api_v2.CollectorService\"",
                    "Jaeger itself",
                    "the storage behind it",
                ],
            ),
            (
                "/jaeger.api_v3.QueryService/FindTraces",
                [
                    "\"jaeger.api_v3.QueryService\"",
                    "Jaeger itself",
                    "the storage behind it",
                ],
            ),
            (
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                [
                    "MetricsService/Export",
                    "traces alone",
                    "TraceService/Export",
                ],
            ),
            (
                "/made.up.Service/Call",
                ["made.up.Service", "no method", "jaeger.storage.v2"],
            ),
        ] {
            let refused = client.call().unary(path, Vec::<u8>::new().into()).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused:?}");
            for part in told {
                assert!(refused.message().contains(part), "{path}: {refused:?}");
            }
        }
    }
}
