//! How far the copy of a tenant has come, kept in the target.
//!
//! It is in the partition `_host/copy/WRITER`, and written under the id of that name; WRITER is the first of the source's writers. Whoever
//! claims that id ends a copy that is still running. Once the copy has ended the id is retired, and the entry `c` stays.
//!
//! | key | value |
//! |---|---|
//! | `c` | the version of the record, 1 (1); the phase: 1 objects, 2 entries, 3 done (1); the fingerprint of the source, little endian (16) |
//! | `o` partition | while objects are put: 0 and the key from which the partition goes on; or 1: all are there |

use std::collections::HashMap;

use super::plan::{Plan, after, from};
use crate::{Change, Claim, Entry, Error, HOST_PREFIX, Key, Namespace};

const VERSION: u8 = 1;
const COPY: &[u8] = b"c";
const OBJECTS: u8 = b'o';
/// Entries that one commit removes.
const REMOVED_AT_ONCE: usize = 500;

/// What is being copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Objects,
    Entries,
    Done,
}

/// How far the objects of a partition have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    From(Vec<u8>),
    All,
}

/// What the record says.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) phase: Phase,
    pub(super) fingerprint: u128,
    cursors: HashMap<String, Cursor>,
    /// The source has changed, and all of it is copied anew.
    is_outdated: bool,
}

/// The record of a copy that is running.
pub(super) struct Record<'a> {
    target: &'a dyn Namespace,
    claim: Claim,
    partition: String,
    fingerprint: u128,
    cursors: HashMap<String, Cursor>,
}

/// The name of the partition, and the id of its writer.
fn name(plan: &Plan) -> String {
    let first = plan.writers.first().map_or("", |it| it.id.as_str());
    format!("{HOST_PREFIX}copy/{first}")
}

/// Gives the id back if a copy was cut off when everything but that was done.
pub(super) async fn tidy(target: &dyn Namespace, plan: &Plan, known: Known) -> Result<(), Error> {
    let id = name(plan);
    if target.writers().await?.contains(&id) {
        let record = Record::open(target, plan, Some(known)).await?;
        record.end().await?;
    }
    Ok(())
}

fn cursor_key(part: &str) -> Vec<u8> {
    [&[OBJECTS], part.as_bytes()].concat()
}

// === impl Phase ===

impl Phase {
    fn number(self) -> u8 {
        match self {
            Self::Objects => 1,
            Self::Entries => 2,
            Self::Done => 3,
        }
    }

    fn of(number: u8) -> Option<Self> {
        let all = [Self::Objects, Self::Entries, Self::Done];
        all.into_iter().find(|it| it.number() == number)
    }
}

// === impl Cursor ===

impl Cursor {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::From(sort) => [&[0], sort.as_slice()].concat(),
            Self::All => vec![1],
        }
    }

    fn decode(value: &[u8]) -> Option<Self> {
        match value.split_first()? {
            (0, sort) => Some(Self::From(sort.to_vec())),
            (1, []) => Some(Self::All),
            _ => None,
        }
    }
}

// === impl Known ===

impl Known {
    /// Reads the record. `Ok(None)` if there is none, and the reason if it cannot be understood.
    pub(super) async fn read(
        target: &dyn Namespace,
        plan: &Plan,
    ) -> Result<Result<Option<Self>, String>, Error> {
        let partition = name(plan);
        let key = Key {
            partition: partition.clone(),
            sort: COPY.to_vec(),
        };
        let Some(value) = target.get(&[key]).await?.pop().flatten() else {
            return Ok(Ok(None));
        };
        let not_understood = || {
            format!(
                "the record of a copy in the target (partition `{partition}`) is that of another release: use the one that it was begun with"
            )
        };
        let Some((phase, fingerprint)) = decode(&value) else {
            return Ok(Err(not_understood()));
        };
        let mut cursors = HashMap::new();
        let mut scan = from(vec![OBJECTS]);
        loop {
            let page = target.scan(&partition, &scan).await?;
            for Entry { sort, value } in &page.entries {
                let part = sort.strip_prefix(&[OBJECTS]);
                let part = part.and_then(|part| str::from_utf8(part).ok());
                let Some((part, cursor)) = part.zip(Cursor::decode(value)) else {
                    return Ok(Err(not_understood()));
                };
                cursors.insert(part.to_owned(), cursor);
            }
            match page.entries.into_iter().next_back() {
                Some(last) if page.more => scan.start = after(last.sort),
                _ => break,
            }
        }
        Ok(Ok(Some(Self {
            phase,
            fingerprint,
            cursors,
            is_outdated: false,
        })))
    }

    /// The record of a source that has changed since.
    pub(super) fn begun_again(self) -> Self {
        Self {
            is_outdated: true,
            ..self
        }
    }
}

fn decode(value: &[u8]) -> Option<(Phase, u128)> {
    let ([VERSION, phase], fingerprint) = value.split_first_chunk::<2>()? else {
        return None;
    };
    let fingerprint = u128::from_le_bytes(fingerprint.try_into().ok()?);
    Some((Phase::of(*phase)?, fingerprint))
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Claims the record, and begins it if there is none.
    pub(super) async fn open(
        target: &'a dyn Namespace,
        plan: &Plan,
        known: Option<Known>,
    ) -> Result<Self, Error> {
        let partition = name(plan);
        let claim = Claim {
            is_upkeep: true,
            ..target.claim(&partition).await?
        };
        let mut record = Self {
            target,
            claim,
            partition,
            fingerprint: plan.fingerprint,
            cursors: HashMap::new(),
        };
        match known {
            Some(known) if !known.is_outdated => record.cursors = known.cursors,
            Some(known) => {
                // First, so that no cursor counts for another source than its own.
                record.remove(known.cursors.into_keys()).await?;
                record.enter(Phase::Objects).await?;
            }
            None => record.enter(Phase::Objects).await?,
        }
        Ok(record)
    }

    /// How far the partition had come when this run began. `None` if it had not begun.
    pub(super) fn cursor(&self, part: &str) -> Option<&Cursor> {
        self.cursors.get(part)
    }

    pub(super) async fn enter(&self, phase: Phase) -> Result<(), Error> {
        let mut value = vec![VERSION, phase.number()];
        value.extend_from_slice(&self.fingerprint.to_le_bytes());
        self.set(COPY.to_vec(), value).await
    }

    pub(super) async fn advance(&self, part: &str, cursor: &Cursor) -> Result<(), Error> {
        self.set(cursor_key(part), cursor.encode()).await
    }

    async fn set(&self, sort: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        let change = Change::Put(Entry { sort, value });
        let changes = vec![change];
        self.target
            .commit(&self.claim, &self.partition, changes)
            .await
    }

    async fn remove(&self, parts: impl Iterator<Item = String>) -> Result<(), Error> {
        let keys: Vec<Vec<u8>> = parts.map(|part| cursor_key(&part)).collect();
        for keys in keys.chunks(REMOVED_AT_ONCE) {
            let changes = keys.iter().cloned().map(Change::Delete).collect();
            self.target
                .commit(&self.claim, &self.partition, changes)
                .await?;
        }
        Ok(())
    }

    /// Ends the copy, and gives the id back.
    pub(super) async fn end(&self) -> Result<(), Error> {
        self.enter(Phase::Done).await?;
        let mut scan = from(vec![OBJECTS]);
        loop {
            let page = self.target.scan(&self.partition, &scan).await?;
            let keys: Vec<Vec<u8>> = page.entries.into_iter().map(|it| it.sort).collect();
            for keys in keys.chunks(REMOVED_AT_ONCE) {
                let changes = keys.iter().cloned().map(Change::Delete).collect();
                self.target
                    .commit(&self.claim, &self.partition, changes)
                    .await?;
            }
            match keys.into_iter().next_back() {
                Some(last) if page.more => scan.start = after(last),
                _ => break,
            }
        }
        self.target.retire(&self.claim).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for phase in [Phase::Objects, Phase::Entries, Phase::Done] {
            let value = [&[VERSION, phase.number()], &7_u128.to_le_bytes()[..]].concat();
            assert_eq!(decode(&value), Some((phase, 7)));
            assert_eq!(decode(value.get(..17).unwrap_or_default()), None);
        }
        assert_eq!(decode(&[2; 18]), None);
        for cursor in [
            Cursor::From(vec![0, 1]),
            Cursor::From(Vec::new()),
            Cursor::All,
        ] {
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
        assert_eq!(Cursor::decode(&[2]), None);
    }
}
