//! The services and operations of what is stored, put together from what each bucket has of them.

use std::collections::BTreeSet;

use larder_plugin::{Error, Operation, SpanKind};

use crate::engine::Engine;
use crate::frame::{Area, Fault, Kind};
use crate::operations::{decode, owned};
use crate::store::lost;

/// All services.
pub(crate) fn services(engine: &mut Engine) -> Result<Vec<String>, Error> {
    let mut services = BTreeSet::new();
    each(engine, |(service, _, _)| {
        if !services.contains(service) {
            services.insert(service.to_owned());
        }
    })?;
    Ok(services.into_iter().collect())
}

/// The operations of one service.
pub(crate) fn operations(engine: &mut Engine, service: &str) -> Result<Vec<Operation>, Error> {
    let mut operations = BTreeSet::new();
    each(engine, |operation| {
        if operation.0 == service {
            operations.insert(owned(operation));
        }
    })?;
    Ok(operations.into_iter().collect())
}

/// Gives every operation, some of them more than once.
fn each(engine: &mut Engine, mut take: impl FnMut((&str, &str, SpanKind))) -> Result<(), Error> {
    engine.follow()?;
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
