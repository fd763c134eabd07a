//! What the pages say of Larder behind Jaeger: the ports of Jaeger's own configuration, and an archive.

use larder_tests::otlp::{ResourceBuilder, service, span};
use larder_tests::{Client, Home, Options, Plugin, Query};
use tonic::Code;

const README: &str = include_str!("../../../README.md");
const OPERATIONS: &str = include_str!("../../../host/docs/operations.md");

/// The port of localhost that Jaeger's `config-remote-storage.yaml` (commit 8498073) reads from, and where it writes to.
const READ_PORT: &str = "17271";
const WRITES: (&str, &str) = ("0.0.0.0", "4316");

/// The block of YAML that follows this text on the page of operations.
fn block_after(text: &str) -> &'static str {
    let (_, after) = OPERATIONS.split_once(text).expect("the text is there");
    let (_, block) = after.split_once("```yaml\n").expect("a block");
    block.split_once("```").expect("its end").0
}

fn trace(number: u8) -> ResourceBuilder {
    let one = span([number; 16], 1).name("checkout");
    service("cart").span(one.at(u64::from(number) * 10))
}

/// The flag that the pages name, and defaults, give the ports of Jaeger's file, on the interfaces by which it reaches them.
#[test]
fn one_flag_gives_the_ports_of_jaegers_own_configuration() {
    let flag = ["--writer-endpoint", ":4316"];
    for page in [README, OPERATIONS] {
        assert!(page.contains("`config-remote-storage.yaml`"));
        assert!(page.contains(&format!("`larder {}`", flag.join(" "))));
    }
    let print = Options::bare().without_port_flags();
    let printed = print.arguments(["config", "print"]).arguments(flag).run();
    assert!(printed.status.success(), "{printed:?}");
    let (_, grpc) = printed.stdout.split_once("grpc:\n").expect("a section");
    let endpoint = |key: &str| {
        let mut lines = grpc.lines().map(str::trim_start);
        let value = lines.find_map(|line| line.strip_prefix(key)).expect(key);
        let value = value.trim_matches(['"', '\'']);
        value.rsplit_once(':').expect("host and port")
    };
    assert_eq!(endpoint("endpoint: "), ("127.0.0.1", READ_PORT));
    // An address without a host is that of every interface.
    assert_eq!(endpoint("writer_endpoint: "), ("", WRITES.1));
    let larder = Options::new(Plugin::Memory)
        .arguments([flag[0], ":0"])
        .start();
    assert_eq!(larder.writer().ip().to_string(), WRITES.0);
}

/// As Jaeger does with this file: Exports go to one address, and every read to the other.
#[tokio::test]
async fn what_is_written_to_the_writers_port_is_read_from_the_other() {
    for plugin in [Plugin::Kv, Plugin::Memory] {
        let larder = Options::new(plugin)
            .arguments(["--writer-endpoint", ":0"])
            .start();
        let writer = Client::connect(larder.writer()).await;
        writer.store([trace(1), trace(2)]).await;

        let reader = larder.client().await;
        assert_eq!(reader.services().await.unwrap(), ["cart"]);
        let operations = reader.operations("cart", "").await.unwrap();
        assert_eq!(operations[0].name, "checkout");
        let of_cart = Query::default().service("cart");
        assert_eq!(reader.find(&of_cart).await, [[2; 16], [1; 16]]);
        assert_eq!(
            reader.get_trace([1; 16]).await.data.resource_spans,
            [trace(1).0]
        );
        assert_eq!(writer.read_code().await, Code::Unimplemented);
    }
}

/// The configurations of the page, Jaeger's and Larder's: the archive is a tenant that its header names, and has what is exported to it
/// alone. Everything else is the tenant of calls without the header.
#[tokio::test]
async fn an_archive_is_a_tenant_that_jaegers_second_backend_names() {
    let jaeger = block_after("**An archive**");
    for part in [
        "archive: { grpc: { endpoint: localhost:17271, ",
        "headers: { x-tenant: archive } } }",
        "traces_archive: archive }",
    ] {
        assert!(jaeger.contains(part), "no {part:?} in {jaeger}");
    }
    let home = Home::new();
    let archived = || Options::new(Plugin::Kv).config(block_after("In Larder, calls without"));
    let larder = archived().start_in(&home);
    let client = larder.client().await;
    let archive = client.tenant("archive");
    client.store([trace(1), trace(2)]).await;
    assert!(archive.services().await.unwrap().is_empty());

    // The button reads the trace from one backend, and exports it to the other.
    let read = client.get_trace([1; 16]).await.data.resource_spans;
    archive.store(read.into_iter().map(ResourceBuilder)).await;
    larder.kill();

    let larder = archived().start_in(&home);
    let client = larder.client().await;
    let archive = client.tenant("archive");
    let all = Query::default();
    assert_eq!(archive.find(&all).await, [[1; 16]]);
    assert_eq!(
        archive.get_trace([1; 16]).await.data.resource_spans,
        [trace(1).0]
    );
    assert_eq!(archive.services().await.unwrap(), ["cart"]);
    assert_eq!(client.find(&all).await, [[2; 16], [1; 16]]);
    let other = client.tenant("other").read_code().await;
    assert_eq!(other, Code::PermissionDenied);
}

/// The page's retention of the archive is a setting of its plugin, and of no other tenant's.
#[test]
fn an_archive_has_a_retention_of_its_own() {
    let larder = block_after("In Larder, calls without");
    let print = Options::bare().without_port_flags().config(larder);
    let printed = print.arguments(["config", "print"]).run();
    let (_, overrides) = printed
        .stdout
        .split_once("overrides:\n")
        .expect("overrides");
    assert!(
        overrides.trim_start().starts_with("archive:"),
        "{overrides}"
    );
    let plain = overrides.replace('"', "");
    assert!(plain.contains("retention: 8760h"), "{overrides}");

    let refused = larder.replace("8760h", "never");
    assert_ne!(refused, larder);
    let exit = Options::new(Plugin::Kv).config(&refused).run();
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    for part in ["`tenancy.overrides.archive`", "retention", "never"] {
        assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
    }
}
