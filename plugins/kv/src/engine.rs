//! The state of one instance: a view of each writer and, if it writes, the writing state.

use std::collections::BTreeSet;
use std::rc::Rc;

use larder_plugin::kv;
use larder_plugin::{Batch, Counts, Environment, Error, Role, Timestamp};

use crate::blocks::Numbers;
use crate::frame::Area;
use crate::index::Sorter;
use crate::limits::{Limits, Shape};
use crate::maintenance::{Room, manifest_changes};
use crate::manifest::Manifest;
use crate::merge::Merge;
use crate::names::Names;
use crate::operations::SeenOperations;
use crate::store::Store;
use crate::view::{self, View};
use crate::write::{Current, Writing};

/// The state of an instance.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) limits: Limits,
    pub(crate) shape: Shape,
    pub(crate) store: Store,
    /// Views of all writers. If this instance writes, its own view comes first.
    pub(crate) views: Vec<View>,
    /// The number of views that are its own: 1 in the role of a writer, or 0.
    own: usize,
    pub(crate) writing: Option<Writing>,
    pub(crate) sorter: Sorter,
    pub(crate) merge: Option<Merge>,
    /// Segments with unreadable values. They are never merged.
    pub(crate) unmergeable: BTreeSet<u64>,
    /// Unreferenced partitions that await deletion.
    pub(crate) garbage: Vec<Area>,
    pub(crate) room: Room,
    /// Services and operations as of the last call.
    pub(crate) names: Option<Rc<Names>>,
    /// Counts of expired and evicted spans, and the tenant's stored bytes.
    pub(crate) counts: Counts,
}

// === impl Engine ===

impl Engine {
    /// Opens an instance in the role that the environment gives.
    pub(crate) fn open(environment: &Environment, shape: Shape) -> Result<Self, Error> {
        let limits = Limits::new(environment)?;
        let mut engine = Self {
            store: Store::new(limits.cache_bytes),
            limits,
            shape,
            views: Vec::new(),
            own: 0,
            writing: None,
            sorter: Sorter::default(),
            merge: None,
            unmergeable: BTreeSet::new(),
            garbage: Vec::new(),
            room: Room::default(),
            names: None,
            counts: Counts::default(),
        };
        match &environment.role {
            Role::Writer(identity) => {
                engine.views.push(View::new(&identity.id));
                engine.own = 1;
                engine.follow_all()?;
                engine.begin_writing(identity.number, environment.seed)?;
            }
            Role::Reader => engine.follow_all()?,
            // Its store may be too damaged to be followed.
            Role::Repairer => {}
        }
        Ok(engine)
    }

    /// Reads the new writes of other writers; after a commit of unknown outcome it also reads its own head again.
    pub(crate) fn follow(&mut self) -> Result<(), Error> {
        if self.writing.as_ref().is_some_and(|it| it.stale) {
            self.recover()?;
        }
        self.follow_all()
    }

    fn follow_all(&mut self) -> Result<(), Error> {
        let ids = kv::writers()?;
        self.forget_retired(&ids);
        for id in &ids {
            if self.views.iter().all(|it| *it.writer.id != **id) {
                self.views.push(View::new(id));
            }
        }
        // Once it writes, its own view changes with its commits.
        let followed = if self.writing.is_some() { self.own } else { 0 };
        let others = self.views.get_mut(followed..).unwrap_or_default();
        view::follow_all(others)?;
        for view in others {
            if std::mem::take(&mut view.has_dropped) {
                self.room.made();
            }
        }
        self.forget_removed();
        Ok(())
    }

    /// Drops the views of writers that are not listed any more: nothing that is stored is theirs.
    fn forget_retired(&mut self, listed: &[String]) {
        let is_retired = |view: &mut View| listed.iter().all(|id| **id != *view.writer.id);
        for view in self.views.extract_if(self.own.., is_retired) {
            self.store.forget(&view.writer, &view.areas());
            self.names = None;
        }
    }

    /// Evicts cached data of partitions that no manifest names any more.
    pub(crate) fn forget_removed(&mut self) {
        for view in &mut self.views {
            let removed = std::mem::take(&mut view.removed);
            if removed.is_empty() {
                continue;
            }
            self.store.forget(&view.writer, &removed);
            for area in removed {
                self.unmergeable.remove(&area.number());
            }
        }
    }

    /// Starts a new generation, and looks for garbage of earlier ones. A writer with a head has its number there.
    fn begin_writing(&mut self, number: u16, seed: u64) -> Result<(), Error> {
        let partitions = kv::partitions()?;
        let Some((own, others)) = self.views.split_first_mut() else {
            return Ok(());
        };
        let areas = || {
            let areas = partitions.iter();
            areas.filter_map(|it| Area::of_name(it, &own.writer.id))
        };
        // The head is committed before anything else. Without it, nothing may be taken for garbage.
        if own.stamp.generation == 0 && areas().any(|area| area != Area::Head) {
            return Err(own.head_lost());
        }
        let areas = areas();
        let newest = areas.map(|area| Numbers::generation(area.number())).max();
        let generation = own.stamp.generation.max(newest.unwrap_or(0)) + 1;

        let mut manifest = own.manifest.clone();
        if own.stamp.generation == 0 {
            manifest.writer = number;
        }
        check_number(&own.writer.id, manifest.writer, others)?;
        manifest.epoch += 1;
        let mut stamp = own.stamp;
        (stamp.generation, stamp.epoch) = (generation, manifest.epoch);
        kv::commit(
            &Area::Head.name(&own.writer.id),
            &manifest_changes(&manifest, &stamp),
        )?;
        own.stamp = stamp;
        own.set_manifest(manifest);

        let mut numbers = Numbers::new(generation);
        let entries = numbers.next();
        self.writing = Some(Writing {
            numbers,
            seen: SeenOperations::new(seed),
            bucket: last_bucket(own),
            entries,
            ratio: 256,
            stale: false,
        });
        self.find_garbage()
    }

    /// Reads its own head again, after a commit of unknown outcome.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        let Some(own) = self.views.first_mut() else {
            return Ok(());
        };
        let stamp = kv::get(&[View::stamp_key(&own.writer.id)])?.pop().flatten();
        own.follow(stamp)?;
        if let Some(writing) = &mut self.writing {
            writing.stale = false;
        }
        self.find_garbage()
    }

    /// Finds its own partitions that nothing refers to.
    pub(crate) fn find_garbage(&mut self) -> Result<(), Error> {
        let partitions = kv::partitions()?;
        let (Some(own), Some(writing)) = (self.views.first(), &self.writing) else {
            return Ok(());
        };
        let is_used = |area: &Area| match *area {
            Area::Head => true,
            Area::Data(bucket) => {
                own.manifest.buckets.iter().any(|it| it.number == bucket)
                    || own.entries.iter().any(|it| it.head.bucket == bucket)
                    || writing.bucket.is_some_and(|it| it.number == bucket)
            }
            Area::Index(segment) => {
                own.segments.iter().any(|(_, it)| it.number == segment)
                    || self
                        .merge
                        .as_ref()
                        .is_some_and(|it| it.segment.number == segment)
            }
            Area::Entries(number) => {
                own.entries.iter().any(|it| it.area == Some(number)) || writing.entries == number
            }
        };
        let areas = partitions
            .iter()
            .filter_map(|it| Area::of_name(it, &own.writer.id));
        // An unreadable entry may refer to any of them.
        if own.lost.is_empty() {
            self.garbage = areas.filter(|area| !is_used(area)).collect();
        }
        Ok(())
    }

    /// Stores all batches, or none.
    pub(crate) fn write(&mut self, now: Timestamp, batches: &[Batch]) -> Result<(), Error> {
        if self.writing.as_ref().is_some_and(|it| it.stale) {
            self.recover()?;
        }
        self.seal_backlog()?;
        match (&mut self.writing, self.views.first_mut()) {
            (Some(writing), Some(view)) => {
                writing.write(view, (&self.limits, &self.shape), now, batches)
            }
            _ => Err(Error::Other("a reader cannot write".to_owned())),
        }
    }

    /// Counts stored, expired and evicted spans. Traces are not counted.
    pub(crate) fn counts(&self) -> Counts {
        let views = self.views.iter();
        let spans = views.map(|view| {
            let sealed: u64 = view.manifest.buckets.iter().map(|it| it.spans).sum();
            sealed + view.entries.iter().map(|it| it.spans).sum::<u64>()
        });
        Counts {
            spans: spans.sum(),
            oldest_write: self.oldest_write(),
            ..self.counts
        }
    }

    /// When the oldest span was written, over all writers, and for a writer over its own. A bucket is opened by its first write, and dropped
    /// as a whole.
    fn oldest_write(&self) -> Option<Timestamp> {
        let views = if self.writing.is_some() {
            self.views.get(..1).unwrap_or(&self.views)
        } else {
            &self.views
        };
        let times = views.iter().flat_map(|view| {
            let buckets = view.manifest.buckets.iter();
            let sealed = buckets.filter(|it| !it.segments.is_empty());
            let sealed = sealed.map(|it| it.opened);
            sealed.chain(view.entries.iter().map(|it| it.head.written))
        });
        times.min()
    }
}

/// Checks that a writer's number is unlike that of any other: it is all that a fragment's handle says of its writer.
fn check_number(id: &str, number: u16, others: &[View]) -> Result<(), Error> {
    if number == 0 {
        let text = format!("the writer `{id}` has the number 0, where 1 to 65535 are numbers");
        return Err(Error::InvalidArgument(text));
    }
    let Some(other) = others.iter().find(|it| it.writer.number == number) else {
        return Ok(());
    };
    Err(Error::InvalidArgument(format!(
        "the writers `{id}` and `{}` of this store both have the number {number}, so their fragments cannot be told apart: nothing can be written under the id `{id}`; use another id, with a number of its own",
        other.writer.id
    )))
}

/// Returns the bucket that was last written to.
fn last_bucket(view: &View) -> Option<Current> {
    let sealed = |number| {
        let bucket = view.manifest.buckets.iter().find(|it| it.number == number);
        bucket.map_or(0, |it| it.bytes)
    };
    if let Some(last) = view.entries.back() {
        let number = last.head.bucket;
        let entries = view.entries.iter().filter(|it| it.head.bucket == number);
        return Some(Current {
            number,
            opened: last.head.opened,
            bytes: sealed(number) + entries.map(|it| it.bytes).sum::<u64>(),
        });
    }
    let last: Option<&Manifest> = Some(&view.manifest);
    let last = last.and_then(|it| it.buckets.last())?;
    Some(Current {
        number: last.number,
        opened: last.opened,
        bytes: last.bytes,
    })
}
