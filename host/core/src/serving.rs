//! What the server takes calls for, as health checks ask for it.

use tokio::sync::watch;

/// True while calls are taken: each follows the state of the plugin, of its disk, and of what is reached of a store on other machines.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The server as a whole: reads and writes. With tenancy it follows the store alone, as a plugin that fails affects its own tenant only.
    pub all: watch::Receiver<bool>,
    /// Reads.
    pub reads: watch::Receiver<bool>,
    /// Writes. False as well while the disk is full.
    pub writes: watch::Receiver<bool>,
}
