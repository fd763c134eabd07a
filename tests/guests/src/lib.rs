//! Plugins for the tests of a server: components that misbehave. Each is an example of this crate, because cargo builds any number of
//! examples as components at once.
//!
//! | component | behaviour |
//! |---|---|
//! | `hostile` | does any misdeed in any function on request; its readers run beside its writer |
//! | `hostile_exclusive` | the same with one instance for everything |
//! | `brittle` | the kv plugin in small parts, and with traps |
//! | `mistaken` | the kv plugin with one of many mistakes, for `larder plugin test` |
//! | `reaching` | reaches for addresses, names, variables and the clock, and tells what came of it |

#![forbid(unsafe_code)]

mod brittle;
mod hostile;
mod mistaken;
mod reaching;
mod store;

pub use brittle::Brittle;
pub use hostile::Hostile;
pub use mistaken::Mistaken;
pub use reaching::Reaching;
