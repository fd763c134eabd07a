//! Lines for the host's log. The host bounds how much a plugin may log.
//!
//! For the machine at hand they go to [`testing::logged`](crate::testing::logged).

pub use crate::bindings::larder::storage::log::Level;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::larder::storage::log::write(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::log(level, message);
}

/// For somebody who looks for a fault in the plugin.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// For somebody who wants to know what the plugin does.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// For an operator, to look at some day.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// For an operator, to act on.
pub fn error(message: &str) {
    write(Level::Error, message);
}
