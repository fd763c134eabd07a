//! What stands for the host when a plugin is tested on the machine at hand.
//!
//! [`kv`] is a model of the host's storage and [`logged`] gives the lines that were logged, both one for each thread, as each
//! test has its own; [`with_kv`] puts another store in the model's place. [`fragment`] builds fragments; [`Harness`] writes them to
//! a plugin and to a plain list, runs whole searches and reads page by page, and asserts what the contract promises; `random`, with
//! the feature `proptest`, has steps to take it through.

#![expect(
    clippy::missing_panics_doc,
    reason = "everything here panics when the plugin under test breaks the contract"
)]

mod faults;
mod fragment;
mod harness;
pub mod kv;
#[cfg(feature = "proptest")]
pub mod random;
pub(crate) mod stand_in;
mod stored;

use std::cell::RefCell;

pub use fragment::{FragmentBuilder, batch, fragment};
pub use harness::Harness;
pub use stand_in::{Kv, Scan, with_kv};
pub use stored::{Stored, StoredFragment};

use crate::log::Level;
use crate::{Environment, Role, Setting};

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a line, as [`crate::log::write`] asks.
pub fn log(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
}

/// The lines that this thread has logged since the last call.
pub fn logged() -> Vec<(Level, String)> {
    LOG.take()
}

/// A writer's environment of 1 GiB with these settings.
pub fn environment(settings: &[(&str, &str)]) -> Environment {
    Environment {
        role: Role::Writer("test".to_owned()),
        memory_limit: 1 << 30,
        seed: 0x5eed,
        settings: settings
            .iter()
            .map(|(name, value)| Setting {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    }
}
