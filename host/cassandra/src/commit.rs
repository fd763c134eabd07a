//! Commits: one batch in one partition, whose condition is the seat of the claim.

use std::collections::BTreeMap;

use larder_store::{Change, Claim, Entry, Error, Growth, Key, value};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::{Consistency, SerialConsistency};

use crate::db::{Verdict, random};
use crate::errors::Failure;
use crate::namespace::{Space, compute, epoch};
use crate::seats::{Pending, Seat, Settled, entry_hash, is_ended};
use crate::statements::Name;

/// The entry of an object that was deleted by a commit.
pub(crate) const DELETED: &[u8] = &[];

/// What a commit does with one key.
enum Step {
    Put(Vec<u8>),
    Delete,
}

/// The changes of a commit, by their keys. Cassandra orders nothing inside a batch, so each key is there once: the last change counts.
type Steps = BTreeMap<Vec<u8>, Step>;

/// The values of a statement of the batch.
enum Values<'a> {
    Turn(i64, i64, &'a str, &'a [u8], i64, i64),
    Put(i64, &'a str, &'a [u8], &'a [u8]),
    Delete(i64, &'a str, &'a [u8]),
}

/// The last change of each key, with values as they are stored.
fn steps(part: &str, changes: Vec<Change>) -> Steps {
    let step = |change| match change {
        Change::Put(Entry { sort, value }) => {
            let key = Key {
                partition: part.to_owned(),
                sort,
            };
            let value = value::encode(&key, value);
            (key.sort, Step::Put(value))
        }
        Change::Delete(sort) => (sort, Step::Delete),
    };
    changes.into_iter().map(step).collect()
}

// === impl Space ===

impl Space {
    pub(crate) async fn commit_changes(
        &self,
        by: &Claim,
        part: &str,
        changes: Vec<Change>,
    ) -> Result<(), Error> {
        self.check(by)?;
        self.check_name(part)?;
        if changes
            .iter()
            .any(|change| matches!(change, Change::Put(_)))
        {
            self.check_quota(Growth::Commit)?;
        }
        let bytes = changes.iter().map(|change| match change {
            Change::Put(entry) => entry.value.len(),
            Change::Delete(_) => 0,
        });
        let name = part.to_owned();
        let steps = compute(bytes.sum(), move || steps(&name, changes)).await?;
        self.commit_steps(by, part, steps).await
    }

    async fn commit_steps(&self, by: &Claim, part: &str, mut steps: Steps) -> Result<(), Error> {
        let mut held = self.seat(by, part).await?;
        if let Some(before) = held.as_ref().and_then(|seat| seat.pending) {
            let seat = held.as_mut().ok_or(Error::Fenced)?;
            match self.settle(by, part, seat).await? {
                Some(Settled::Applied) => {
                    // What it has changed is not known here any more, so the seat is taken anew.
                    *held = None;
                    if before.denied {
                        return Err(Error::OutcomeUnknown(format!(
                            "an earlier commit to `{part}`, which seemed not to be applied, was; read the partition again"
                        )));
                    }
                    drop(held);
                    held = self.seat(by, part).await?;
                }
                Some(Settled::Lost) => {
                    *held = None;
                    return Err(self.refused(by, part).await);
                }
                Some(Settled::Dead) | None => {}
            }
        }
        let seat = held.as_mut().ok_or(Error::Fenced)?;
        self.hide_objects(part, seat, &mut steps).await?;
        let done = self.apply(by, part, seat, &steps).await;
        match &done {
            Ok(()) => self.account(by, part, seat, &steps),
            // The seat is somebody else's, or in a state that is not understood.
            Err(_) if seat.pending.is_none() => *held = None,
            Err(_) => {}
        }
        done
    }

    /// Has objects that the commit deletes hidden by an entry, so that all changes are in one batch.
    async fn hide_objects(&self, part: &str, seat: &Seat, steps: &mut Steps) -> Result<(), Error> {
        // Another claim may have put the first object since the seat was taken.
        let facts = self.known(part).unwrap_or(seat.facts);
        if !facts.objects {
            return Ok(());
        }
        let deleted = steps
            .iter()
            .filter(|(_, step)| matches!(step, Step::Delete))
            .map(|(sort, _)| sort.clone())
            .collect();
        for (sort, _) in self.stored_objects(part, facts.shards, deleted).await? {
            steps.insert(sort, Step::Put(DELETED.to_vec()));
        }
        Ok(())
    }

    async fn apply(
        &self,
        by: &Claim,
        part: &str,
        seat: &mut Seat,
        steps: &Steps,
    ) -> Result<(), Error> {
        let mut tries = self.db.tries();
        loop {
            let token = random();
            let failure = match self.send(by, part, (seat.last, token), steps).await {
                Ok(verdict) if verdict.applied => {
                    seat.last = token;
                    return Ok(());
                }
                Ok(verdict) => return Err(self.not_applied(by, part, &verdict).await),
                Err(Failure::Refused(words)) => return Err(Error::Other(words)),
                Err(failure) => failure,
            };
            seat.pending = Some(Pending::new(token));
            let was_not_done = matches!(failure, Failure::NotDone(_));
            if was_not_done {
                // Without a quorum nothing can be settled either; the next commit does it.
                let again = tries.again(failure.clone()).await;
                if again.is_err()
                    && let Some(pending) = &mut seat.pending
                {
                    pending.denied = true;
                }
                again?;
            }
            match self.settle(by, part, seat).await {
                Ok(Some(Settled::Applied)) => return Ok(()),
                Ok(Some(Settled::Dead) | None) => {
                    if !was_not_done {
                        tries.again(failure).await?;
                    }
                }
                Ok(Some(Settled::Lost)) => {
                    self.lose(&by.writer, by.epoch);
                    return Err(Error::OutcomeUnknown(format!(
                        "another claim came while a commit to `{part}` was under way, whose answer was lost: {}",
                        failure.words()
                    )));
                }
                Err(error) if was_not_done => {
                    if let Some(pending) = &mut seat.pending {
                        pending.denied = true;
                    }
                    return Err(error);
                }
                Err(error) => {
                    return Err(Error::OutcomeUnknown(format!(
                        "a commit to `{part}` was sent and not answered ({}), and Cassandra does not tell what became of it: {error}",
                        failure.words()
                    )));
                }
            }
        }
    }

    async fn send(
        &self,
        by: &Claim,
        part: &str,
        (last, token): (i64, i64),
        steps: &Steps,
    ) -> Result<Verdict, Failure> {
        let statement = |name| {
            let statement = self.db.statements.get(name);
            let statement = statement.map_err(|error| Failure::Refused(error.to_string()));
            statement.cloned()
        };
        let (turn, put) = (statement(Name::SeatTurn)?, statement(Name::HeadPut)?);
        let delete = statement(Name::HeadDelete)?;
        let writer = by.writer.as_bytes();
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_consistency(Consistency::LocalQuorum);
        batch.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        batch.append_statement(turn);
        let mut values = vec![Values::Turn(token, self.ns, part, writer, epoch(by), last)];
        for (sort, step) in steps {
            match step {
                Step::Put(value) => {
                    batch.append_statement(put.clone());
                    values.push(Values::Put(self.ns, part, sort, value));
                }
                Step::Delete => {
                    batch.append_statement(delete.clone());
                    values.push(Values::Delete(self.ns, part, sort));
                }
            }
        }
        self.db.batch(Name::SeatTurn, &batch, &values).await
    }

    /// Why the condition of a commit was not met.
    async fn not_applied(&self, by: &Claim, part: &str, verdict: &Verdict) -> Error {
        let now = verdict.number("epoch");
        if now == Some(epoch(by)) {
            return Error::Unavailable(format!(
                "the seat in `{part}` has changed under the claim that holds it; retry"
            ));
        }
        if is_ended(now) {
            return self.refused(by, part).await;
        }
        self.fenced(by)
    }

    fn account(&self, by: &Claim, part: &str, seat: &mut Seat, steps: &Steps) {
        let (mut added, mut removed) = (0, 0);
        for (sort, step) in steps {
            let hash = entry_hash(sort);
            let before = match step {
                Step::Put(value) => {
                    let bytes = (sort.len() + value.len()) as u64;
                    added += bytes;
                    seat.sizes.insert(hash, bytes)
                }
                Step::Delete => seat.sizes.remove(&hash),
            };
            removed += before.unwrap_or_default();
        }
        self.count(by, part, added, removed);
    }
}

// === impl Values ===

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match *self {
            Self::Turn(token, ns, part, seat, epoch, last) => {
                (token, ns, part, seat, epoch, last).serialize(context, writer)
            }
            Self::Put(ns, part, sort, value) => (ns, part, sort, value).serialize(context, writer),
            Self::Delete(ns, part, sort) => (ns, part, sort).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn the_last_change_of_a_key_counts() {
        let put = |sort: &str, value: &str| {
            Change::Put(Entry {
                sort: sort.into(),
                value: value.into(),
            })
        };
        let changes = vec![
            Change::Delete("a".into()),
            put("a", "1"),
            put("b", "1"),
            put("b", "2"),
            put("c", "1"),
            Change::Delete("c".into()),
        ];
        let steps = steps("p", changes);
        let value = |sort: &str| match &steps[sort.as_bytes()] {
            Step::Put(stored) => {
                let key = Key {
                    partition: "p".to_owned(),
                    sort: sort.into(),
                };
                value::decode(&key, stored)
            }
            Step::Delete => None,
        };
        assert_eq!(value("a"), Some(b"1".to_vec()));
        assert_eq!(value("b"), Some(b"2".to_vec()));
        assert_eq!(value("c"), None);
        assert_eq!(steps.len(), 3);
    }
}
