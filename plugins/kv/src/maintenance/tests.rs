//! Instances release the memory of dropped data.

#![allow(clippy::unwrap_used, reason = "tests")]

use larder_plugin::testing::{batch, environment, fragment, kv, writer};
use larder_plugin::{Environment, Part, Role, Search, SpanKind, Wanted};

use crate::engine::Engine;
use crate::frame::{self, Area, Kind};
use crate::limits::Shape;
use crate::{find, names, read};

const SECOND: u64 = 1_000_000_000;

fn small() -> Shape {
    Shape {
        block: 500,
        inline: 100,
        group_spans: 2,
        page: 100,
        fan: 2,
        closed_segments: 1,
        ..Shape::default()
    }
}

/// Reads everything, to fill the caches.
fn read_all(engine: &mut Engine) -> usize {
    let page = find::page(engine, &Search::all(), None, 10_000).unwrap();
    let handles = page.found.iter().filter_map(|it| it.fragment).collect();
    let wanted = Wanted::Fragments(handles);
    for part in [Part::Digest, Part::Otlp] {
        read::page(engine, &wanted, part, None, u32::MAX).unwrap();
    }
    names::services(engine).unwrap();
    page.found.len()
}

fn rest(engine: &mut Engine, now: u64) {
    while engine.maintain(now, kv::sizes()).unwrap() {}
}

/// Returns the number of items in each in-memory collection of an instance.
fn held(engine: &Engine) -> Vec<usize> {
    let views = engine.views.iter();
    let each = views.flat_map(|view| {
        [
            view.headers_len(),
            view.segments.len(),
            view.manifest.buckets.len(),
            view.entries.len(),
            view.lost.len(),
            view.removed.len(),
        ]
    });
    let others = [
        engine.garbage.len(),
        engine.unmergeable.len(),
        engine.store.areas().len(),
        engine.views.len(),
    ];
    each.chain(others).collect()
}

fn assert_known(engine: &Engine) {
    let view = engine.views.first().unwrap();
    let known = view
        .segments
        .iter()
        .map(|(bucket, it)| (*bucket, it.number));
    let known: Vec<u64> = known.flat_map(|(bucket, it)| [bucket, it]).collect();
    let areas = engine.store.areas();
    let entries = view.entries.iter().map(|it| it.head.bucket);
    let known: Vec<u64> = known.into_iter().chain(entries).collect();
    let unknown: Vec<&u64> = areas.iter().filter(|it| !known.contains(it)).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {areas:?}");
}

/// Makes a page of the newest segment unreadable, so that the segment cannot be merged.
fn spoil_newest(engine: &Engine) {
    let view = engine.views.first().unwrap();
    if let Some((_, segment)) = view.segments.last() {
        let area = Area::Index(segment.number);
        let key = frame::key(&view.writer.id, area, Kind::Terms, 0);
        kv::damage(&key, Vec::clear);
    }
}

fn run(damaged: bool) {
    kv::reset();
    let settings = [("retention", "240s")];
    let mut writer = Engine::open(&environment(&settings), small()).unwrap();
    let as_reader = Environment {
        role: Role::Reader,
        ..environment(&settings)
    };
    let mut reader = Engine::open(&as_reader, small()).unwrap();
    let (mut most, mut unmergeable) = (Vec::new(), 0);
    for n in 0..1200_u64 {
        let now = n * 2 * SECOND;
        let built = fragment(n.into())
            .starts(now, now)
            .terms([n.wrapping_mul(0x9e37_79b9_7f4a_7c15)])
            .operation(&format!("service-{n}"), "name", SpanKind::Server)
            .digest(vec![1; 150])
            .otlp(vec![2; 300]);
        writer.write(now, &[batch([built])]).unwrap();
        rest(&mut writer, now);
        if damaged && n % 7 == 0 {
            spoil_newest(&writer);
        }
        unmergeable = unmergeable.max(writer.unmergeable.len());
        if n % 50 != 49 {
            continue;
        }
        for engine in [&mut writer, &mut reader] {
            engine.follow().unwrap();
            if !damaged {
                assert!(read_all(engine) >= 50);
            }
            assert_known(engine);
        }
        let now: Vec<usize> = held(&writer).into_iter().chain(held(&reader)).collect();
        if n < 600 {
            most.resize(now.len(), 0);
            most = most.iter().zip(&now).map(|(a, b)| *a.max(b)).collect();
        } else {
            // Five times as much data has come and gone as is kept.
            let grows = now
                .iter()
                .zip(&most)
                .any(|(now, most)| *now > most + most / 2 + 2);
            assert!(!grows, "{now:?}, where at most {most:?} was held before");
        }
    }
    assert_eq!(unmergeable > 0, damaged);
}

#[test]
fn dropped_buckets_leave_nothing_in_memory() {
    run(false);
}

#[test]
fn dropped_damaged_segments_leave_nothing_in_memory() {
    run(true);
}

/// The reader still has views and values of the time before the writer's data was dropped.
#[test]
fn a_retired_writer_leaves_nothing_in_memory() {
    kv::reset();
    let as_writer = |id: &str| {
        kv::act_as(id);
        let environment = Environment {
            role: writer(id),
            ..environment(&[("retention", "240s")])
        };
        Engine::open(&environment, small()).unwrap()
    };
    let write = |engine: &mut Engine, n: u64| {
        let built = fragment(n.into())
            .operation(&format!("service-{n}"), "name", SpanKind::Server)
            .digest(vec![1; 150])
            .otlp(vec![2; 300]);
        engine.write(n, &[batch([built])]).unwrap();
    };
    let (mut gone, mut other) = (as_writer("gone"), as_writer("other"));
    kv::act_as("gone");
    for n in 0..9 {
        write(&mut gone, n);
        if n == 5 {
            rest(&mut gone, n);
        }
    }
    let as_reader = Environment {
        role: Role::Reader,
        ..environment(&[])
    };
    let mut reader = Engine::open(&as_reader, small()).unwrap();
    assert_eq!(read_all(&mut reader), 9);
    assert!(!reader.store.areas().is_empty());
    assert!(!gone.retire().unwrap());
    let late = 300 * SECOND;
    assert!(!gone.retire().unwrap());
    rest(&mut gone, late);
    assert!(gone.retire().unwrap());
    kv::retire("gone");
    kv::act_as("other");
    other.follow().unwrap();
    write(&mut other, 10);
    reader.follow().unwrap();
    let ids = |engine: &Engine| -> Vec<String> {
        let views = engine.views.iter();
        views.map(|it| it.writer.id.to_string()).collect()
    };
    assert_eq!(ids(&reader), ["other"]);
    assert_eq!(ids(&other), ["other"]);
    assert_eq!(reader.store.areas().len(), 0);
    assert_eq!(read_all(&mut reader), 1);
    assert_eq!(names::services(&mut reader).unwrap(), ["service-10"]);
}
