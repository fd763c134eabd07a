//! Moves objects and entries.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tracing::warn;

use super::plan::{Part, Plan, after, from};
use super::record::{Cursor, Phase, Record};
use super::{CopyError, CopyOptions, CopyProgress, Stored};
use crate::{Change, Claim, Entry, Error, Key, MAX_COMMIT_BYTES, Namespace, Object};

/// Entries of one commit.
const MAX_CHANGES: usize = 1000;
/// The longest time between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The copy of one tenant.
pub(super) struct Moving<'a> {
    pub(super) source: &'a dyn Namespace,
    pub(super) target: &'a dyn Namespace,
    pub(super) tenant: &'a str,
    pub(super) plan: &'a Plan,
    /// In the order of the plan's writers.
    pub(super) claims: Vec<Claim>,
    pub(super) options: CopyOptions,
    pub(super) progress: &'a CopyProgress,
}

/// Entries that are about to be committed, in the order of their keys.
#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
}

fn weight(entry: &Entry) -> usize {
    entry.sort.len() + entry.value.len()
}

// === impl Waiting ===

impl Waiting {
    /// True if one commit takes what there is and this one.
    fn has_room_for(&self, entry: &Entry) -> bool {
        self.bytes + weight(entry) <= MAX_COMMIT_BYTES && self.entries.len() < MAX_CHANGES
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        let first = self.entries.pop_front()?;
        self.bytes -= weight(&first);
        Some(first)
    }
}

// === impl Moving ===

impl<'a> Moving<'a> {
    /// Claims the ids of all writers.
    pub(super) async fn claim(&mut self) -> Result<(), Error> {
        for writer in &self.plan.writers {
            let claim = self.target.claim_numbered(&writer.id, writer.number);
            self.claims.push(claim.await?);
        }
        Ok(())
    }

    /// The partitions whose entries are not in the target. Of one that an earlier run has begun, nothing may have been changed since.
    pub(super) async fn unwritten(&self, phase: Option<Phase>) -> Result<Vec<&'a Part>, CopyError> {
        let mut unwritten = Vec::new();
        for part in &self.plan.parts {
            let Some(last) = &part.last else {
                continue;
            };
            if phase == Some(Phase::Entries) {
                // It came with the last commit. Hosts may have gone on with the partition since.
                let key = Key {
                    partition: part.name.clone(),
                    sort: last.clone(),
                };
                let found = self.target.get(&[key]).await.map_err(CopyError::Target)?;
                if found.iter().any(Option::is_some) {
                    continue;
                }
                self.check_unchanged(part).await?;
            }
            unwritten.push(part);
        }
        Ok(unwritten)
    }

    /// Refuses a partition of the target with entries that are not the source's.
    async fn check_unchanged(&self, part: &Part) -> Result<(), CopyError> {
        let mut scan = from(Vec::new());
        loop {
            let page = self
                .target
                .scan_stored(&part.name, Stored::Entry, &scan)
                .await;
            let page = page.map_err(CopyError::Target)?;
            let keys = page.entries.iter().map(|entry| Key {
                partition: part.name.clone(),
                sort: entry.sort.clone(),
            });
            let keys: Vec<Key> = keys.collect();
            let values = self.source.get(&keys).await.map_err(CopyError::Source)?;
            let mut both = page.entries.iter().zip(&values);
            if !both.all(|(entry, value)| value.as_ref() == Some(&entry.value)) {
                return Err(CopyError::Refused(format!(
                    "the copy of the tenant `{}` was cut off in partition `{}`, and a host of the target has changed that since: purge the tenant in the target, and copy it anew",
                    self.tenant, part.name
                )));
            }
            match page.entries.into_iter().next_back() {
                Some(last) if page.more => scan.start = after(last.sort),
                _ => return Ok(()),
            }
        }
    }

    /// Puts the objects of all partitions, each from where it had come.
    pub(super) async fn put_objects(&self, record: &Record<'_>) -> Result<(), CopyError> {
        let parts = self.plan.parts.iter().filter(|part| part.has_objects);
        stream::iter(parts)
            .map(|part| self.put_objects_of(part, record))
            .buffer_unordered(self.options.at_once.max(1))
            .try_collect()
            .await
    }

    async fn put_objects_of(&self, part: &Part, record: &Record<'_>) -> Result<(), CopyError> {
        let start = match record.cursor(&part.name) {
            Some(Cursor::All) => return Ok(()),
            Some(Cursor::From(sort)) => sort.clone(),
            None => Vec::new(),
        };
        if let Some(bytes) = self.source.partition_bytes(&part.name) {
            self.target.expect_bytes(&part.name, bytes);
        }
        let mut scan = from(start);
        loop {
            let page = self
                .source
                .scan_stored(&part.name, Stored::Object, &scan)
                .await;
            let page = page.map_err(CopyError::Source)?;
            let last = page.entries.last().map(|entry| entry.sort.clone());
            let cursor = match last.filter(|_| page.more) {
                Some(last) => {
                    scan.start = after(last);
                    Cursor::From(scan.start.clone())
                }
                None => Cursor::All,
            };
            self.put(part, page.entries).await?;
            let mut tries = 0;
            while let Err(error) = record.advance(&part.name, &cursor).await {
                self.again(&mut tries, error).await?;
            }
            if cursor == Cursor::All {
                return Ok(());
            }
        }
    }

    async fn put(&self, part: &Part, values: Vec<Entry>) -> Result<(), CopyError> {
        if values.is_empty() {
            return Ok(());
        }
        let bytes = values.iter().map(weight).sum();
        let objects = values.into_iter().map(|Entry { sort, value }| {
            let partition = part.name.clone();
            let key = Key { partition, sort };
            Object { key, value }
        });
        let objects: Vec<Object> = objects.collect();
        let claim = self.claim_of(part)?;
        let mut tries = 0;
        while let Err(error) = self.target.put(claim, objects.clone()).await {
            self.again(&mut tries, error).await?;
        }
        self.progress.add(objects.len(), bytes);
        Ok(())
    }

    /// Commits the entries of these partitions: those of heads last.
    pub(super) async fn commit_entries(&self, parts: &[&Part]) -> Result<(), CopyError> {
        for is_head in [false, true] {
            let parts = parts.iter().filter(|part| part.is_head == is_head);
            let committed = stream::iter(parts)
                .map(|part| self.commit_entries_of(part))
                .buffer_unordered(self.options.at_once.max(1));
            committed.try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn commit_entries_of(&self, part: &Part) -> Result<(), CopyError> {
        let (mut ready, mut tail) = (Waiting::default(), Waiting::default());
        let mut scan = from(Vec::new());
        loop {
            let page = self
                .source
                .scan_stored(&part.name, Stored::Entry, &scan)
                .await;
            let page = page.map_err(CopyError::Source)?;
            let last = page.entries.last().map(|entry| entry.sort.clone());
            for entry in page.entries {
                if weight(&entry) > MAX_COMMIT_BYTES {
                    self.commit(part, &mut ready).await?;
                    self.commit(part, &mut tail).await?;
                    self.put(part, vec![entry]).await?;
                    continue;
                }
                while !tail.has_room_for(&entry)
                    && let Some(first) = tail.pop()
                {
                    if !ready.has_room_for(&first) {
                        self.commit(part, &mut ready).await?;
                    }
                    ready.push(first);
                }
                tail.push(entry);
            }
            match last {
                Some(last) if page.more => scan.start = after(last),
                _ => break,
            }
        }
        self.commit(part, &mut ready).await?;
        self.commit(part, &mut tail).await
    }

    /// Commits all that waits.
    async fn commit(&self, part: &Part, waiting: &mut Waiting) -> Result<(), CopyError> {
        let Waiting { entries, bytes } = std::mem::take(waiting);
        if entries.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change> = entries.into_iter().map(Change::Put).collect();
        let claim = self.claim_of(part)?;
        let mut tries = 0;
        while let Err(error) = self.target.commit(claim, &part.name, changes.clone()).await {
            self.again(&mut tries, error).await?;
        }
        self.progress.add(changes.len(), bytes);
        Ok(())
    }

    fn claim_of(&self, part: &Part) -> Result<&Claim, CopyError> {
        let claim = self.claims.get(part.writer);
        claim.ok_or(CopyError::Target(Error::Fenced))
    }

    /// Waits before another try, if the error may pass and there are tries left. All that is written may be written twice.
    async fn again(&self, tries: &mut u32, error: Error) -> Result<(), CopyError> {
        let may_pass = matches!(error, Error::Unavailable(_) | Error::OutcomeUnknown(_));
        if !may_pass || *tries >= self.options.repetitions {
            return Err(CopyError::Target(error));
        }
        let pause = Duration::from_secs(1 << (*tries).min(5)).min(MAX_PAUSE);
        *tries += 1;
        warn!(%error, "the target does not take a write; it is tried again in {pause:?}");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
