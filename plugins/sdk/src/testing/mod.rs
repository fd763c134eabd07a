//! Stand-ins for the host, to test a plugin natively.
//!
//! [`kv`] is a model of the host's storage, and [`logged`] returns logged lines; both are per thread, as each test has its own.
//! [`with_kv`] replaces the model by another store. [`fragment`] builds fragments. [`Checker`] writes them to a plugin and to a plain
//! list, runs whole searches and reads page by page, and returns the [`Breach`] of what the contract promises; [`Harness`] does so with a
//! plugin that is called natively, and asserts. `random`, with the feature `proptest`, generates steps for it.

pub(crate) mod backend;
mod checker;
mod faults;
mod finding;
mod fragment;
mod harness;
pub mod kv;
mod pages;
#[cfg(feature = "proptest")]
pub mod random;
mod stored;
mod subject;

use std::cell::RefCell;

pub use backend::{Kv, Scan, with_kv};
pub use checker::Checker;
pub use finding::Finding;
pub use fragment::{FragmentBuilder, batch, fragment};
pub use harness::Harness;
pub use pages::{answered, find_all, raised, read_all};
pub use stored::{Stored, StoredFragment};
pub use subject::{Breach, Called, Native, Subject};

use crate::log::Level;
use crate::{Environment, Identity, Role, Setting};

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Records a line, for [`crate::log::write`].
pub fn log(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
}

/// Returns the lines that this thread has logged since the last call.
pub fn logged() -> Vec<(Level, String)> {
    LOG.take()
}

/// Returns the role of a writer of this id, with the number that a host which is alone gives it.
pub fn writer(id: &str) -> Role {
    Role::Writer(Identity {
        id: id.to_owned(),
        number: kv::number_of(id),
    })
}

/// Returns the environment of the writer `test`, of 1 GiB with these settings.
pub fn environment(settings: &[(&str, &str)]) -> Environment {
    Environment {
        role: writer("test"),
        tenant: "default".to_owned(),
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
