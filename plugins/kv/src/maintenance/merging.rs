//! Selection of segments to merge, the steps of a merge, and its commit.

use larder_plugin::{Error, log};

use crate::engine::Engine;
use crate::frame::Area;
use crate::manifest::Bucket;
use crate::merge::{self, Merge};
use crate::segment::Segment;

// === impl Engine ===

impl Engine {
    /// Runs a step of the merge in progress, or starts one.
    pub(super) fn merge(&mut self) -> Result<bool, Error> {
        let begun = match &self.merge {
            Some(_) => Ok(true),
            None => self.begin_merge(),
        };
        let stepped = begun.and_then(|begun| if begun { self.step_merge() } else { Ok(false) });
        let Err(error) = &stepped else {
            return stepped;
        };
        // A merge that failed cannot continue, so it is started again.
        if let (Error::DataLoss(_), Some(merge)) = (error, &self.merge) {
            log::warn("segments that cannot be read whole stay unmerged");
            let sources = merge.sources.iter().map(|it| it.number);
            self.unmergeable.extend(sources);
            self.give_up_merge();
            return Ok(true);
        }
        self.give_up_merge();
        stepped
    }

    fn begin_merge(&mut self) -> Result<bool, Error> {
        let Some(own) = self.views.first() else {
            return Ok(false);
        };
        let mut found = None;
        for bucket in &own.manifest.buckets {
            let closed = !self.is_current(bucket.number);
            let segments = &bucket.segments;
            // Merged segments must be adjacent, so only those after the last unmergeable one qualify.
            let bad = segments
                .iter()
                .rposition(|it| self.unmergeable.contains(&it.number));
            let from = bad.map_or(0, |at| at + 1);
            let rest = segments.get(from..).unwrap_or_default();
            if let Some((start, end)) = merge::due(&self.shape, rest, closed) {
                let sources = rest.get(start..end).unwrap_or_default();
                found = Some((bucket.number, sources.to_vec()));
                break;
            }
        }
        let Some((bucket, sources)) = found else {
            return Ok(false);
        };
        let (Some(own), Some(writing)) = (self.views.first_mut(), &mut self.writing) else {
            return Ok(false);
        };
        let headers: Result<Vec<_>, _> = sources.iter().map(|it| own.header(it.number)).collect();
        let number = writing.numbers.next();
        let numbers: Vec<u64> = sources.iter().map(|it| it.number).collect();
        let merge = headers.and_then(|headers| {
            Merge::new(&own.writer, &self.shape, number, (bucket, sources, headers))
        });
        match merge {
            Ok(merge) => self.merge = Some(merge),
            Err(Error::DataLoss(_)) => {
                self.unmergeable.extend(numbers);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn step_merge(&mut self) -> Result<bool, Error> {
        let (Some(own), Some(merge)) = (self.views.first(), &mut self.merge) else {
            return Ok(false);
        };
        if !merge.step(&own.writer, self.shape.merge_step)? {
            return Ok(true);
        }
        let mut manifest = own.manifest.clone();
        let bucket = manifest
            .buckets
            .iter_mut()
            .find(|it| it.number == merge.bucket);
        let (sources, segment) = (merge.sources.clone(), merge.segment);
        let replaced = bucket.is_some_and(|bucket| replace(bucket, &sources, segment));
        if !replaced {
            self.give_up_merge();
            return Ok(true);
        }
        self.commit_manifest(manifest, &[])?;
        self.merge = None;
        self.garbage
            .extend(sources.iter().map(|it| Area::Index(it.number)));
        Ok(true)
    }

    pub(super) fn give_up_merge(&mut self) {
        if let Some(merge) = self.merge.take() {
            self.garbage.push(Area::Index(merge.segment.number));
        }
    }
}

/// Replaces the sources by the merged segment.
fn replace(bucket: &mut Bucket, sources: &[Segment], merged: Segment) -> bool {
    let Some(first) = sources.first() else {
        return false;
    };
    let at = bucket
        .segments
        .iter()
        .position(|it| it.number == first.number);
    let Some(at) = at else {
        return false;
    };
    if bucket.segments.get(at..at + sources.len()) != Some(sources) {
        return false;
    }
    bucket.segments.splice(at..at + sources.len(), [merged]);
    true
}
