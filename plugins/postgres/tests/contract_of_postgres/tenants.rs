//! Several instances of a tenant, and several tenants.

use larder_plugin::testing::{batch, fragment};
use larder_plugin::{Error, Part, Plugin as _, Search, SpanKind, TraceId, Wanted};

use super::common::Store;
use super::{found, pieces};

#[test]
fn two_writers_and_a_reader_share_a_tenant() {
    let store = Store::new();
    let mut reader = store.reader();
    assert_eq!(found(&mut reader, &Search::all(), 10), []);
    let writers: Vec<_> = (0..2_u128)
        .map(|number| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut plugin = store.writer();
                for id in 0..50 {
                    let of_one = fragment(id * 2 + number);
                    let of_both = fragment(1000).otlp(vec![
                        u8::try_from(number).unwrap(),
                        u8::try_from(id).unwrap(),
                    ]);
                    let name = format!("name {}", id % 7);
                    let all = [of_one, of_both]
                        .map(|it| it.operation("service", &name, SpanKind::Client));
                    plugin.write(1, vec![batch(all)]).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let all = found(&mut reader, &Search::all(), 13);
    assert_eq!(all.len(), 200);
    let wanted = Wanted::Traces(vec![TraceId::from(1000)]);
    let page = reader.read(&wanted, Part::Otlp, None, u32::MAX).unwrap();
    for number in 0..2 {
        // Those of one writer are in the order written.
        let own = page.pieces.iter().filter(|it| it.bytes[0] == number);
        assert!(own.map(|it| it.bytes[1]).eq(0..50));
    }
    assert_eq!(reader.services(), Ok(vec!["service".to_owned()]));
    assert_eq!(reader.operations("service").unwrap().len(), 7);
    let refused = reader.write(1, vec![batch([fragment(1)])]);
    assert!(matches!(refused, Err(Error::Other(_))), "{refused:?}");
}

#[test]
fn tenants_are_walled_off_and_a_purge_takes_one_alone() {
    let (ours, theirs) = (Store::new(), Store::new());
    let (mut a, mut b) = (ours.writer(), theirs.writer());
    a.write(
        1,
        vec![batch([fragment(1).operation("a", "a", SpanKind::Server)])],
    )
    .unwrap();
    b.write(
        1,
        vec![batch([fragment(2).operation("b", "b", SpanKind::Server)])],
    )
    .unwrap();
    let wanted = Wanted::Traces([1, 2].map(TraceId::from).to_vec());
    assert_eq!(found(&mut a, &Search::all(), 10), [(1, 0)]);
    assert_eq!(pieces(&mut a, &wanted), 1);
    let handle = b.find(&Search::all(), None, 1).unwrap().found[0].fragment;
    let (mut other, mut reader) = (ours.writer(), ours.reader());
    assert_eq!(found(&mut reader, &Search::all(), 10), [(1, 0)]);

    a.purge().unwrap();
    assert_eq!(found(&mut a, &Search::all(), 10), []);
    assert_eq!(found(&mut reader, &Search::all(), 10), []);
    assert_eq!(reader.services(), Ok(Vec::new()));
    assert_eq!(found(&mut b, &Search::all(), 10), [(2, 0)]);
    assert_eq!(b.services(), Ok(vec!["b".to_owned()]));
    assert_eq!(
        pieces(&mut b, &Wanted::Fragments(handle.into_iter().collect())),
        1
    );

    // Those that knew the tenant go on, on new tables.
    other.write(2, vec![batch([fragment(3)])]).unwrap();
    a.write(2, vec![batch([fragment(4)])]).unwrap();
    assert_eq!(found(&mut reader, &Search::all(), 10).len(), 2);
}
