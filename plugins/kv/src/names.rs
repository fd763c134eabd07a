//! Services and operations of all stored data, collected from the buckets.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use larder_plugin::{Error, Operation, SpanKind};

use crate::engine::Engine;
use crate::frame::{Area, Fault, Kind};
use crate::manifest::Stamp;
use crate::operations::decode;
use crate::store::lost;

/// Names of more bytes are not kept between calls.
const MOST_KEPT: usize = 4 << 20;
/// Estimated overhead of an operation besides its name.
const ENTRY: usize = 64;

/// The operations of all services at one point in time.
#[derive(Debug)]
pub(crate) struct Names {
    /// Each writer's stamp at that point.
    stamps: Vec<Stamp>,
    services: BTreeMap<String, BTreeSet<(String, SpanKind)>>,
    bytes: usize,
}

/// Returns all services.
pub(crate) fn services(engine: &mut Engine) -> Result<Vec<String>, Error> {
    Ok(names(engine)?.services.keys().cloned().collect())
}

/// Returns the operations of one service.
pub(crate) fn operations(engine: &mut Engine, service: &str) -> Result<Vec<Operation>, Error> {
    let names = names(engine)?;
    let operations = names.services.get(service).into_iter().flatten();
    let operations = operations.map(|(name, kind)| Operation {
        service: service.to_owned(),
        name: name.clone(),
        kind: *kind,
    });
    Ok(operations.collect())
}

/// Returns the current names, reusing those of the last call if no writer has written since.
fn names(engine: &mut Engine) -> Result<Rc<Names>, Error> {
    engine.follow()?;
    let stamps: Vec<Stamp> = engine.views.iter().map(|view| view.stamp).collect();
    if let Some(names) = engine.names.as_ref().filter(|it| it.stamps == stamps) {
        return Ok(Rc::clone(names));
    }
    engine.names = None;
    let mut names = Names {
        stamps,
        services: BTreeMap::new(),
        bytes: 0,
    };
    each(engine, |operation| names.add(operation))?;
    let names = Rc::new(names);
    if names.bytes <= MOST_KEPT {
        engine.names = Some(Rc::clone(&names));
    }
    Ok(names)
}

// === impl Names ===

impl Names {
    fn add(&mut self, (service, name, kind): (&str, &str, SpanKind)) {
        let operations = match self.services.get_mut(service) {
            Some(operations) => operations,
            None => self.services.entry(service.to_owned()).or_default(),
        };
        if operations.insert((name.to_owned(), kind)) {
            self.bytes += name.len() + ENTRY;
        }
    }
}

/// Calls `take` with every operation; some are passed more than once.
fn each(engine: &mut Engine, mut take: impl FnMut((&str, &str, SpanKind))) -> Result<(), Error> {
    for view in &mut engine.views {
        view.check_lost()?;
        for (bucket, segment) in view.segments.clone() {
            let header = view.header(segment.number)?;
            for number in header.groups.iter().flat_map(|it| &it.operations) {
                let area = Area::Data(bucket);
                let (kind, number) = (Kind::Operations, *number);
                let value = engine.store.read(&view.writer, area, kind, number)?;
                for operation in decode(value.payload()) {
                    let damaged = |_| lost(&view.writer, area, kind, number, Fault::Damaged);
                    take(operation.map_err(damaged)?);
                }
            }
        }
        for entry in &view.entries {
            for operation in decode(entry.operations()) {
                let area = entry.area.map_or(Area::Head, Area::Entries);
                let sequence = entry.sequence;
                let damaged = |_| lost(&view.writer, area, Kind::Entry, sequence, Fault::Damaged);
                take(operation.map_err(damaged)?);
            }
        }
    }
    Ok(())
}
