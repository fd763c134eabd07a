//! `larder token`.

use std::io::{Write as _, stderr, stdout};

use anyhow::Context as _;
use larder_edge::access::{self, NewEntry};

use super::TokenCommand;

/// Prints the entry, or appends it to a file, and then prints the token alone on stderr, so that `>> tokens.yaml` adds no secret to the
/// file. The token cannot be shown again.
pub(super) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    let token = access::generate().context("the system gives no random bytes")?;
    let name = command.name.clone();
    let name = name.unwrap_or_else(|| access::default_name(&token));
    let entry = NewEntry {
        name: &name,
        token: &token,
        tenants: &command.tenants,
        rights: &command.rights,
    };
    match &command.append {
        Some(path) => access::append(path, &entry).context("no token was made")?,
        None => writeln!(stdout().lock(), "{entry}").context("cannot print")?,
    }
    writeln!(stderr().lock(), "{token}").context("cannot print")
}
