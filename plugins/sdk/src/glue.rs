//! Between the generated exports, which are functions without a receiver, and [`Plugin`], which has one. Used by `export!`.

use std::marker::PhantomData;

use crate::bindings::exports::larder::storage::{lifecycle, reader, writer};
use crate::{
    Batch, Checked, Counts, Environment, Error, Operation, Part, Pieces, Plugin, Search, Sightings,
    Timestamp, Wanted,
};

/// A plugin with a place for its one instance; `export!` implements it.
pub trait Instance: Plugin {
    /// Calls with the place, which is empty until the host has called `open`.
    fn with<R>(call: impl FnOnce(&mut Option<Self>) -> R) -> R;
}

/// The component that `P` becomes.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

fn opened<P: Instance, R>(call: impl FnOnce(&mut P) -> Result<R, Error>) -> Result<R, Error> {
    P::with(|instance| match instance {
        Some(plugin) => call(plugin),
        None => Err(Error::Other("called before `open`".to_owned())),
    })
}

// === impl Component ===

impl<P: Instance> lifecycle::Guest for Component<P> {
    fn describe() -> lifecycle::Info {
        lifecycle::Info {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            instancing: P::INSTANCING,
        }
    }

    fn open(environment: Environment) -> Result<(), Error> {
        P::with(|instance| {
            if instance.is_some() {
                return Err(Error::Other("`open` called twice".to_owned()));
            }
            *instance = Some(P::open(environment)?);
            Ok(())
        })
    }

    fn maintain(now: Timestamp, stored_bytes: u64) -> Result<bool, Error> {
        opened(|plugin: &mut P| plugin.maintain(now, stored_bytes))
    }

    fn statistics() -> Counts {
        P::with(|instance| {
            instance
                .as_ref()
                .map_or_else(Counts::default, P::statistics)
        })
    }

    fn check(resume: Option<Vec<u8>>) -> Result<Checked, Error> {
        opened(|plugin: &mut P| plugin.check(resume.as_deref()))
    }
}

impl<P: Instance> writer::Guest for Component<P> {
    fn write(now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        opened(|plugin: &mut P| plugin.write(now, batches))
    }
}

impl<P: Instance> reader::Guest for Component<P> {
    fn find(search: Search, resume: Option<Vec<u8>>, limit: u32) -> Result<Sightings, Error> {
        if limit == 0 {
            return Err(Error::InvalidArgument("a page of 0 sightings".to_owned()));
        }
        opened(|plugin: &mut P| plugin.find(&search, resume.as_deref(), limit))
    }

    fn read(
        wanted: Wanted,
        part: Part,
        resume: Option<Vec<u8>>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        opened(|plugin: &mut P| plugin.read(&wanted, part, resume.as_deref(), max_bytes))
    }

    fn services() -> Result<Vec<String>, Error> {
        opened(P::services)
    }

    fn operations(service: String) -> Result<Vec<Operation>, Error> {
        opened(|plugin: &mut P| plugin.operations(&service))
    }
}
