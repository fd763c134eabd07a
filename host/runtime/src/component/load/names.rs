//! What a component imports and exports, by name, read before it is compiled: that may take half a minute, and what does not fit is seen
//! at once.

use wasmparser::{Parser, Payload};

use crate::sandbox::ContractVersion;

/// The packages of WASI 0.2 that there is something behind, if only to say no.
const WASI: [&str; 7] = [
    "cli",
    "clocks",
    "filesystem",
    "http",
    "io",
    "random",
    "sockets",
];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    /// False for bytes that end too early, or are no component.
    is_whole: bool,
}

// === impl Names ===

impl Names {
    /// Those of the component itself, not of what is inside it. What cannot be read at all is for the compiler to say.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut names = Self {
            is_whole: true,
            ..Self::default()
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else {
                names.is_whole = false;
                break;
            };
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let all = section.into_iter().filter_map(Result::ok);
                    names.imports.extend(all.map(|it| it.name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    let all = section.into_iter().filter_map(Result::ok);
                    names.exports.extend(all.map(|it| it.name.name.to_owned()));
                }
                _ => {}
            }
        }
        names
    }

    /// # Errors
    /// It was built for no version of the contract that the host has, or imports what no plugin has.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.is_whole {
            return Ok(());
        }
        ContractVersion::of_exports(self.exports.iter().map(String::as_str))?;
        let unknown = self.imports.iter().filter(|it| !is_known(it));
        let unknown: Vec<String> = unknown.map(|it| format!("`{it}`")).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!(
            "it imports {}, which no plugin has: there are `kv` and `log` of `larder:storage`, and of WASI 0.2 {}",
            unknown.join(", "),
            WASI.join(", ")
        ))
    }
}

fn is_known(import: &str) -> bool {
    let of_contract = import.strip_prefix("larder:storage/");
    if let Some((interface, version)) = of_contract.and_then(|it| it.split_once('@')) {
        return ["types", "kv", "log"].contains(&interface)
            && ContractVersion::compatible(version).is_some();
    }
    let of_wasi = import
        .strip_prefix("wasi:")
        .and_then(|it| it.split_once('/'));
    of_wasi.is_some_and(|(package, interface)| {
        let (name, version) = interface.split_once('@').unwrap_or_default();
        // Nobody sends requests to a plugin.
        WASI.contains(&package) && version.starts_with("0.2.") && name != "incoming-handler"
    })
}
