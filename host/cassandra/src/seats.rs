//! The seat of a claim in a partition: the right to commit there.
//!
//! A seat is a row beside the entries, with the epoch of the claim and a random number that each commit replaces. A commit has both as its
//! condition, so it is applied only if the claim stands, and only directly after the commit before it. If the outcome of one is unknown,
//! another change of the number settles it: either that succeeds, and the first can never be applied any more, or it fails and shows why.

use std::collections::HashMap;
use std::sync::Arc;

use larder_store::{Claim, Error};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::debug;
use xxhash_rust::xxh3::xxh3_64;

use crate::db::{random, row, rows};
use crate::heads::ENDED;
use crate::namespace::{Space, epoch};
use crate::places::{Facts, Kind, reclaimed_error};
use crate::scan::after_all;
use crate::statements::Name;

/// Entries of one page, when those of a partition are measured.
const PAGE: i32 = 256;

/// A seat, locked while a commit is under way. `None` before the first.
pub(crate) type SeatLock = Arc<Mutex<Option<Seat>>>;

/// See the module.
pub(crate) struct Seat {
    pub(crate) epoch: u64,
    /// The number of the last commit.
    pub(crate) last: i64,
    /// A commit of which it is not known for sure whether it was applied.
    pub(crate) pending: Option<Pending>,
    pub(crate) facts: Facts,
    /// The stored bytes of each entry, by the hash of its key.
    pub(crate) sizes: HashMap<u64, u64>,
}

/// See [`Seat::pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The number of the commit.
    pub(crate) token: i64,
    /// The number that takes its place if it was not applied.
    barrier: i64,
    /// Its caller was told that it was not applied.
    pub(crate) denied: bool,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Applied,
    /// It was not, and never will be.
    Dead,
    /// Another claim has the seat.
    Lost,
}

pub(crate) fn entry_hash(sort: &[u8]) -> u64 {
    xxh3_64(sort)
}

// === impl Pending ===

impl Pending {
    pub(crate) fn new(token: i64) -> Self {
        Self {
            token,
            barrier: random(),
            denied: false,
        }
    }

    /// Judges by what the seat has, after the barrier was not applied.
    fn judge(self, epoch: i64, now: (Option<i64>, Option<i64>)) -> Option<Settled> {
        match now {
            (Some(now), _) if now != epoch => Some(Settled::Lost),
            (None, _) => Some(Settled::Lost),
            (_, Some(last)) if last == self.token => Some(Settled::Applied),
            // The answer to an earlier try was lost.
            (_, Some(last)) if last == self.barrier => Some(Settled::Dead),
            _ => None,
        }
    }
}

// === impl Space ===

impl Space {
    /// The seat of a claim, taken if need be. Commits of one claim in one partition wait for each other here.
    pub(crate) async fn seat(
        &self,
        by: &Claim,
        part: &str,
    ) -> Result<OwnedMutexGuard<Option<Seat>>, Error> {
        let lock = {
            let mut seats = self.seats.lock();
            let key = (by.writer.clone(), part.to_owned());
            Arc::clone(seats.entry(key).or_default())
        };
        let mut seat = lock.lock_owned().await;
        if seat.as_ref().is_some_and(|seat| seat.epoch == by.epoch) {
            return Ok(seat);
        }
        if seat.as_ref().is_some_and(|seat| seat.epoch > by.epoch) {
            return Err(self.fenced(by));
        }
        *seat = Some(self.sit(by, part).await?);
        Ok(seat)
    }

    async fn sit(&self, by: &Claim, part: &str) -> Result<Seat, Error> {
        // In this order. Whoever claims the id raises its epoch, then reads its partitions, then raises the seats in them. So either it
        // finds this partition, or its epoch is found here.
        let (facts, is_new) = self.register(by, part, Kind::Entries).await?;
        self.note_commits(by).await?;
        let last = self.take_seat(by, part).await?;
        let sizes = if is_new {
            HashMap::new()
        } else {
            self.measure(part).await
        };
        if !facts.objects && !sizes.is_empty() {
            let bytes = sizes.values().sum();
            self.usage.lock().set(&by.writer, part, bytes);
        }
        Ok(Seat {
            epoch: by.epoch,
            last,
            pending: None,
            facts,
            sizes,
        })
    }

    /// Notes that something is committed under the id, if the claim stands.
    async fn note_commits(&self, by: &Claim) -> Result<(), Error> {
        let mut tries = self.db.tries();
        loop {
            let values = (self.ns, &by.writer, epoch(by));
            match self.db.condition(Name::WriterCommits, values).await {
                Ok(verdict) if verdict.applied => return Ok(()),
                Ok(_) => return Err(self.fenced(by)),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Takes the seat. Nothing that was under way there for this claim is applied after it.
    async fn take_seat(&self, by: &Claim, part: &str) -> Result<i64, Error> {
        let (writer, own) = (by.writer.as_bytes(), epoch(by));
        let mut tries = self.db.tries();
        loop {
            let found = self.db.run(Name::SeatGet, (self.ns, part, writer)).await?;
            let found: Option<(Option<i64>, Option<i64>)> = row(found)?;
            let last = random();
            let verdict = match found {
                Some((Some(now), Some(before))) if now == own => {
                    let values = (last, self.ns, part, writer, own, before);
                    self.db.condition(Name::SeatTurn, values).await
                }
                Some((Some(now), _)) if now > own => return Err(self.refused(by, part).await),
                Some((Some(_), _)) => {
                    let values = (own, last, self.ns, part, writer, own);
                    self.db.condition(Name::SeatRaise, values).await
                }
                _ => {
                    let values = (self.ns, part, writer, own, last);
                    self.db.condition(Name::SeatNew, values).await
                }
            };
            match verdict {
                Ok(verdict) if verdict.applied => return Ok(last),
                Ok(_) => tries.lost("a seat").await?,
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Why a seat is another's, or has ended.
    pub(crate) async fn refused(&self, by: &Claim, part: &str) -> Error {
        match self.place(part, Name::PlaceSerial).await {
            Ok(Some(place)) if place.is_reclaimed => reclaimed_error(part),
            Ok(_) => self.fenced(by),
            Err(error) => error,
        }
    }

    /// The sizes of a partition's entries, for exact counts. Without them, what is replaced is counted twice until the next claim.
    async fn measure(&self, part: &str) -> HashMap<u64, u64> {
        let mut sizes = HashMap::new();
        let mut start = Vec::new();
        loop {
            let values = (self.ns, part, &start, after_all(), PAGE);
            let page = match self.db.attempt(Name::HeadUp, &values).await {
                Ok(page) => rows::<(Vec<u8>, Option<Vec<u8>>)>(page),
                Err(failure) => Err(failure.into()),
            };
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    debug!(partition = part, %error, "the entries were not measured");
                    return sizes;
                }
            };
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or_default();
            for (sort, value) in &page {
                let bytes = sort.len() + value.as_ref().map_or(0, Vec::len);
                sizes.insert(entry_hash(sort), bytes as u64);
            }
            match page.into_iter().next_back() {
                Some((mut sort, _)) if !is_last => {
                    sort.push(0);
                    start = sort;
                }
                _ => return sizes,
            }
        }
    }

    /// Finds out what became of the pending commit, and makes sure that it stays so. Does nothing if there is none.
    pub(crate) async fn settle(
        &self,
        by: &Claim,
        part: &str,
        seat: &mut Seat,
    ) -> Result<Option<Settled>, Error> {
        let Some(pending) = seat.pending else {
            return Ok(None);
        };
        let own = epoch(by);
        let mut tries = self.db.tries();
        loop {
            let values = (
                pending.barrier,
                self.ns,
                part,
                by.writer.as_bytes(),
                own,
                seat.last,
            );
            let settled = match self.db.condition(Name::SeatTurn, values).await {
                Ok(verdict) if verdict.applied => Some(Settled::Dead),
                Ok(verdict) => {
                    let now = (verdict.number("epoch"), verdict.number("last"));
                    pending.judge(own, now)
                }
                Err(failure) => {
                    tries.again(failure).await?;
                    continue;
                }
            };
            match settled {
                Some(Settled::Applied) => seat.last = pending.token,
                Some(Settled::Dead) => seat.last = pending.barrier,
                Some(Settled::Lost) => {}
                None => {
                    tries.lost("a seat").await?;
                    continue;
                }
            }
            seat.pending = None;
            return Ok(settled);
        }
    }
}

/// True if an epoch is that of a seat which has ended.
pub(crate) fn is_ended(epoch: Option<i64>) -> bool {
    epoch.is_none_or(|epoch| epoch == ENDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_judged_by_the_number_in_its_seat() {
        let pending = Pending::new(7);
        let judge = |epoch, last| pending.judge(3, (epoch, last));
        assert_eq!(judge(Some(3), Some(7)), Some(Settled::Applied));
        assert_eq!(judge(Some(3), Some(pending.barrier)), Some(Settled::Dead));
        assert_eq!(judge(Some(4), Some(7)), Some(Settled::Lost));
        assert_eq!(judge(None, None), Some(Settled::Lost));
        assert_eq!(judge(Some(3), Some(6)), None);
    }
}
