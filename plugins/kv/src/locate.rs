//! Finding the fragments of traces by their ids: through filters and sorted hashes, and by looking at what is not sealed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use larder_plugin::{Error, TraceId};

use crate::find::read_table;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::segment::Group;
use crate::store::{Store, lost};
use crate::traces;
use crate::view::View;

/// A trace that is looked for, by its place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    id: TraceId,
    place: usize,
}

/// Every fragment of these traces with the place of its trace in the list; in no order.
pub(crate) fn locate(
    store: &mut Store,
    views: &mut [View],
    ids: &[TraceId],
) -> Result<Vec<(usize, Handle)>, Error> {
    let mut wanted: Vec<Wanted> = (0..)
        .zip(ids)
        .map(|(place, id)| Wanted { id: *id, place })
        .collect();
    wanted.sort_unstable();
    let hashes: Vec<u64> = wanted.iter().map(|it| traces::hash(it.id)).collect();
    let mut found = Vec::new();
    for view in views {
        view.check_lost()?;
        for (bucket, segment) in view.segments.clone() {
            let header = view.header(segment.number)?;
            for group in &header.groups {
                in_group(store, view, (bucket, group), (&wanted, &hashes), &mut found)?;
            }
        }
        for entry in &view.entries {
            for row in 0..entry.len() {
                let id = entry.table.trace_id(row);
                let handle = Handle::new(view.writer.number, entry.head.first + u64::from(row));
                found.extend(places(&wanted, id).map(|place| (place, handle)));
            }
        }
    }
    Ok(found)
}

/// The places in the list at which this id stands.
fn places(wanted: &[Wanted], id: TraceId) -> impl Iterator<Item = usize> {
    let start = match wanted {
        [one] => usize::from(one.id != id),
        all => all.partition_point(|it| it.id < id),
    };
    let rest = wanted.get(start..).unwrap_or_default();
    rest.iter()
        .take_while(move |it| it.id == id)
        .map(|it| it.place)
}

fn in_group(
    store: &mut Store,
    view: &View,
    (bucket, group): (u64, &Group),
    (wanted, hashes): (&[Wanted], &[u64]),
    found: &mut Vec<(usize, Handle)>,
) -> Result<(), Error> {
    let area = Area::Data(bucket);
    let filter = store.read(&view.writer, area, Kind::Filter, group.filter)?;
    let mut ordinals = Vec::new();
    let mut tables = BTreeMap::new();
    for (wanted, hash) in wanted.iter().zip(hashes) {
        let damaged =
            |kind, number| move |_| lost(&view.writer, area, kind, number, Fault::Damaged);
        let may_have = traces::may_have(filter.payload(), *hash);
        if !may_have.map_err(damaged(Kind::Filter, group.filter))? {
            continue;
        }
        let index = store.read(&view.writer, area, Kind::Traces, group.traces)?;
        ordinals.clear();
        traces::find(&index, *hash, |it| ordinals.push(it))
            .map_err(damaged(Kind::Traces, group.traces))?;
        for ordinal in &ordinals {
            let Some(chunk) = group.chunks.get((ordinal / CHUNK) as usize) else {
                return Err(damaged(Kind::Traces, group.traces)(crate::codec::Damaged));
            };
            let table = match tables.entry(chunk.table) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => {
                    unread.insert(read_table(store, view, bucket, chunk.table)?)
                }
            };
            let row = ordinal % CHUNK;
            if row < table.len() && table.trace_id(row) == wanted.id {
                let fragment = group.first + u64::from(*ordinal);
                let handle = Handle::new(view.writer.number, fragment);
                found.push((wanted.place, handle));
            }
        }
    }
    Ok(())
}
