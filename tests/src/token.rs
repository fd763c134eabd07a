//! Bearer tokens, as the binary makes them.

use crate::Options;

/// A new token and the line for the file, as the binary prints them. More than one right stand between commas.
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
    let (token, line) = exit.stdout.trim_end().split_once('\n').unwrap();
    assert!(!line.contains(token), "{line}");
    (token.to_owned(), line.to_owned())
}
