//! Connects the generated exports, which are functions without a receiver, to a [`Plugin`]. Used by `export!`.

use std::marker::PhantomData;

use crate::bindings::exports::larder::storage::{
    integrity, lifecycle, purging, reader, replication, upkeep, writer,
};
use crate::{
    Batch, Checked, Counts, Environment, Error, Operation, Part, Pieces, Plugin, Remade, Repaired,
    Search, Sightings, Sizes, Timestamp, Wanted,
};

/// The storage of a component's single instance; `export!` implements it.
pub trait Instance: 'static {
    /// The plugin's type.
    type Plugin: Plugin;
    /// Calls with the instance, which is `None` until the host has called `open`.
    fn with<R>(call: impl FnOnce(&mut Option<Self::Plugin>) -> R) -> R;
}

/// The component for the plugin of `I`.
#[derive(Debug)]
pub struct Component<I>(PhantomData<I>);

fn opened<I: Instance, R>(
    call: impl FnOnce(&mut I::Plugin) -> Result<R, Error>,
) -> Result<R, Error> {
    I::with(|instance| match instance {
        Some(plugin) => call(plugin),
        None => Err(Error::Other("called before `open`".to_owned())),
    })
}

// === impl Component ===

impl<I: Instance> lifecycle::Guest for Component<I> {
    fn describe() -> lifecycle::Info {
        lifecycle::Info {
            name: I::Plugin::NAME.to_owned(),
            version: I::Plugin::VERSION.to_owned(),
            instancing: I::Plugin::INSTANCING,
        }
    }

    fn open(environment: Environment) -> Result<(), Error> {
        I::with(|instance| {
            if instance.is_some() {
                return Err(Error::Other("`open` called twice".to_owned()));
            }
            *instance = Some(Plugin::open(environment)?);
            Ok(())
        })
    }
}

impl<I: Instance> upkeep::Guest for Component<I> {
    /// What the host tells of memory is for languages that cannot ask for it themselves.
    fn maintain(now: Timestamp, _memory_used: u64, sizes: Sizes) -> Result<bool, Error> {
        opened::<I, _>(|plugin| plugin.maintain(now, sizes))
    }

    fn statistics() -> Counts {
        I::with(|instance| {
            instance
                .as_ref()
                .map_or_else(Counts::default, Plugin::statistics)
        })
    }
}

impl<I: Instance> replication::Guest for Component<I> {
    fn refresh() -> Result<(), Error> {
        opened::<I, _>(Plugin::refresh)
    }

    fn retire() -> Result<bool, Error> {
        opened::<I, _>(Plugin::retire)
    }
}

impl<I: Instance> integrity::Guest for Component<I> {
    fn check(resume: Option<Vec<u8>>) -> Result<Checked, Error> {
        opened::<I, _>(|plugin| plugin.check(resume.as_deref()))
    }

    fn repair(now: Timestamp, remade: Vec<Remade>) -> Result<Repaired, Error> {
        opened::<I, _>(|plugin| plugin.repair(now, &remade))
    }
}

impl<I: Instance> purging::Guest for Component<I> {
    fn purge() -> Result<(), Error> {
        opened::<I, _>(Plugin::purge)
    }
}

impl<I: Instance> writer::Guest for Component<I> {
    fn write(now: Timestamp, _memory_used: u64, batches: Vec<Batch>) -> Result<(), Error> {
        opened::<I, _>(|plugin| plugin.write(now, batches))
    }
}

impl<I: Instance> reader::Guest for Component<I> {
    fn find(search: Search, resume: Option<Vec<u8>>, limit: u32) -> Result<Sightings, Error> {
        if limit == 0 {
            return Err(Error::InvalidArgument("a page of 0 sightings".to_owned()));
        }
        opened::<I, _>(|plugin| plugin.find(&search, resume.as_deref(), limit))
    }

    fn read(
        wanted: Wanted,
        part: Part,
        resume: Option<Vec<u8>>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        opened::<I, _>(|plugin| plugin.read(&wanted, part, resume.as_deref(), max_bytes))
    }

    fn services() -> Result<Vec<String>, Error> {
        opened::<I, _>(Plugin::services)
    }

    fn operations(service: String) -> Result<Vec<Operation>, Error> {
        opened::<I, _>(|plugin| plugin.operations(&service))
    }
}
