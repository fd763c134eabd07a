//! The plugins that tests run against.

use std::path::{Path, PathBuf};

/// A storage plugin as `--plugin` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// The bundled `kv`, by name.
    Kv,
    /// The bundled `memory`, by name.
    Memory,
    /// `plugins/minimal`, from its file.
    Minimal,
    /// A guest that keeps traces as it should, until one of the service names of `tests/guests` makes it misbehave.
    Hostile,
    /// A guest whose data lives in `kv`, so that readers run beside its writer.
    Replicated,
    /// A guest that does any misdeed in any function, as it is told.
    Rogue,
    /// The kv plugin with small parts, and with traps.
    Brittle,
    /// `plugins/minimal` as it was built for version 0.1.0 of the contract.
    Minimal0_1,
    /// The plugin in C that was built for version 0.1.0 of the contract.
    C0_1,
    /// `tests/guests/replicated` as it was built for version 0.1.0 of the contract: it keeps its data in `kv`.
    Replicated0_1,
}

impl Plugin {
    /// The argument of `--plugin`.
    pub fn argument(self) -> PathBuf {
        match self {
            Self::Kv => "kv".into(),
            Self::Memory => "memory".into(),
            Self::Minimal => Path::new(env!("LARDER_TESTS_MINIMAL")).into(),
            Self::Hostile => Path::new(env!("LARDER_TESTS_HOSTILE")).into(),
            Self::Brittle => Path::new(env!("LARDER_TESTS_BRITTLE")).into(),
            Self::Rogue => Path::new(env!("LARDER_TESTS_ROGUE")).into(),
            Self::Replicated => Path::new(env!("LARDER_TESTS_REPLICATED")).into(),
            Self::Minimal0_1 => fixture("contract-0.1.0/minimal.wasm"),
            Self::C0_1 => fixture("contract-0.1.0/c.wasm"),
            Self::Replicated0_1 => fixture("contract-0.1.0/replicated.wasm"),
        }
    }
}

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(file)
}
