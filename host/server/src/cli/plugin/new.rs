//! `larder plugin new`.

use std::env;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use larder_runtime::plugin::ContractVersion;

/// Options of `larder plugin new`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct NewCommand {
    /// The plugin's name, and that of its folder: lower-case letters, digits and dashes
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// The language to write it in
    #[arg(long, value_enum)]
    pub language: Language,
    /// Make the folder here
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
}

/// A language that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// C, with clang and wit-bindgen
    C,
    /// Go, with wit-bindgen
    Go,
    /// JavaScript, with componentize-js
    Js,
    /// Python, with componentize-py
    Python,
    /// Rust, with wit-bindgen
    Rust,
}

/// The tested example of a language, which is its template.
struct Template {
    /// The name that the example gives itself.
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Folders that building makes, besides that of the tools: a line of `.gitignore` each.
    made: &'static str,
    /// Programs of which one has to be there, and where they come from.
    tools: &'static [(&'static [&'static str], &'static str)],
}

macro_rules! example {
    ($folder:literal: $($file:literal),* $(,)?) => {
        &[$((
            $file,
            include_str!(concat!("../../../../../plugins/examples/", $folder, "/", $file)),
        )),*]
    };
}

const C: Template = Template {
    name: "minimal-c",
    files: example!("c": "plugin.c", "build.sh"),
    made: "bindings/\n",
    tools: &[
        (
            &["clang", "clang-22"],
            "clang with the C library of WASI: https://github.com/WebAssembly/wasi-sdk/releases \
             (Debian: clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc)",
        ),
        WIT_BINDGEN,
        WASM_TOOLS,
    ],
};

const GO: Template = Template {
    name: "minimal-go",
    files: example!(
        "go": "plugin.go", "adapter.wat", "go.mod", "build.sh", "pkg/go.mod", "pkg/LICENSE", "pkg/wit/runtime/empty.s",
        "pkg/wit/runtime/runtime.go", "pkg/wit/types/option.go", "pkg/wit/types/result.go", "pkg/wit/types/unit.go",
    ),
    made: "bindings/\n",
    tools: &[
        (&["go"], "Go 1.26 or later: https://go.dev/dl"),
        WIT_BINDGEN,
        WASM_TOOLS,
    ],
};

const JS: Template = Template {
    name: "minimal-js",
    files: example!("js": "plugin.js", "package.json", "package-lock.json", "build.sh"),
    made: "",
    tools: &[
        (
            &["node"],
            "Node.js 20 or later: https://nodejs.org/en/download",
        ),
        (&["npm"], "it comes with Node.js"),
    ],
};

const PYTHON: Template = Template {
    name: "minimal-python",
    files: example!("python": "plugin.py", "requirements.txt", "build.sh"),
    made: "__pycache__/\n",
    tools: &[(
        &["python3"],
        "Python 3.10 or later with `venv`: https://www.python.org/downloads (Debian: python3-venv)",
    )],
};

const RUST: Template = Template {
    name: "minimal-rust",
    files: example!("rust": "src/lib.rs", "Cargo.toml", "Cargo.lock", "build.sh"),
    made: "target/\n",
    tools: &[(
        &["cargo"],
        "Rust 1.88 or later with the target wasm32-wasip2: https://rustup.rs",
    )],
};

// The versions are those of `build.sh`. Where they are missing, it lets `cargo` build them.
const WIT_BINDGEN: (&[&str], &str) = (
    &["wit-bindgen", "cargo"],
    "Its version 0.63.0: https://github.com/bytecodealliance/wit-bindgen/releases, \
     or `cargo`, which builds it: https://rustup.rs",
);

const WASM_TOOLS: (&[&str], &str) = (
    &["wasm-tools", "cargo"],
    "Its version 1.262.0: https://github.com/bytecodealliance/wasm-tools/releases, or `cargo`",
);

/// How Jaeger reaches the plugin, in every language.
const JAEGER: &str = include_str!("../../../../../plugins/examples/jaeger.yaml");
/// The README of what is made, where `minimal` is the plugin's name.
const README: &str = include_str!("new/README.md");

/// Makes a folder with a plugin that works, the contract, and the commands that build it. Nothing that is there is touched.
pub(in super::super) fn new(command: &NewCommand) -> anyhow::Result<()> {
    let NewCommand { name, language, to } = command;
    let template = match language {
        Language::C => C,
        Language::Go => GO,
        Language::Js => JS,
        Language::Python => PYTHON,
        Language::Rust => RUST,
    };
    let folder = to.join(name);
    fs::create_dir_all(to)
        .and_then(|()| fs::create_dir(&folder))
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (file, text) in template.files {
        let text = text
            .replace(template.name, name)
            .replace("../../../wit/storage.wit", "storage.wit");
        write(&folder.join(file), &text)?;
    }
    write(&folder.join("storage.wit"), ContractVersion::V0_2.text())?;
    write(&folder.join("jaeger.yaml"), JAEGER)?;
    write(&folder.join("README.md"), &README.replace("minimal", name))?;
    let ignored = format!(".tools/\n{}*.wasm\n", template.made);
    write(&folder.join(".gitignore"), &ignored)?;
    let mut to = stdout().lock();
    let told = writeln!(
        to,
        "{} is a plugin that keeps everything in memory. In that folder:",
        folder.display()
    );
    told.and_then(|()| {
        writeln!(
            to,
            "  ./build.sh
  larder plugin test {name}.wasm
  larder --plugin ./{name}.wasm
Its README.md goes on from there to a trace in Jaeger."
        )
    })
    .context("cannot print")?;
    drop(to);
    missing(template.tools)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = parent.and_then(|()| fs::write(path, text)).and_then(|()| {
        #[cfg(unix)]
        if path.extension().is_some_and(|it| it == "sh") {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Fails if none of some programs is on the path or in `wasi-sdk`, and says how to get the first one.
fn missing(tools: &[(&[&str], &str)]) -> anyhow::Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sdk = env::var_os("WASI_SDK_PATH").unwrap_or_else(|| "/opt/wasi-sdk".into());
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.push(Path::new(&sdk).join("bin"));
    let is_there = |tool: &&str| folders.iter().any(|folder| folder.join(tool).is_file());
    let missing = tools.iter().filter(|(any, _)| !any.iter().any(is_there));
    let missing = missing.map(|(any, from)| {
        let tool = any.first().copied().unwrap_or_default();
        format!("`{tool}` is not on the path. {from}")
    });
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("it cannot be built yet: {}", missing.join("; "))
}

/// Checks the name of a plugin and of its folder.
fn name(text: &str) -> anyhow::Result<String> {
    let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=64).contains(&text.len()) && text.chars().all(is_known) && !text.starts_with('-'),
        "a plugin's name is 1 to 64 of lower-case letters, digits and dashes, and does not begin with a dash"
    );
    Ok(text.to_owned())
}
