//! A round-robin mix of searches at a rate, with every answer checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::outcome::Outcome;
use crate::figures::Conditions;
use crate::openloop;
use crate::schedule::Schedule;
use crate::searches;
use crate::source::Source;
use crate::target::{self, Target};
use crate::timing::ExpectedSearch;
use crate::truth::Truth;

/// Searches that are answered immediately, one of each kind.
const USUAL: [&str; 8] = [
    "service, newest 20",
    "service and operation",
    "service and status code 500",
    "all services, rare attribute",
    "trace ids of a service, 20",
    "summaries of a service, 20",
    "trace by id",
    "filter: span attribute",
];
/// The most searches in flight.
const MOST: usize = 10_000;

/// The mix of searches.
pub(super) struct Mix(Arc<[MixedSearch]>);

/// A search of the mix.
struct MixedSearch {
    known: ExpectedSearch,
    /// Bytes of an answer that was checked and right.
    right: AtomicUsize,
}

/// The result of a call: the index of its search, its latency since it was due, and its error.
pub(super) type CallResult = (usize, Duration, Option<String>);

impl Mix {
    /// Takes the searches of these names, restricted to the spans of `source`, without later ones.
    pub(super) fn new(source: &Source, names: &[String]) -> Result<Self> {
        let mut all = searches::searches(&source.corpus().without_room());
        all.retain(|search| search.question.has_window());
        for name in names {
            if !all.iter().any(|search| search.name == name) {
                let known: Vec<_> = all.iter().map(|search| search.name).collect();
                bail!(
                    "no search whose answer stays while others write is called {name:?}; there are: {}",
                    known.join("; ")
                );
            }
        }
        let mut chosen = all;
        chosen.retain(|search| {
            names.iter().any(|name| name == search.name)
                || (names.is_empty() && USUAL.contains(&search.name))
        });
        let questions = chosen.iter().map(|search| search.question.clone());
        let expected = Truth::of(questions, source.requests()?)?;
        let known = chosen.into_iter().zip(expected);
        let turns = known.map(|(search, expected)| MixedSearch {
            known: ExpectedSearch { search, expected },
            right: AtomicUsize::new(usize::MAX),
        });
        Ok(Self(turns.collect()))
    }

    /// Returns the names of the searches, by index.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|turn| turn.known.search.name)
    }

    /// Makes each search once, to warm up and to check it.
    pub(super) async fn check_all(
        &self,
        target: &Target,
        outcome: &mut Outcome,
        at: Conditions,
    ) -> Result<()> {
        for turn in self.0.iter() {
            let search = &turn.known.search;
            let answer = target.call(search.method, search.request.clone()).await;
            let answer = answer.with_context(|| search.name)?;
            if let Some(difference) = turn.check(&answer) {
                outcome.wrong(at, search.name, &difference);
            }
        }
        Ok(())
    }

    /// Makes the searches at the rate, each on the next connection.
    pub(super) async fn run(&self, target: &Target, schedule: Schedule) -> Result<Vec<CallResult>> {
        let searches = self.0.len();
        let prepare = move |number| Ok(usize::try_from(number)? % searches);
        let mut channels = target.channels().iter().cycle();
        let call = |place: usize, due: openloop::Due| {
            let channel = channels.next().context("no connection")?.clone();
            let turns = Arc::clone(&self.0);
            Ok(async move {
                let Some(turn) = turns.get(place) else {
                    return (place, Duration::ZERO, Some("there is no search".to_owned()));
                };
                let search = &turn.known.search;
                let answer =
                    target::call(&channel, None, search.method, search.request.clone()).await;
                let waited = due.waited();
                let wrong = match answer {
                    Ok(answer) => turn.check(&answer),
                    Err(error) => Some(format!("{error:#}")),
                };
                (place, waited, wrong)
            })
        };
        openloop::run(schedule, MOST, prepare, call).await
    }
}

impl MixedSearch {
    /// Checks the answer, unless it has as many bytes as one that was right.
    fn check(&self, answer: &[Bytes]) -> Option<String> {
        let bytes = answer.iter().map(Bytes::len).sum();
        if self.right.load(Ordering::Relaxed) == bytes {
            return None;
        }
        let difference = self.known.difference(answer, false);
        if difference.is_none() {
            self.right.store(bytes, Ordering::Relaxed);
        }
        difference
    }
}
