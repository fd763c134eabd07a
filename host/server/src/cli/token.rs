//! `larder token`.

use std::io::{Write as _, stdout};

use anyhow::Context as _;
use larder_edge::access::{NewEntry, generate};

use super::TokenCommand;

/// Prints the token alone on the first line, then its entry for the file. The token cannot be shown again.
pub(super) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    let token = generate().context("the system gives no random bytes")?;
    let entry = NewEntry {
        name: &command.name,
        token: &token,
        tenants: &command.tenants,
        rights: &command.rights,
    };
    write!(stdout().lock(), "{token}\n{entry}\n").context("cannot print")
}
