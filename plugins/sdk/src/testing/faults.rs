//! Injected faults of `kv`: failed calls, host crashes, damaged bytes.

use crate::kv::Error;

/// The outcome of one call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The change is not made: `unavailable`.
    Unavailable,
    /// The change is not made: `quota-exceeded`.
    QuotaExceeded,
    /// The change is made, but the plugin is told `outcome-unknown`.
    Unknown,
    /// A change that is not atomic is made in part, and every later call fails until [`restart`](super::kv::restart).
    Crash,
}

/// The planned faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    changes: usize,
    next: Option<(usize, Fault)>,
    down: bool,
}

/// The share of a change that is made, and the plugin's answer.
pub(super) struct Outcome {
    pub(super) happens: Share,
    pub(super) told: Result<(), Error>,
}

/// A share of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    All,
    Half,
    None,
}

// === impl Faults ===

impl Faults {
    /// Makes the change after this many others fail.
    pub(super) fn plan(&mut self, after: usize, fault: Fault) {
        self.next = Some((self.changes + after, fault));
    }

    /// Removes all planned faults.
    pub(super) fn clear(&mut self) {
        (self.next, self.down) = (None, false);
    }

    /// Returns the number of changes so far.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// Called for a call that changes nothing.
    pub(super) fn on_read(&self) -> Result<(), Error> {
        if self.down {
            return Err(Error::Unavailable("the host has gone".to_owned()));
        }
        Ok(())
    }

    /// Called for a call that changes something.
    pub(super) fn on_change(&mut self) -> Outcome {
        let outcome = |happens, told| Outcome { happens, told };
        if let Err(error) = self.on_read() {
            return outcome(Share::None, Err(error));
        }
        let number = self.changes;
        self.changes += 1;
        let Some((_, fault)) = self.next.take_if(|(at, _)| *at == number) else {
            return outcome(Share::All, Ok(()));
        };
        let text = "as the test wants it".to_owned();
        match fault {
            Fault::Unavailable => outcome(Share::None, Err(Error::Unavailable(text))),
            Fault::QuotaExceeded => outcome(Share::None, Err(Error::QuotaExceeded(text))),
            Fault::Unknown => outcome(Share::All, Err(Error::OutcomeUnknown(text))),
            Fault::Crash => {
                self.down = true;
                outcome(Share::Half, Err(Error::Unavailable(text)))
            }
        }
    }
}
