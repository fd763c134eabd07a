//! Fragments that are larger than an object of `kv`, which is at most 5 MiB.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::in_role;
use larder_kv::Kv;
use larder_plugin::kv::Key;
use larder_plugin::testing::random::term;
use larder_plugin::testing::{Harness, fragment, kv};
use larder_plugin::{Error, Part, Plugin, Role, Sizes, SpanKind, TraceId, Wanted};

const MIB: usize = 1 << 20;
/// When the bucket of what was written at 1 is closed, so that all of it is sealed. Nothing is too old yet.
const LATER: u64 = 30_000_000_000_000;

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    let parts = (0..len.div_ceil(1000)).map(|part| u8::try_from(part % 251).unwrap());
    parts.flat_map(|byte| [byte; 1000]).take(len).collect()
}

fn ids() -> Vec<TraceId> {
    (1..=4).map(TraceId::from).collect()
}

/// Writes small fragments around large ones.
fn fill(harness: &mut Harness<Kv>) {
    let of = |trace: u128, otlp: usize, digest: usize| {
        fragment(trace)
            .starts(5, 9)
            .terms([term(1)])
            .operation(
                &"s".repeat(digest / 2),
                &"n".repeat(digest),
                SpanKind::Server,
            )
            .digest(bytes(digest))
            .otlp(bytes(otlp))
    };
    harness.write([
        of(1, 40_000, 100),
        of(2, 16 * MIB, 90),
        of(3, 4 * MIB, 6 * MIB),
        of(4, 50_000, 80),
    ]);
}

#[test]
fn a_fragment_larger_than_an_object_is_stored_in_pieces() {
    kv::reset();
    let mut harness = Harness::<Kv>::open(&[]).unwrap();
    fill(&mut harness);
    let pieces = kv::keys().iter().filter(|key| key.sort.len() == 17).count();
    assert!(pieces >= 5 + 2, "{pieces}");
    // The value in the place of the pieces, of version 2 of the format: their number, and a checksum.
    let places = kv::keys()
        .into_iter()
        .filter(|key| key.sort[0] == b'o' && key.sort.len() == 9);
    let places = places.map(|key| kv::get(&[key]).unwrap().remove(0).unwrap());
    let places: Vec<_> = places.filter(|value| value[0] == b'q').collect();
    assert_eq!(places.len(), 1);
    assert_eq!((places[0].len(), &places[0][1..3]), (11, &[2, 5][..]));
    for _ in 0..2 {
        harness.check_traces(&ids(), 2 << 20);
        harness.check_all();
        // Sealed and merged, and then once more from another instance.
        while harness.plugin().maintain(LATER, Sizes::default()).unwrap() {}
    }
    let mut reader = Kv::open(in_role(Role::Reader)).unwrap();
    let page = reader
        .read(&Wanted::Traces(vec![TraceId::from(2)]), Part::Otlp, None, 1)
        .unwrap();
    // After the number that the harness gives each fragment.
    let (number, read) = page.pieces[0].bytes.split_at(8);
    assert_eq!(number, 2_u64.to_be_bytes());
    assert!(read == bytes(16 * MIB));
    let (mut damaged, mut resume) = (Vec::new(), None);
    loop {
        let step = reader.check(resume.as_deref()).unwrap();
        damaged.extend(step.damaged);
        resume = step.resume;
        if resume.is_none() {
            break;
        }
    }
    assert_eq!(damaged, Vec::<String>::new());
}

/// Each damaged or missing piece is told, and the fragments beside it are answered.
#[test]
fn a_damaged_piece_is_data_loss_for_its_fragment_alone() {
    kv::reset();
    let mut harness = Harness::<Kv>::open(&[]).unwrap();
    fill(&mut harness);
    let is_piece = |key: &Key| key.sort.len() == 17 && key.sort[0] == b'o';
    let keys = kv::keys().into_iter().filter(is_piece);
    let keys: Vec<_> = keys.collect();
    assert!(keys.len() >= 5, "{}", keys.len());
    for key in keys {
        let before = kv::get(std::slice::from_ref(&key)).unwrap().remove(0);
        for change in [1, 2] {
            kv::damage(&key, |bytes| match change {
                1 => bytes[10] ^= 1,
                _ => bytes.clear(),
            });
            let mut reader = Kv::open(in_role(Role::Reader)).unwrap();
            let lost = reader.read(&Wanted::Traces(vec![TraceId::from(2)]), Part::Otlp, None, 1);
            assert!(matches!(lost, Err(Error::DataLoss(_))));
            for id in [1, 4] {
                let wanted = Wanted::Traces(vec![TraceId::from(id)]);
                let page = reader.read(&wanted, Part::Otlp, None, 1).unwrap();
                assert_eq!(page.pieces.len(), 1);
            }
            kv::put_back(&key, before.clone().unwrap());
        }
    }
    harness.check_all();
}
