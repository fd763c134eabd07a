//! The plugins that tests run against.

use std::path::{Path, PathBuf};

use crate::Client;
use crate::otlp::{service, span};

/// A storage plugin as `--plugin` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// The bundled `kv`, by name.
    Kv,
    /// The bundled `memory`, by name.
    Memory,
    /// `plugins/minimal`, from its file; or the file that `LARDER_TESTS_FILE` names, which does the same in another language.
    Minimal,
    /// A guest that keeps its data in `kv`, so that readers run beside its writer. It does any misdeed in any function: see [`arm`].
    Hostile,
    /// The same with one instance for everything.
    HostileExclusive,
    /// The kv plugin with small parts and injected faults.
    Brittle,
    /// The kv plugin with the mistake that its setting `mistake` names.
    Mistaken,
    /// A guest that reaches for what is outside of its sandbox: see `tests/guests/src/reaching.rs`.
    Reaching,
    /// `plugins/minimal` as it was built for version 0.1.0 of the contract.
    Minimal0_1,
    /// The plugin in C that was built for version 0.1.0 of the contract.
    C0_1,
    /// A replicated guest that was built for version 0.1.0 of the contract. It keeps its data in `kv`.
    Replicated0_1,
}

impl Plugin {
    /// Returns the argument of `--plugin`.
    pub fn argument(self) -> PathBuf {
        match self {
            Self::Kv => "kv".into(),
            Self::Memory => "memory".into(),
            Self::Minimal => {
                let other = std::env::var_os("LARDER_TESTS_FILE");
                other.map_or_else(|| env!("LARDER_TESTS_MINIMAL").into(), PathBuf::from)
            }
            Self::Hostile => Path::new(env!("LARDER_TESTS_HOSTILE")).into(),
            Self::HostileExclusive => Path::new(env!("LARDER_TESTS_HOSTILE_EXCLUSIVE")).into(),
            Self::Brittle => Path::new(env!("LARDER_TESTS_BRITTLE")).into(),
            Self::Mistaken => Path::new(env!("LARDER_TESTS_MISTAKEN")).into(),
            Self::Reaching => Path::new(env!("LARDER_TESTS_REACHING")).into(),
            Self::Minimal0_1 => fixture("contract-0.1.0/minimal.wasm"),
            Self::C0_1 => fixture("contract-0.1.0/c.wasm"),
            Self::Replicated0_1 => fixture("contract-0.1.0/replicated.wasm"),
        }
    }

    /// Returns what a server of this folder is told besides, for the plugin that `LARDER_TESTS_FILE` names: its settings and grants.
    pub(crate) fn arguments(self, folder: &Path) -> Vec<String> {
        let words = std::env::var("LARDER_TESTS_ARGUMENTS").ok();
        let words = words.filter(|_| self == Self::Minimal);
        words.map_or_else(Vec::new, |words| arguments(&words, folder))
    }
}

/// The words of `LARDER_TESTS_ARGUMENTS`, where `{unique}` is a name that a server of this folder has alone.
fn arguments(words: &str, folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap_or_default();
    let mut unique = String::new();
    for byte in name.as_encoded_bytes() {
        unique.extend([byte >> 4, byte & 15].map(|half| char::from(b'a' + half)));
    }
    let words = words.replace("{unique}", &unique);
    words.split_whitespace().map(str::to_owned).collect()
}

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(file)
}

/// Arms a hostile guest with this `MISDEED at FUNCTION`; `tests/guests/src/hostile.rs` lists them.
pub async fn arm(client: &Client, attack: &str) {
    order(client, &format!("arm {attack}")).await;
}

/// Disarms a hostile guest.
pub async fn disarm(client: &Client) {
    order(client, "disarm").await;
}

async fn order(client: &Client, order: &str) {
    let one = span([9; 16], 1).at(5);
    client.store([service(order).span(one)]).await;
}
