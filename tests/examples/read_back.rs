//! Sends Exports whose bytes were changed to a running Larder, and reads everything that it took back through a Jaeger in front of it.
//!
//! `cargo run --release -p larder-tests --example read_back -- 127.0.0.1:17271 127.0.0.1:16686 20000`
//!
//! The last argument is the number of Exports. What Jaeger cannot decode of an answer fails its whole answer, so every trace, every service
//! and every search has to be answered. The exit code is 1 if one is not.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "what cannot be asked ends it"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use larder_oracle::strategies::{Place, written};
use larder_tests::otlp::{ResourceBuilder, hex, request};
use larder_tests::{Client, Query, http};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;

/// The time of the first spans; each Export has a place of its own behind it.
const START: u64 = 1_700_000_000_000_000_000;

/// The most ids of one answer.
const MOST_IDS: i32 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [larder, jaeger, exports] = arguments.as_slice() else {
        panic!("usage: read_back LARDER JAEGER EXPORTS");
    };
    let (larder, jaeger): (SocketAddr, SocketAddr) =
        (larder.parse().unwrap(), jaeger.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(larder));
    let accepted = runtime.block_on(send(&client, exports.parse().unwrap()));
    let ids = runtime.block_on(ids(&client));
    let services = runtime.block_on(client.services()).expect("services");
    println!(
        "{accepted} of {exports} Exports were taken; {} traces, {} services",
        ids.len(),
        services.len()
    );
    let (mut failed, mut unwritable) = (0, 0);
    let mut ask = |path: &str, unknown_is_right: bool| {
        let answer = http::get(jaeger, path);
        // Jaeger's older API writes JSON, which has no NaN and no infinity, whatever the storage.
        if answer.body.contains("json: unsupported value") {
            unwritable += 1;
        } else if answer.status != 200 && !(unknown_is_right && answer.status == 404) {
            failed += 1;
            println!("{path}: {} {}", answer.status, answer.body);
        }
    };
    for id in &ids {
        ask(&format!("/api/v3/traces/{}", hex(id)), false);
        ask(&format!("/api/traces/{}", hex(id)), false);
    }
    ask("/api/v3/services", false);
    for service in &services {
        let service = service.bytes().fold(String::new(), |mut path, byte| {
            write!(path, "%{byte:02X}").expect("a String takes all");
            path
        });
        ask(&format!("/api/v3/operations?service={service}"), false);
        ask(
            &format!("/api/traces?service={service}&limit=1000&start=0&end=4000000000000000"),
            true,
        );
    }
    println!(
        "{unwritable} answers had a NaN or an infinity, which Jaeger's older API cannot write"
    );
    println!("{failed} answers of Jaeger's were other errors");
    if failed == 0 && !ids.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Sends so many Exports, each with some of its bytes changed. Returns the number of those that were taken, in whole or in part.
async fn send(client: &Client, exports: u64) -> u64 {
    let mut runner = TestRunner::deterministic();
    let strategy = (
        written(),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4),
    );
    let mut accepted = 0;
    let mut number = 0;
    while number < exports {
        let (written, changes) = strategy.new_tree(&mut runner).unwrap().current();
        let place = Place {
            trace: number + 1,
            start: START + number * 1_000,
        };
        for export in written.at(place) {
            number += 1;
            let resources = export.into_iter().map(ResourceBuilder);
            let mut body = request(resources).encode_to_vec();
            for (at, byte, kind) in &changes {
                let at = at.index(body.len());
                match kind {
                    0 => drop(body.remove(at)),
                    1 => body.insert(at, *byte),
                    _ => body[at] = *byte,
                }
            }
            accepted += u64::from(client.export_bytes(body).await.is_ok());
        }
    }
    accepted
}

/// The ids of all traces, whatever times a change gave them.
async fn ids(client: &Client) -> BTreeSet<Vec<u8>> {
    let mut ids = BTreeSet::new();
    let mut windows = vec![(0, u64::MAX)];
    while let Some((from, to)) = windows.pop() {
        let query = Query::default().window(from, to).depth(MOST_IDS);
        let found = client.find_trace_ids(&query).await.expect("FindTraceIDs");
        if found.len() == usize::try_from(MOST_IDS).unwrap() && from < to {
            let middle = from + (to - from) / 2;
            windows.extend([(from, middle), (middle + 1, to)]);
        }
        ids.extend(found.into_iter().map(|found| found.trace_id));
    }
    ids
}
