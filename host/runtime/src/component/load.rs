//! Compiles a component, says in which way it does not fit the world if it does not, and keeps what `/plugin` shows of it.

use std::sync::Arc;

use wasmtime::component::Component;

use super::source::fingerprint;
use super::{Error, Source};
use crate::sandbox::Runtime;
use crate::sandbox::contract::LinkedComponent;

mod measure;
mod names;

pub(crate) use names::Names;

/// The first bytes of a component, and of a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A compiled component that fits the world.
pub(crate) struct Loaded {
    pub(crate) component: LinkedComponent,
    /// XXH3-128 of its bytes, in hexadecimal.
    pub(crate) hash: String,
    /// What it imports and exports.
    pub(crate) names: Names,
    /// The bytes of its file.
    pub(crate) size: usize,
}

/// Reads the bytes. Refuses those that are not a component, or too large to be compiled.
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
    let world_error = |reason: String| Error::World {
        plugin: source.to_string(),
        reason,
    };
    let names = Names::read(bytes);
    names.check().map_err(world_error)?;
    let engine = runtime.engine();
    let component = Component::from_binary(engine, bytes).map_err(|error| Error::Load {
        plugin: source.to_string(),
        reason: format!("{error:#}; is the file whole, and built for wasm32-wasip2?"),
    })?;

    let linked = LinkedComponent::new(engine, &component).map_err(world_error)?;
    Ok(Loaded {
        component: linked,
        hash: fingerprint(bytes),
        names,
        size: bytes.len(),
    })
}

#[cfg(test)]
mod tests;
