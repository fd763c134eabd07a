//! Connects the generated exports, which are functions without a receiver, to a [`Plugin`]. Used by `export!`.

use std::marker::PhantomData;

use crate::bindings::exports::larder::storage::{lifecycle, reader, writer};
use crate::{
    Batch, Checked, Counts, Environment, Error, Operation, Part, Pieces, Plugin, Remade, Repaired,
    Search, Sightings, Timestamp, Wanted,
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

/// The most bytes of a list of names: half of what the host takes from one call, and more than it answers with.
const MAX_LIST: usize = 32 << 20;
/// Estimated bytes of a name besides its text.
const ENTRY: usize = 64;

/// The first entries of a list, as many as one call returns to the host.
fn within_call<T>(mut list: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut left = MAX_LIST;
    let fitting = list.iter().take_while(|entry| {
        let rest = left.checked_sub(bytes(entry) + ENTRY);
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    let count = fitting.count();
    list.truncate(count);
    list
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

    fn maintain(now: Timestamp, stored_bytes: u64) -> Result<bool, Error> {
        opened::<I, _>(|plugin| plugin.maintain(now, stored_bytes))
    }

    fn statistics() -> Counts {
        I::with(|instance| {
            instance
                .as_ref()
                .map_or_else(Counts::default, Plugin::statistics)
        })
    }

    fn check(resume: Option<Vec<u8>>) -> Result<Checked, Error> {
        opened::<I, _>(|plugin| plugin.check(resume.as_deref()))
    }

    fn repair(now: Timestamp, remade: Vec<Remade>) -> Result<Repaired, Error> {
        opened::<I, _>(|plugin| plugin.repair(now, &remade))
    }
}

impl<I: Instance> writer::Guest for Component<I> {
    fn write(now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
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
        let services = opened::<I, _>(Plugin::services);
        services.map(|services| within_call(services, String::len))
    }

    fn operations(service: String) -> Result<Vec<Operation>, Error> {
        let operations = opened::<I, _>(|plugin| plugin.operations(&service));
        let bytes = |operation: &Operation| operation.service.len() + operation.name.len();
        operations.map(|operations| within_call(operations, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_where_one_call_is_full() {
        let mib = || "n".repeat(1 << 20);
        assert_eq!(within_call(vec![mib(); 20], String::len).len(), 20);
        assert_eq!(within_call(vec![mib(); 50], String::len).len(), 31);
        assert_eq!(within_call(vec![String::new(); 9], String::len).len(), 9);
    }
}
