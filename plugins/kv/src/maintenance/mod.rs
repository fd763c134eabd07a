//! Maintenance, a step at a time: retention, sealing, merging, and deletion of unreferenced partitions.

mod merging;
mod room;

use larder_plugin::kv::{self, Change, Entry as KvEntry};
use larder_plugin::{Error, Sizes, Timestamp};

use crate::engine::Engine;
use crate::entry::Entry;
use crate::frame::{self, Area, Kind};
use crate::manifest::{Bucket, Manifest, Stamp};
use crate::seal::{self, Seal, Sealed};
use crate::write::put_stamp;

pub(crate) use room::Room;

/// The compression ratio is not estimated from fewer bytes written.
const TELLING_BYTES: u64 = 1 << 20;
/// The lowest and highest compression ratio that is assumed, in 256ths of the written bytes.
const RATIOS: (u64, u64) = (16, 1024);

/// Writes seal when this many times the size of a group is unsealed.
const BACKLOG: usize = 4;

/// Returns the changes that set the manifest and the stamp.
pub(crate) fn manifest_changes(manifest: &Manifest, stamp: &Stamp) -> Vec<Change> {
    let mut payload = Vec::new();
    manifest.encode(&mut payload);
    let value = frame::value(Kind::Manifest, Area::Head, 0, &payload);
    let sort = frame::sort(Kind::Manifest, 0);
    vec![Change::Put(KvEntry { sort, value }), put_stamp(stamp)]
}

/// Adds the segment that was made of these entries.
pub(crate) fn put_sealed(manifest: &mut Manifest, entries: &[&Entry], sealed: &Sealed) {
    let Some(last) = entries.last() else {
        return;
    };
    manifest.sealed = last.sequence + 1;
    manifest.fragments = sealed.segment.end;
    let head = last.head;
    if manifest
        .buckets
        .last()
        .is_none_or(|it| it.number != head.bucket)
    {
        manifest.buckets.push(Bucket {
            number: head.bucket,
            opened: head.opened,
            written: head.written,
            spans: 0,
            bytes: 0,
            segments: Vec::new(),
        });
    }
    if let Some(bucket) = manifest.buckets.last_mut() {
        bucket.written = bucket.written.max(head.written);
        bucket.spans += sealed.spans;
        bucket.bytes += sealed.bytes;
        bucket.segments.push(sealed.segment);
    }
}

// === impl Engine ===

impl Engine {
    /// Runs one step; returns true if there is more to do.
    pub(crate) fn maintain(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        if self.writing.is_none() {
            return Ok(false);
        }
        self.counts.bytes = sizes.tenant;
        self.follow()?;
        self.room.look(now);
        if let Some(area) = self.garbage.last() {
            if let Some(own) = self.views.first() {
                kv::reclaim(&area.name(&own.writer.id))?;
            }
            self.garbage.pop();
            return Ok(true);
        }
        if let Some(writing) = &mut self.writing {
            if let Some(own) = self.views.first() {
                let entries = own.entries.iter().map(|it| it.bytes);
                let buckets = own.manifest.buckets.iter().map(|it| it.bytes);
                let written: u64 = entries.chain(buckets).sum();
                if written >= TELLING_BYTES {
                    let ratio = u128::from(sizes.own) * 256 / u128::from(written);
                    let ratio = u64::try_from(ratio).unwrap_or(u64::MAX);
                    writing.ratio = ratio.clamp(RATIOS.0, RATIOS.1);
                }
            }
            writing.close_bucket(&self.limits, now);
        }
        Ok(self.expire(now, sizes)? || self.seal()? || self.merge()?)
    }

    /// Returns true if nothing that is stored is this writer's any more.
    pub(crate) fn retire(&mut self) -> Result<bool, Error> {
        if self.writing.as_ref().is_some_and(|it| it.stale) {
            self.recover()?;
        }
        let (Some(own), Some(writing)) = (self.views.first(), &mut self.writing) else {
            return Ok(false);
        };
        let is_empty =
            own.manifest.buckets.is_empty() && own.entries.is_empty() && own.lost.is_empty();
        if !is_empty || self.merge.is_some() {
            return Ok(false);
        }
        // What a refused write has put belongs to nothing, once the bucket is closed.
        writing.bucket = None;
        writing.entries = writing.numbers.next();
        self.find_garbage()?;
        Ok(self.garbage.is_empty())
    }

    pub(super) fn is_current(&self, bucket: u64) -> bool {
        let current = self.writing.as_ref().and_then(|it| it.bucket);
        current.is_some_and(|it| it.number == bucket)
    }

    /// Drops the oldest bucket if it is too old, or if too much is stored and it is the oldest of all writers.
    fn expire(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        let Some(own) = self.views.first() else {
            return Ok(false);
        };
        let most = self.limits.max_bytes;
        let over = most.is_some_and(|most| sizes.tenant > most) && self.makes_room(now);
        let Some(oldest) = own.manifest.buckets.first() else {
            if over
                && !own.entries.is_empty()
                && let Some(writing) = &mut self.writing
            {
                writing.bucket = None;
            }
            return Ok(false);
        };
        let too_old = now.saturating_sub(own.manifest.oldest_written(now)) > self.limits.retention;
        if !too_old && !over {
            return Ok(false);
        }
        let number = oldest.number;
        if self.is_current(number)
            && let Some(writing) = &mut self.writing
        {
            writing.bucket = None;
        }
        // Its unsealed entries come first, as they are the oldest.
        if own.entries.iter().any(|it| it.head.bucket == number) {
            return Ok(false);
        }
        let spans = oldest.spans;
        let mut manifest = own.manifest.clone();
        let dropped = manifest.buckets.remove(0);
        if self.merge.as_ref().is_some_and(|it| it.bucket == number) {
            self.give_up_merge();
        }
        self.commit_manifest(manifest, &[])?;
        self.garbage.push(Area::Data(dropped.number));
        let segments = dropped.segments.iter();
        self.garbage
            .extend(segments.map(|it| Area::Index(it.number)));
        if too_old {
            self.counts.expired_spans += spans;
        } else {
            self.counts.evicted_spans += spans;
        }
        Ok(true)
    }

    /// Seals once if maintenance does not keep up with writes, because entries take memory in every instance.
    pub(crate) fn seal_backlog(&mut self) -> Result<(), Error> {
        let Some(own) = self.views.first() else {
            return Ok(());
        };
        let (count, enough) = seal::due(&self.shape, own.entries.iter());
        if enough && own.entries.len() >= count.saturating_mul(BACKLOG) {
            self.seal()?;
        }
        Ok(())
    }

    /// Seals the oldest entries if there are enough of them, or if their bucket is closed.
    fn seal(&mut self) -> Result<bool, Error> {
        let (Some(own), Some(writing)) = (self.views.first(), &mut self.writing) else {
            return Ok(false);
        };
        let Some(first) = own.entries.front() else {
            return Ok(false);
        };
        let head = first.head;
        let (count, enough) = seal::due(&self.shape, own.entries.iter());
        let closed = writing.bucket.is_none_or(|it| it.number != head.bucket);
        if !enough && !closed {
            return Ok(false);
        }
        let entries: Vec<&Entry> = own.entries.iter().take(count).collect();
        let sealed = Seal {
            writer: &own.writer,
            shape: &self.shape,
            bucket: head.bucket,
            numbers: &mut writing.numbers,
            sorter: &mut self.sorter,
            lacks_names: false,
        };
        let sealed = sealed.run(&entries)?;
        let last = entries.last().map_or(first.sequence, |it| it.sequence);

        let mut manifest = own.manifest.clone();
        put_sealed(&mut manifest, &entries, &sealed);
        let deletes = (own.manifest.sealed..=last).map(|it| frame::sort(Kind::Entry, it));
        let deletes: Vec<Change> = deletes.map(Change::Delete).collect();
        let mut areas: Vec<u64> = entries.iter().filter_map(|it| it.area).collect();
        areas.dedup();
        self.commit_manifest(manifest, &deletes)?;

        if let (Some(own), Some(writing)) = (self.views.first(), &mut self.writing) {
            areas.retain(|area| own.entries.iter().all(|it| it.area != Some(*area)));
            if areas.contains(&writing.entries)
                || own
                    .entries
                    .iter()
                    .any(|it| it.area == Some(writing.entries))
            {
                writing.entries = writing.numbers.next();
            }
            self.garbage.extend(areas.into_iter().map(Area::Entries));
        }
        Ok(true)
    }

    /// Commits a changed manifest with its stamp and these further changes.
    pub(super) fn commit_manifest(
        &mut self,
        manifest: Manifest,
        more: &[Change],
    ) -> Result<(), Error> {
        let (Some(own), Some(writing)) = (self.views.first_mut(), &mut self.writing) else {
            return Ok(());
        };
        let mut manifest = manifest;
        manifest.epoch = own.stamp.epoch + 1;
        let stamp = Stamp {
            epoch: manifest.epoch,
            ..own.stamp
        };
        let mut changes = manifest_changes(&manifest, &stamp);
        changes.extend_from_slice(more);
        if let Err(error) = kv::commit(&Area::Head.name(&own.writer.id), &changes) {
            writing.stale = true;
            return Err(error.into());
        }
        own.stamp = stamp;
        own.set_manifest(manifest);
        self.forget_removed();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
