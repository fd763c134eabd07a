//! Plugins for the tests of a server: components that behave as no plugin should. Each is an example of this crate, as cargo makes a
//! component of an example, and any number of them in one build.
//!
//! | component | what it is |
//! |---|---|
//! | `hostile` | does any misdeed in any function, as it is told; its readers run beside its writer |
//! | `hostile_exclusive` | the same with one instance for everything |
//! | `brittle` | the kv plugin in small parts, and with traps |

#![forbid(unsafe_code)]

mod brittle;
mod hostile;
mod store;

pub use brittle::Brittle;
pub use hostile::Hostile;
