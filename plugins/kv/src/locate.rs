//! Finds the fragments of traces by id: in segments with filters and sorted hashes, in entries with their trace index.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use larder_plugin::{Error, TraceId};

use crate::find::read_table;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::segment::Group;
use crate::store::{Store, lost};
use crate::traces::{self, Filter, WantedTrace};
use crate::view::View;

/// Returns every fragment of these traces with the index of its trace in the list, in no order.
pub(crate) fn locate(
    store: &mut Store,
    views: &mut [View],
    ids: &[TraceId],
) -> Result<Vec<(usize, Handle)>, Error> {
    let wanted = WantedTrace::all(ids);
    let mut found = Vec::new();
    for view in views {
        view.check_lost()?;
        for (bucket, segment) in view.segments.clone() {
            let header = view.header(segment.number)?;
            for group in &header.groups {
                in_group(store, view, (bucket, group), &wanted, &mut found)?;
            }
        }
        for entry in &view.entries {
            entry.locate(&wanted, |place, row| {
                let fragment = entry.head.first + u64::from(row);
                found.push((place, Handle::new(view.writer.number, fragment)));
            });
        }
    }
    Ok(found)
}

fn in_group(
    store: &mut Store,
    view: &View,
    (bucket, group): (u64, &Group),
    wanted: &[WantedTrace],
    found: &mut Vec<(usize, Handle)>,
) -> Result<(), Error> {
    let area = Area::Data(bucket);
    let damaged = |kind, number| move |_| lost(&view.writer, area, kind, number, Fault::Damaged);
    let filter = store.read(&view.writer, area, Kind::Filter, group.filter)?;
    let filter = Filter::parse(filter.payload()).map_err(damaged(Kind::Filter, group.filter))?;
    let passing: Vec<_> = wanted.iter().filter(|it| filter.may_have(it)).collect();
    if passing.is_empty() {
        return Ok(());
    }
    let index = store.read(&view.writer, area, Kind::Traces, group.traces)?;
    let mut candidates = Vec::new();
    traces::find(&index, &passing, |ordinal, it| {
        candidates.push((ordinal, it));
    })
    .map_err(damaged(Kind::Traces, group.traces))?;
    let mut tables = BTreeMap::new();
    for (ordinal, wanted) in candidates {
        let Some(chunk) = group.chunks.get((ordinal / CHUNK) as usize) else {
            return Err(damaged(Kind::Traces, group.traces)(crate::codec::Damaged));
        };
        let table = match tables.entry(chunk.table) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => unread.insert(read_table(store, view, bucket, chunk.table)?),
        };
        let row = ordinal % CHUNK;
        if row < table.len() && table.trace_id(row) == wanted.id && !table.is_lost(row) {
            let fragment = group.first + u64::from(ordinal);
            let handle = Handle::new(view.writer.number, fragment);
            found.push((wanted.place, handle));
        }
    }
    Ok(())
}
