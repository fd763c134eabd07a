//! The versions of the contract: each has bindings of its own, behind one set of calls in the host's own types.
//!
//! A version is one module: `v0_1`, which is frozen, and `v0_2`, which is in development. `shared` has the code that is the same for
//! both. Architecture invariant: nothing outside this module depends on the generated types of a version, and nothing but
//! [`ContractVersion`] tells the versions apart.

mod shared;
mod typecheck;
mod v0_1;
mod v0_2;

use std::str::FromStr;

use larder_store::Claim;
use serde::{Serialize, Serializer};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use self::typecheck::ExportTypes;
use super::guest::GuestState;
use super::network;
use crate::component::Instancing;

/// A version of `larder:storage`, the package in `wit/`, that the host can load components of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractVersion {
    /// 0.1.0, in `wit/0.1.0`: frozen.
    V0_1,
    /// 0.2.0, in `wit`: in development.
    V0_2,
}

/// A text that names no version of the contract that the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server has the versions 0.2.0 and 0.1.0")]
pub struct UnknownVersion;

/// A compiled component of one version, with its imports linked.
#[derive(Clone)]
pub(crate) enum LinkedComponent {
    V0_1(v0_1::PluginPre<GuestState>),
    V0_2(v0_2::PluginPre),
}

/// The exports of one instance. `v0_1::Plugin` and `v0_2::Plugin` have the same functions, in the host's own types.
pub(crate) enum Exports {
    V0_1(v0_1::Plugin),
    V0_2(v0_2::Plugin),
}

/// The reason why what a plugin keeps outside of the host cannot be purged.
const NO_PURGE: &str =
    "it does not export `purging`, so what it keeps outside of Larder has to be deleted there";
/// The reason why a plugin that was built for 0.1.0 cannot repair.
const NO_REPAIR: &str = "it was built for version 0.1.0 of the contract, which has no `repair`";

/// The contract's `types.error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own")]
pub enum GuestError {
    InvalidArgument(String),
    ResourceExhausted(String),
    Unavailable(String),
    DataLoss(String),
    Other(String),
}

/// The contract's `lifecycle.info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instancing: Instancing,
}

/// The contract's `lifecycle.environment`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment<'a> {
    pub(crate) role: Role<'a>,
    /// From 0.2.0 on. Empty for an instance that is tried out.
    pub(crate) tenant: &'a str,
    /// In bytes.
    pub(crate) memory_limit: u64,
    pub(crate) seed: u64,
    /// Names and values.
    pub(crate) settings: &'a [(String, String)],
}

/// The contract's `lifecycle.role`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'a> {
    Writer(Identity<'a>),
    Reader,
    /// From 0.2.0 on.
    Repairer,
}

/// The contract's `lifecycle.identity`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) id: &'a str,
    /// From 0.2.0 on.
    pub(crate) number: u16,
}

/// The contract's `upkeep.sizes`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) tenant: u64,
    /// From 0.2.0 on.
    pub(crate) own: u64,
}

// === impl Identity ===

impl<'a> From<&'a Claim> for Identity<'a> {
    fn from(claim: &'a Claim) -> Self {
        Self {
            id: &claim.writer,
            number: claim.number,
        }
    }
}

// === impl ContractVersion ===

impl ContractVersion {
    /// All of them, newest first.
    pub(crate) const ALL: [Self; 2] = [Self::V0_2, Self::V0_1];

    /// The version as in the package's name: `0.1.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
            Self::V0_2 => "0.2.0",
        }
    }

    /// The text of the contract: its file in `wit/`.
    pub fn text(self) -> &'static str {
        match self {
            Self::V0_1 => include_str!("../../../../../wit/0.1.0/storage.wit"),
            Self::V0_2 => include_str!("../../../../../wit/storage.wit"),
        }
    }

    /// The full name of an interface or a world of the package: `larder:storage/reader@0.1.0`.
    pub(crate) fn name_of(self, item: &str) -> String {
        format!("larder:storage/{item}@{}", self.as_str())
    }
}

impl FromStr for ContractVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == text);
        known.ok_or(UnknownVersion)
    }
}

impl Serialize for ContractVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

// === impl LinkedComponent ===

impl LinkedComponent {
    /// Checks that the component fits the world of the version that it was built for, and links its imports.
    ///
    /// # Errors
    /// Every import and export that does not fit.
    pub(crate) fn new(engine: &Engine, component: &Component) -> Result<Self, String> {
        let exports = ExportTypes::new(engine, component)?;
        exports.check(match exports.version() {
            ContractVersion::V0_1 => v0_1::check_exports,
            ContractVersion::V0_2 => v0_2::check_exports,
        })?;
        let linked = || -> wasmtime::Result<Self> {
            let mut linker = Linker::new(engine);
            link(&mut linker)?;
            let pre = linker.instantiate_pre(component)?;
            Ok(match exports.version() {
                ContractVersion::V0_1 => Self::V0_1(v0_1::PluginPre::new(pre)?),
                ContractVersion::V0_2 => Self::V0_2(v0_2::PluginPre::new(pre, &exports)?),
            })
        };
        linked().map_err(|error| format!("{error:#}"))
    }

    pub(crate) fn version(&self) -> ContractVersion {
        match self {
            Self::V0_1(_) => ContractVersion::V0_1,
            Self::V0_2(_) => ContractVersion::V0_2,
        }
    }

    /// # Errors
    /// The reason why the plugin cannot repair.
    pub(crate) fn check_repair(&self) -> Result<(), &'static str> {
        match self {
            Self::V0_1(_) => Err(NO_REPAIR),
            Self::V0_2(pre) => pre.check_repair(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::V0_1(pre) => pre.engine(),
            Self::V0_2(pre) => pre.engine(),
        }
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Exports> {
        Ok(match self {
            Self::V0_1(pre) => Exports::V0_1(pre.instantiate_async(store).await?),
            Self::V0_2(pre) => Exports::V0_2(pre.instantiate_async(store).await?),
        })
    }
}

/// Links everything that a guest may import: `kv` and `log` of every version, and WASI. All of WASI is linked, since what compilers
/// make imports it, but [`GuestState::new`] gives random numbers and the monotonic clock, and what is granted: no arguments and no files.
fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    link_wasi(linker)?;
    network::link(linker)?;
    v0_1::Plugin::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    v0_2::Imports::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

/// All of WASI 0.2 but what of `sockets` the host answers itself.
fn link_wasi(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p2::bindings::{cli, filesystem, random, sockets};
    use wasmtime_wasi::random::WasiRandom;
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

    type State = GuestState;

    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    let options = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<State, WasiSockets>(linker, &options, State::sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)
}

#[cfg(test)]
mod tests;
