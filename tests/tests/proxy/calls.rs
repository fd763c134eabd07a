//! What became of the calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tonic::Status;

/// The most wrong answers that are kept: one fault may cause thousands.
const MOST_WRONG: usize = 50;

/// The calls of all clients.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    methods: BTreeMap<&'static str, Method>,
    wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Method {
    calls: u64,
    failed: u64,
    longest: Duration,
}

// === impl Calls ===

impl Calls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call. `None` if it fails, which is noted.
    pub(crate) async fn made<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Option<T> {
        let begun = Instant::now();
        let answer = call.await;
        let took = begun.elapsed();
        let mut state = self.lock();
        let method = state.methods.entry(name).or_default();
        method.calls += 1;
        method.longest = method.longest.max(took);
        match answer {
            Ok(answer) => Some(answer),
            Err(status) => {
                method.failed += 1;
                drop(state);
                self.note(&format!("{name}: {status}"));
                None
            }
        }
    }

    /// Notes what must not be.
    pub(crate) fn note(&self, what: &str) {
        let mut state = self.lock();
        if state.wrong.len() < MOST_WRONG {
            println!("WRONG: {what}");
            state.wrong.push(what.to_owned());
        }
    }

    /// Returns what was wrong.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    /// Prints the counts, and the longest call of each method.
    pub(crate) fn print(&self) {
        for (name, method) in &self.lock().methods {
            let longest = method.longest.as_secs_f64();
            let Method { calls, failed, .. } = method;
            println!("{name}: {calls} calls, {failed} failed, the longest took {longest:.3} s");
        }
    }
}
