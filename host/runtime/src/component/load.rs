//! Compiles a component, says in which way it does not fit the world if it does not, and keeps what `/plugin` shows of it.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::{Component as Type, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, Lift, Linker, Lower};

use super::source::fingerprint;
use super::{Error, Source};
use crate::sandbox::Runtime;
use crate::sandbox::bindings::PluginPre;
use crate::sandbox::bindings::exports::larder::storage::{lifecycle, reader, writer};
use crate::sandbox::bindings::larder::storage::types;
use crate::sandbox::guest::{self, State};

mod measure;

const LIFECYCLE: &str = "larder:storage/lifecycle@0.1.0";
const WRITER: &str = "larder:storage/writer@0.1.0";
const READER: &str = "larder:storage/reader@0.1.0";
/// The first bytes of a component, and of a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A compiled component that fits the world.
pub(crate) struct Loaded {
    pub(crate) pre: PluginPre<State>,
    /// XXH3-128 of its bytes, in hexadecimal.
    pub(crate) hash: String,
    /// The interfaces that it imports.
    pub(crate) imports: Vec<String>,
}

/// Reads the bytes, and refuses what is no component, or larger than what is compiled.
pub(crate) fn read(source: &Source) -> Result<Arc<[u8]>, Error> {
    let bytes = source.read()?;
    let load_error = |reason: String| Error::Load {
        plugin: source.to_string(),
        reason,
    };
    if bytes.starts_with(CORE_MODULE) {
        return Err(load_error(
            "it is a core module; build it for the target wasm32-wasip2, or make a component of it with `wasm-tools component new`"
                .into(),
        ));
    }
    if !bytes.starts_with(COMPONENT) {
        return Err(load_error(
            "it does not start as a wasm component does".into(),
        ));
    }
    measure::fits(&bytes).map_err(load_error)?;
    Ok(bytes.into())
}

/// Compiles and checks; takes as long as the compiler does where the code is not cached.
pub(crate) fn load(runtime: &Runtime, source: &Source, bytes: &[u8]) -> Result<Loaded, Error> {
    let engine = runtime.engine();
    let component = Component::from_binary(engine, bytes).map_err(|error| Error::Load {
        plugin: source.to_string(),
        reason: format!("{error:#}; is the file whole, and built for wasm32-wasip2?"),
    })?;

    let world_error = |reason: String| Error::World {
        plugin: source.to_string(),
        reason,
    };
    check_exports(engine, &component).map_err(world_error)?;
    let mut linker = Linker::new(engine);
    let pre = guest::link(&mut linker)
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(PluginPre::new)
        .map_err(|error| world_error(format!("{error:#}")))?;
    let ty = component.component_type();
    Ok(Loaded {
        pre,
        hash: fingerprint(bytes),
        imports: ty
            .imports(engine)
            .map(|(name, _)| name.to_owned())
            .collect(),
    })
}

/// Names everything that is missing or has another type than the contract's.
fn check_exports(engine: &Engine, component: &Component) -> Result<(), String> {
    type Answer<T> = (Result<T, types::Error>,);

    let exports = Exports {
        engine,
        ty: component.component_type(),
    };
    let checks = [
        exports.check::<(), (lifecycle::Info,)>(LIFECYCLE, "describe"),
        exports.check::<(lifecycle::Environment<'static>,), Answer<()>>(LIFECYCLE, "open"),
        exports.check::<(u64, u64), Answer<bool>>(LIFECYCLE, "maintain"),
        exports.check::<(), (lifecycle::Counts,)>(LIFECYCLE, "statistics"),
        exports.check::<(Option<&'static [u8]>,), Answer<lifecycle::Checked>>(LIFECYCLE, "check"),
        exports.check::<(u64, &'static [writer::Batch<'static>]), Answer<()>>(WRITER, "write"),
        exports.check::<
            (reader::Search<'static>, Option<&'static [u8]>, u32),
            Answer<reader::Sightings>,
        >(READER, "find"),
        exports.check::<
            (reader::Wanted<'static>, reader::Part, Option<&'static [u8]>, u32),
            Answer<reader::Pieces>,
        >(READER, "read"),
        exports.check::<(), Answer<Vec<String>>>(READER, "services"),
        exports.check::<(&'static str,), Answer<Vec<types::Operation>>>(READER, "operations"),
    ];
    let mut wrong: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
    wrong.dedup();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// A component's exports, to be held against the world.
struct Exports<'a> {
    engine: &'a Engine,
    ty: Type,
}

impl Exports<'_> {
    fn check<Parameters, Results>(&self, interface: &str, function: &str) -> Result<(), String>
    where
        Parameters: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let ComponentItem::ComponentInstance(instance) = self
            .ty
            .get_export(self.engine, interface)
            .ok_or_else(|| self.missing(interface))?
            .ty
        else {
            return Err(format!("its export `{interface}` is no interface"));
        };
        let ComponentItem::ComponentFunc(ty) = instance
            .get_export(self.engine, function)
            .ok_or_else(|| format!("`{interface}` lacks the function `{function}`"))?
            .ty
        else {
            return Err(format!("`{function}` of `{interface}` is no function"));
        };
        ty.typecheck::<Parameters, Results>(&self.ty.instance_type())
            .map_err(|error| format!("`{function}` of `{interface}` has another type: {error:#}"))
    }

    /// Names the other version that is there, if one is.
    fn missing(&self, interface: &str) -> String {
        let unversioned = |name: &str| name.split('@').next().map(str::to_owned);
        let mut names = self.ty.exports(self.engine).map(|(name, _)| name);
        match names.find(|name| unversioned(name) == unversioned(interface)) {
            Some(other) => format!("it exports `{other}` where `{interface}` is needed"),
            None => format!("it does not export `{interface}`"),
        }
    }
}

#[cfg(test)]
mod tests;
