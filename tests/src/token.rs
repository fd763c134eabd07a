//! Bearer tokens, as the binary makes them, and the token file of a server.

use std::path::PathBuf;

use crate::{Home, Options, replace};

/// A server's token file.
#[derive(Clone, Debug)]
pub struct Tokens(PathBuf);

// === impl Tokens ===

impl Tokens {
    /// Writes the file into a server's folder, with these lines.
    pub fn new(home: &Home, lines: &[&str]) -> Self {
        let tokens = Self(home.path().join("tokens.yaml"));
        tokens.set(lines);
        tokens
    }

    /// Replaces its lines.
    pub fn set(&self, lines: &[&str]) {
        replace(&self.0, lines.join("\n"));
    }
}

impl Options {
    /// Requires a token of this file.
    #[must_use]
    pub fn tokens(self, Tokens(file): &Tokens) -> Self {
        self.environment("LARDER_ACCESS_TOKENS", &file.display().to_string())
    }
}

/// Returns a new token and its line for the file, as the binary prints them on stderr and stdout. Several rights are separated by commas.
pub fn token(name: &str, tenant: Option<&str>, rights: &str) -> (String, String) {
    let mut options = Options::bare().without_port_flags();
    options = options.arguments(["token", "--name", name]);
    for right in rights.split(',') {
        options = options.arguments(["--right", right]);
    }
    if let Some(tenant) = tenant {
        options = options.arguments(["--tenant", tenant]);
    }
    let exit = options.run();
    assert!(exit.status.success(), "{}", exit.stderr);
    let (token, line) = (exit.stderr, exit.stdout);
    assert!(!line.contains(&token), "{line}");
    (token, line)
}
