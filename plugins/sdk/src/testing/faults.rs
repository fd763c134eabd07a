//! What can go wrong with a `kv`: calls that fail, hosts that go, bytes that are damaged.

use crate::kv::Error;

/// What becomes of one call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not happen: `unavailable`.
    Unavailable,
    /// It does not happen: `quota-exceeded`.
    QuotaExceeded,
    /// It happens, and the plugin is not told: `outcome-unknown`.
    Unknown,
    /// It happens in part if it is not atomic, and every call fails from then on, until [`restart`](super::kv::restart).
    Crash,
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    changes: usize,
    next: Option<(usize, Fault)>,
    down: bool,
}

/// How much of a change happens, and what the plugin is told.
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
    /// Lets the change after so many others fail.
    pub(super) fn plan(&mut self, after: usize, fault: Fault) {
        self.next = Some((self.changes + after, fault));
    }

    /// No faults are left.
    pub(super) fn clear(&mut self) {
        (self.next, self.down) = (None, false);
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// A call that changes nothing.
    pub(super) fn on_read(&self) -> Result<(), Error> {
        if self.down {
            return Err(Error::Unavailable("the host has gone".to_owned()));
        }
        Ok(())
    }

    /// A call that changes something.
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
