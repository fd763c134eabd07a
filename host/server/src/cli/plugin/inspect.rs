//! `larder plugin inspect`.

use std::io::{Write, stdout};
use std::sync::Arc;

use anyhow::Context as _;
use larder_core::telemetry::Metrics;
use larder_runtime::plugin::{Component, Host, Instancing, LoadChecks, Status};
use larder_store::MemoryDriver;

use super::Given;
use crate::config::Config;

/// Tries the plugin out as the start of a server does, on an empty store in memory and without its grants, and describes it. Fails if a server
/// could not start it.
pub(in super::super) fn inspect(plugin: &str, given: Given, config: &Config) -> anyhow::Result<()> {
    let settings = super::plugin_config(plugin, given, config)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let status = runtime.block_on(async {
        let wasm = super::engine(config)?;
        let host = Host {
            runtime: wasm,
            kv: Arc::new(MemoryDriver::new()),
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        let component = Component::load(&host, settings, LoadChecks::Open).await?;
        anyhow::Ok(component.status())
    })?;
    describe(&status, &mut stdout().lock()).context("cannot print")
}

fn describe(status: &Status, to: &mut impl Write) -> std::io::Result<()> {
    let lives_in = match status.instancing {
        Instancing::Exclusive => "its memory",
        Instancing::Replicated => "kv",
    };
    writeln!(to, "plugin      {} {}", status.name, status.version)?;
    writeln!(to, "source      {}", status.source)?;
    writeln!(to, "hash        {}", status.hash)?;
    writeln!(
        to,
        "contract    larder:storage@{}",
        status.contract.as_str()
    )?;
    let instancing = status.instancing;
    writeln!(
        to,
        "instancing  {instancing}: what is stored lives in {lives_in}"
    )?;
    writeln!(to, "size        {} bytes", status.size)?;
    writeln!(to, "memory      {} bytes once started", status.memory_used)?;
    for (head, names) in [("exports", &status.exports), ("imports", &status.imports)] {
        let mut head = head;
        for name in names {
            writeln!(to, "{head:<12}{name}")?;
            head = "";
        }
    }
    let mut head = "grants";
    for grant in &status.grants {
        let granted = match (grant.is_imported, grant.granted.as_slice()) {
            (false, []) => continue,
            (true, []) => "imported, not granted".to_owned(),
            (true, granted) => granted.join(", "),
            (false, granted) => format!("{} (not imported)", granted.join(", ")),
        };
        writeln!(to, "{head:<12}{:<8}{granted}", grant.kind)?;
        head = "";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_model::storage::Statistics;
    use larder_runtime::plugin::{ContractVersion, GrantStatus, State};

    use super::*;

    #[test]
    fn a_plugin_is_described_line_by_line() {
        let status = Status {
            name: "minimal".to_owned(),
            version: "0.1.0".to_owned(),
            source: "./minimal.wasm".to_owned(),
            hash: "00ff".to_owned(),
            size: 131_072,
            exports: vec!["larder:storage/reader@0.2.0".to_owned()],
            imports: vec![
                "larder:storage/log@0.2.0".to_owned(),
                "wasi:random/random@0.2.6".to_owned(),
            ],
            grants: [
                ("http", false, vec![]),
                (
                    "tcp",
                    true,
                    vec!["db:5432".to_owned(), "[::1]:1".to_owned()],
                ),
                ("env", true, vec![]),
                ("clock", false, vec!["the time of day".to_owned()]),
            ]
            .map(|(kind, is_imported, granted)| GrantStatus {
                kind,
                is_imported,
                granted,
            })
            .to_vec(),
            contract: ContractVersion::V0_2,
            instancing: Instancing::Exclusive,
            state: State::Ready,
            restarts: 0,
            memory_used: 1_179_648,
            memory_limit: 1 << 30,
            queue_depth: 0,
            queue_bytes: 0,
            statistics: Statistics::default(),
        };
        let mut text = Vec::new();
        describe(&status, &mut text).unwrap();
        let expected = "\
plugin      minimal 0.1.0
source      ./minimal.wasm
hash        00ff
contract    larder:storage@0.2.0
instancing  exclusive: what is stored lives in its memory
size        131072 bytes
memory      1179648 bytes once started
exports     larder:storage/reader@0.2.0
imports     larder:storage/log@0.2.0
            wasi:random/random@0.2.6
grants      tcp     db:5432, [::1]:1
            env     imported, not granted
            clock   the time of day (not imported)
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
