//! Partitions: what retention drops, and when the next one is made.

use larder_plugin::testing::{batch, fragment};
use larder_plugin::{Part, Plugin as _, Search, Sizes, SpanKind, TraceId, Wanted};

use super::common::{Store, admin};
use super::{SECOND, found, pieces};

#[test]
fn retention_drops_whole_partitions_with_their_names() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let (mut a, mut b) = (store.writer(), store.writer());
    let at = |second: u64| 1_700_000_000 * SECOND + second * SECOND;
    for second in (0..50).step_by(5) {
        let service = format!("service {}", second / 10);
        let one = fragment(second.into()).operation(&service, "name", SpanKind::Server);
        a.write(at(second), vec![batch([one])]).unwrap();
    }
    let first = a.find(&Search::all(), None, 100).unwrap().found;
    let handles: Vec<u64> = first.iter().filter_map(|it| it.fragment).collect();
    assert_eq!(handles.len(), 10);

    // The first two partitions, of 0 s to 20 s, and no other.
    assert_eq!(a.maintain(at(69), Sizes::default()), Ok(false));
    assert_eq!(pieces(&mut b, &Wanted::Fragments(handles.clone())), 10);
    assert_eq!(a.maintain(at(80), Sizes::default()), Ok(true));
    assert_eq!(b.maintain(at(80), Sizes::default()), Ok(false));
    assert_eq!(b.maintain(at(80), Sizes::default()), Ok(false));
    assert_eq!(pieces(&mut b, &Wanted::Fragments(handles.clone())), 6);
    assert_eq!(found(&mut a, &Search::all(), 100).len(), 6);
    assert_eq!(
        a.services(),
        Ok(["service 4", "service 3", "service 2"]
            .map(str::to_owned)
            .to_vec())
    );
    assert_eq!(a.operations("service 1"), Ok(Vec::new()));

    // What has gone stays away, whatever is written: no handle comes back.
    b.write(at(85), vec![batch((50..60).map(fragment))])
        .unwrap();
    assert_eq!(pieces(&mut a, &Wanted::Fragments(handles)), 6);
    for step in 0..9 {
        let more = b.maintain(at(1000), Sizes::default());
        assert_eq!(more, Ok(step < 3), "{step}");
    }
    assert_eq!(found(&mut a, &Search::all(), 100), []);
    assert_eq!(a.retire(), Ok(true));
}

#[test]
fn the_next_partition_is_made_ahead_of_the_writes_and_an_idle_tenant_makes_none() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let mut plugin = store.writer();
    let asked = format!(
        "SELECT id FROM larder.tenants WHERE name = '{}'",
        store.tenant
    );
    plugin.maintain(SECOND, Sizes::default()).unwrap();
    assert_eq!(admin(&asked), "");
    plugin.write(SECOND, vec![batch([fragment(1)])]).unwrap();
    let id = admin(&asked);
    let count = || admin(&format!("SELECT count(*) FROM larder_{id}.partitions"));
    plugin.maintain(4 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "1");
    plugin.maintain(6 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "2");
    // Nothing was written to the second one.
    plugin.maintain(16 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "2");
}

#[test]
fn a_clock_that_is_put_back_changes_no_order() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let mut plugin = store.writer();
    for (number, second) in (0..).zip([35, 5, 25, 36]) {
        let one = fragment(1).otlp(vec![number]);
        plugin.write(second * SECOND, vec![batch([one])]).unwrap();
    }
    let wanted = Wanted::Traces(vec![TraceId::from(1)]);
    let page = plugin.read(&wanted, Part::Otlp, None, u32::MAX).unwrap();
    let order: Vec<u8> = page.pieces.iter().map(|it| it.bytes[0]).collect();
    assert_eq!(order, [0, 1, 2, 3]);
    plugin.write(u64::MAX, vec![batch([fragment(2)])]).unwrap();
    plugin.write(u64::MAX, vec![batch([fragment(2)])]).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 6);
}
