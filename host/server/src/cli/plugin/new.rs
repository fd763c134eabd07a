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
    /// JavaScript, with componentize-js
    Js,
    /// Python, with componentize-py
    Python,
}

/// The tested example of a language, which is its template.
struct Template {
    /// The name that the example gives itself.
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// A program that has to be there, and where it comes from.
    tools: &'static [(&'static str, &'static str)],
}

macro_rules! example {
    ($folder:literal: $($file:literal),* $(,)?) => {
        &[$((
            $file,
            include_str!(concat!("../../../../../plugins/examples/", $folder, "/", $file)),
        )),*]
    };
}

const JS: Template = Template {
    name: "minimal-js",
    files: example!("js": "plugin.js", "package.json", "build.sh"),
    tools: &[
        (
            "node",
            "Node.js 20 or later: https://nodejs.org/en/download",
        ),
        ("npm", "it comes with Node.js"),
    ],
};

const PYTHON: Template = Template {
    name: "minimal-python",
    files: example!("python": "plugin.py", "requirements.txt", "build.sh"),
    tools: &[(
        "python3",
        "Python 3.10 or later with `venv`: https://www.python.org/downloads (Debian: python3-venv)",
    )],
};

/// Makes a folder with a plugin that works, the contract, and the commands that build it. Nothing that is there is touched.
pub(in super::super) fn new(command: &NewCommand) -> anyhow::Result<()> {
    let NewCommand { name, language, to } = command;
    let template = match language {
        Language::Js => JS,
        Language::Python => PYTHON,
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
    write(&folder.join("README.md"), &readme(name))?;
    write(&folder.join(".gitignore"), ".tools/\n*.wasm\n")?;
    let mut to = stdout().lock();
    let told = writeln!(
        to,
        "{} is a plugin that keeps everything in memory. In that folder:",
        folder.display()
    );
    told.and_then(|()| writeln!(to, "{}", commands(name)))
        .context("cannot print")?;
    drop(to);
    missing(template.tools)
}

fn commands(name: &str) -> String {
    format!(
        "  ./build.sh
  larder plugin test {name}.wasm
  larder --plugin ./{name}.wasm"
    )
}

fn readme(name: &str) -> String {
    let commands = commands(name);
    format!(
        "# {name}

A storage plugin for Larder.

```sh
{commands}
```

The first line installs the compiler into `.tools`, and builds {name}.wasm. The second one tests it against the contract,
`storage.wit`. The third one serves Jaeger with it.
"
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = fs::write(path, text).and_then(|()| {
        #[cfg(unix)]
        if path.extension().is_some_and(|it| it == "sh") {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Fails if a program is nowhere on the path, and says how to get it.
fn missing(tools: &[(&str, &str)]) -> anyhow::Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing = tools.iter().filter(|(tool, _)| !is_there(tool));
    let missing = missing.map(|(tool, from)| format!("`{tool}` is not on the path. {from}"));
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
