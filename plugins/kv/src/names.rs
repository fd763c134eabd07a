//! Services and operations of all stored data, collected from the buckets, the most recently written first.
//!
//! A bucket stores an operation when it is first written to it. So the order is exact from bucket to bucket, and within one it is that of
//! the first writes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use larder_plugin::{Error, Operation, SpanKind, Timestamp};

use crate::engine::Engine;
use crate::frame::{Area, Fault, Kind};
use crate::manifest::Stamp;
use crate::operations::decode;
use crate::store::{At, Store, Writer, lost};
use crate::view::View;

/// Names of more bytes are not kept between calls.
const MOST_KEPT: usize = 4 << 20;
/// Estimated overhead of an operation besides its name.
const ENTRY: usize = 80;

/// The operations of all services at one point in time.
#[derive(Debug)]
pub(crate) struct Names {
    /// Each writer's stamp at that point.
    stamps: Vec<Stamp>,
    services: BTreeMap<String, Service>,
    /// The number of operations that were passed to [`Names::add`].
    added: u64,
    bytes: usize,
}

/// Operations with their newest writes.
#[derive(Debug, Default)]
struct Service {
    newest: Written,
    operations: BTreeMap<(String, SpanKind), Written>,
}

/// A place in the order of writing: when the bucket was opened, and the place in it.
type Written = (Timestamp, u64);

/// Returns all services.
pub(crate) fn services(engine: &mut Engine) -> Result<Vec<String>, Error> {
    let names = names(engine)?;
    let mut services: Vec<_> = names.services.iter().collect();
    services.sort_by_key(|(_, service)| Reverse(service.newest));
    Ok(services.into_iter().map(|(name, _)| name.clone()).collect())
}

/// Returns the operations of one service.
pub(crate) fn operations(engine: &mut Engine, service: &str) -> Result<Vec<Operation>, Error> {
    let names = names(engine)?;
    let found = names.services.get(service);
    let mut operations: Vec<_> = found.iter().flat_map(|it| &it.operations).collect();
    operations.sort_by_key(|(_, written)| Reverse(**written));
    let operations = operations.into_iter().map(|((name, kind), _)| Operation {
        service: service.to_owned(),
        name: name.clone(),
        kind: *kind,
    });
    Ok(operations.collect())
}

/// Returns the names of what the views have, reusing those of the last call if no writer has written since.
fn names(engine: &mut Engine) -> Result<Rc<Names>, Error> {
    let stamps: Vec<Stamp> = engine.views.iter().map(|view| view.stamp).collect();
    if let Some(names) = engine.names.as_ref().filter(|it| it.stamps == stamps) {
        return Ok(Rc::clone(names));
    }
    engine.names = None;
    engine.store.begin_call();
    let mut names = Names {
        stamps,
        services: BTreeMap::new(),
        added: 0,
        bytes: 0,
    };
    each(engine, |opened, operation| names.add(opened, operation))?;
    let names = Rc::new(names);
    if names.bytes <= MOST_KEPT {
        engine.names = Some(Rc::clone(&names));
    }
    Ok(names)
}

// === impl Names ===

impl Names {
    /// Adds an operation of a bucket that was opened at this time. Those of one bucket come in the order written.
    fn add(&mut self, opened: Timestamp, (service, name, kind): (&str, &str, SpanKind)) {
        let Service { newest, operations } = match self.services.get_mut(service) {
            Some(service) => service,
            None => self.services.entry(service.to_owned()).or_default(),
        };
        self.added += 1;
        let written = (opened, self.added);
        *newest = written.max(*newest);
        let before = operations.len();
        let last = operations.entry((name.to_owned(), kind)).or_default();
        *last = written.max(*last);
        if operations.len() > before {
            self.bytes += name.len() + ENTRY;
        }
    }
}

/// Calls `take` with the time at which a bucket was opened and every operation of it; some are passed more than once.
fn each(
    engine: &mut Engine,
    mut take: impl FnMut(Timestamp, (&str, &str, SpanKind)),
) -> Result<(), Error> {
    for view in &engine.views {
        view.check_lost()?;
    }
    let sealed = sealed(&mut engine.store, &mut engine.views)?;
    let values: Vec<(&Writer, At)> = sealed.iter().map(|it| (&it.writer, it.at)).collect();
    let mut read = 0;
    for (place, view) in engine.views.iter().enumerate() {
        let buckets = view.manifest.buckets.iter();
        let opened: BTreeMap<u64, Timestamp> = buckets.map(|it| (it.number, it.opened)).collect();
        let newest = opened.values().copied().max().unwrap_or_default();
        while let Some(it) = sealed.get(read).filter(|it| it.view == place) {
            let rest = values.get(read..).unwrap_or_default();
            let value = engine.store.read_first(rest)?;
            read += 1;
            let (area, kind, number) = it.at;
            let opened = opened.get(&it.bucket).copied().unwrap_or_default();
            for operation in decode(value.payload()) {
                let damaged = |_| lost(&view.writer, area, kind, number, Fault::Damaged);
                take(opened, operation.map_err(damaged)?);
            }
        }
        for entry in &view.entries {
            // Entries are newer than what is sealed.
            let opened = entry.area.and_then(|bucket| opened.get(&bucket).copied());
            let opened = opened.unwrap_or(newest);
            for operation in decode(entry.operations()) {
                let area = entry.area.map_or(Area::Head, Area::Entries);
                let sequence = entry.sequence;
                let damaged = |_| lost(&view.writer, area, Kind::Entry, sequence, Fault::Damaged);
                take(opened, operation.map_err(damaged)?);
            }
        }
    }
    Ok(())
}

/// A value of operations that were new to a bucket.
struct Sealed {
    /// The index of its view.
    view: usize,
    writer: Writer,
    bucket: u64,
    at: At,
}

/// Returns all values of operations of sealed fragments, view by view, in the order written.
fn sealed(store: &mut Store, views: &mut [View]) -> Result<Vec<Sealed>, Error> {
    store.begin_plan();
    loop {
        for view in views.iter_mut() {
            for (_, segment) in view.segments.clone() {
                // A header that cannot be read raises its error below.
                view.header_from(store, &segment).ok();
            }
        }
        if !store.fetch()? {
            break;
        }
    }
    let mut sealed = Vec::new();
    for (place, view) in views.iter_mut().enumerate() {
        for (bucket, segment) in view.segments.clone() {
            let header = view.header_from(store, &segment)?;
            let numbers = header.groups.iter().flat_map(|it| &it.operations);
            sealed.extend(numbers.map(|number| Sealed {
                view: place,
                writer: view.writer.clone(),
                bucket,
                at: (Area::Data(bucket), Kind::Operations, *number),
            }));
        }
    }
    Ok(sealed)
}
