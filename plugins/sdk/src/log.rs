//! Writes lines to the host's log. The host limits how much a plugin may log.
//!
//! In native builds they go to [`testing::logged`](crate::testing::logged).

pub use crate::bindings::larder::storage::log::Level;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::larder::storage::log::write(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::log(level, message);
}

/// Logs for debugging the plugin.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Logs normal activity of the plugin.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Logs something that an operator should look at eventually.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Logs something that an operator has to act on.
pub fn error(message: &str) {
    write(Level::Error, message);
}
