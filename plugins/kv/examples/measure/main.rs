//! Measures the plugin natively: CPU time and bytes per span, and the latency of searches.
//!
//! `cargo run --release -p larder-kv --example measure [SPANS] [SPANS_A_WRITE]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program to be run by hand"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "figures for people to read"
)]

mod spans;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use larder_kv::Kv;
use larder_oracle::corpus::{Corpus, operation_name, service_name};
use larder_plugin::kv::{Key, Object};
use larder_plugin::terms::{self, Level};
use larder_plugin::testing::{batch, environment, kv};
use larder_plugin::{Part, Plugin, Role, Search, Sizes, TraceId, Wanted};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|it| it.parse::<u64>().unwrap());
    let total = arguments.next().unwrap_or(500_000);
    let a_write = arguments.next().unwrap_or(920);
    let mut plugin = Kv::open(environment(&[])).unwrap();
    let corpus = Corpus::new(7, total, a_write);
    let mut spans = 0;
    let mut traces: Vec<TraceId> = Vec::new();
    let (mut writing, mut maintenance) = (Duration::ZERO, Duration::ZERO);
    let (mut steps, mut longest) = (0, Duration::ZERO);
    let mut raw = 0;
    for index in 0..corpus.requests() {
        let fragments = spans::fragments(&corpus, index);
        traces.extend(fragments.keys().copied().map(TraceId::from));
        let written = batch(fragments.into_values());
        spans = total.min(spans + a_write);
        raw += written.otlp.len();
        let start = Instant::now();
        plugin.write(spans, vec![written]).unwrap();
        writing += start.elapsed();
        loop {
            let start = Instant::now();
            let more = plugin.maintain(spans, Sizes::default()).unwrap();
            let took = start.elapsed();
            maintenance += took;
            longest = longest.max(took);
            if !more {
                break;
            }
            steps += 1;
        }
    }
    let nanos = |time: Duration| time.as_nanos() as f64 / spans as f64;
    println!(
        "{spans} spans in {} traces, {} B a span",
        traces.len(),
        raw as u64 / spans
    );
    println!(
        "write {:.0} ns a span, upkeep {:.0} ns in {steps} steps, the longest {longest:?}",
        nanos(writing),
        nanos(maintenance)
    );
    println!("of writing, {:.0} ns are the model's", nanos(model(raw)));
    sizes(spans);
    searches(&mut plugin, &traces, "writer");
    drop(plugin);
    let start = Instant::now();
    let mut reader = environment(&[]);
    reader.role = Role::Reader;
    let mut reader = Kv::open(reader).unwrap();
    println!("open {:?}", start.elapsed());
    searches(&mut reader, &traces, "new reader");
    searches(&mut reader, &traces, "the same, warm");
}

/// Measures the time that the model of `kv` takes to store this many bytes.
fn model(bytes: usize) -> Duration {
    let mut objects: Vec<_> = (0..8_u64)
        .map(|n| Object {
            key: Key {
                partition: "measure".to_owned(),
                sort: n.to_be_bytes().to_vec(),
            },
            value: vec![1; 64 << 10],
        })
        .collect();
    let start = Instant::now();
    for n in 0..bytes as u64 / (512 << 10) {
        for (place, object) in (0_u64..).zip(&mut objects) {
            object.key.sort = (n * 8 + place).to_be_bytes().to_vec();
        }
        larder_plugin::kv::put(&objects).unwrap();
    }
    let took = start.elapsed();
    kv::reclaim("measure").unwrap();
    took
}

fn sizes(spans: u64) {
    let mut sizes: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for key in kv::keys() {
        let area = key.partition.split('/').next().unwrap().to_owned();
        let name = format!("{area} {}", char::from(key.sort[0]));
        let value = kv::get(&[key]).unwrap().pop().unwrap().unwrap();
        let packed = zstd::bulk::compress(&value, 1).unwrap();
        for name in [name, "all".to_owned()] {
            let size = sizes.entry(name).or_default();
            size.0 += 1;
            size.1 += value.len() as u64;
            size.2 += packed.len() as u64;
        }
    }
    let a_span = |bytes: u64| bytes as f64 / spans as f64;
    for (name, (count, bytes, packed)) in sizes {
        println!(
            "{name:10} {count:7} values, {:6.2} B a span, {:6.2} packed",
            a_span(bytes),
            a_span(packed)
        );
    }
}

fn searches(plugin: &mut Kv, traces: &[TraceId], who: &str) {
    let with = |clauses: Vec<Vec<u64>>| Search {
        clauses,
        ..Search::all()
    };
    let attribute = |key: &str, value: &str| {
        let levels = [
            Level::Span,
            Level::Event,
            Level::Link,
            Level::Resource,
            Level::Scope,
        ];
        levels
            .map(|level| terms::attribute(level, key, value))
            .to_vec()
    };
    let service = service_name(7);
    let name = operation_name(3);
    let searches = [
        ("everything", with(vec![])),
        ("a service", with(vec![vec![terms::service(&service)]])),
        (
            "an operation",
            with(vec![vec![terms::service_and_span_name(&service, &name)]]),
        ),
        (
            "a rare attribute",
            with(vec![attribute("feature.flag", "beta-checkout")]),
        ),
        ("a user", with(vec![attribute("enduser.id", "user-00077")])),
        (
            "two attributes",
            with(vec![
                attribute("enduser.id", "user-00077"),
                attribute("cache.hit", "true"),
            ]),
        ),
        ("nothing", with(vec![attribute("no.such.key", "x")])),
    ];
    println!("searches by {who}:");
    for (name, search) in searches {
        let start = Instant::now();
        let (mut found, mut pages, mut first) = (Vec::new(), 0, None);
        let mut resume = None;
        while found.len() < 1000 {
            let page = plugin.find(&search, resume.as_deref(), 40).unwrap();
            found.extend(page.found);
            pages += 1;
            first.get_or_insert_with(|| start.elapsed());
            resume = page.resume;
            if resume.is_none() {
                break;
            }
        }
        println!(
            "  {name:18} {:5} found, first page {:?}, {pages} pages {:?}",
            found.len(),
            first.unwrap(),
            start.elapsed()
        );
    }
    let start = Instant::now();
    for n in 0..20 {
        let wanted = Wanted::Traces(vec![traces[traces.len() * n / 20]]);
        let page = plugin.read(&wanted, Part::Otlp, None, 1 << 20).unwrap();
        assert_eq!(page.pieces.len(), 1);
    }
    println!("  a trace by its id  {:?}", start.elapsed() / 20);
    let middle = traces[traces.len() / 3..].iter().copied();
    let ids: Vec<TraceId> = middle.take(8192).collect();
    let start = Instant::now();
    let page = plugin
        .read(&Wanted::Traces(ids), Part::Digest, None, 8 << 20)
        .unwrap();
    println!(
        "  {} digests       {:?}",
        page.pieces.len(),
        start.elapsed()
    );
    let start = Instant::now();
    let services = plugin.services().unwrap().len();
    println!("  {services} services        {:?}", start.elapsed());
}
