//! Reads the heads of several writers: what is new in all of them takes two calls of `kv`, if each has few new entries.

use std::collections::BTreeMap;

use larder_plugin::{Error, kv};

use super::View;
use crate::frame::{self, Area, Kind};
use crate::manifest::{Manifest, Stamp};

/// The most new entries of a writer that are read by their keys. More of them are scanned, in pages of bounded size.
const ENTRIES: u64 = 16;
/// The most of all writers: an entry of the head is at most a commit.
const ALL_ENTRIES: usize = 96;

/// What has been read of a writer's head. Whatever else [`View::follow`] needs, it reads itself.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) stamp: Option<Vec<u8>>,
    /// `None` if it was not read; empty if there is none.
    pub(super) manifest: Option<Vec<u8>>,
    /// New entries by sequence number.
    pub(super) entries: BTreeMap<u64, Vec<u8>>,
}

/// Reads the new writes of these writers.
pub(crate) fn follow_all(views: &mut [View]) -> Result<(), Error> {
    let mut keys = Vec::new();
    for view in views.iter() {
        keys.push(View::stamp_key(&view.writer.id));
        if view.is_new() {
            keys.push(view.manifest_key());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut values = kv::get(&keys)?.into_iter();
    let mut heads = Vec::with_capacity(views.len());
    for view in views.iter() {
        let mut head = Head {
            stamp: values.next().flatten(),
            ..Head::default()
        };
        if view.is_new() {
            head.manifest = Some(values.next().flatten().unwrap_or_default());
        }
        heads.push(head);
    }
    read_changed(views, &mut heads)?;
    for (view, head) in views.iter_mut().zip(heads) {
        view.follow_from(head)?;
    }
    Ok(())
}

/// Reads manifests that have changed, and new entries. What cannot be read is left to [`View::follow`].
fn read_changed(views: &[View], heads: &mut [Head]) -> Result<(), Error> {
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    let mut entries = 0;
    for (place, (view, head)) in views.iter().zip(&*heads).enumerate() {
        let Some(now) = read(Kind::Stamp, head.stamp.as_deref(), Stamp::decode) else {
            continue;
        };
        let is_same = now.generation == view.stamp.generation;
        if (!is_same || now.epoch != view.stamp.epoch) && head.manifest.is_none() {
            keys.push(view.manifest_key());
            places.push((place, None));
        }
        let manifest = read(Kind::Manifest, head.manifest.as_deref(), Manifest::decode);
        let from = match manifest {
            Some(manifest) => manifest.sealed,
            None if is_same => view.next_entry(),
            None => continue,
        };
        let new = from..now.next;
        let count = usize::try_from(now.next.saturating_sub(from)).unwrap_or(usize::MAX);
        if count as u64 > ENTRIES || entries + count > ALL_ENTRIES {
            continue;
        }
        entries += count;
        for sequence in new {
            let id = &view.writer.id;
            keys.push(frame::key(id, Area::Head, Kind::Entry, sequence));
            places.push((place, Some(sequence)));
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let values = match kv::get(&keys) {
        Err(kv::Error::DataLoss(_)) => return Ok(()),
        values => values?,
    };
    for ((place, sequence), value) in places.into_iter().zip(values) {
        let Some(head) = heads.get_mut(place) else {
            continue;
        };
        match (sequence, value) {
            (None, value) => head.manifest = Some(value.unwrap_or_default()),
            (Some(sequence), Some(value)) => {
                head.entries.insert(sequence, value);
            }
            (Some(_), None) => {}
        }
    }
    Ok(())
}

/// Reads a value of the head; `None` if that is not possible.
fn read<T, E>(
    kind: Kind,
    value: Option<&[u8]>,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) -> Option<T> {
    let payload = frame::open(kind, Area::Head, 0, value?).ok()?;
    decode(payload).ok()
}

// === impl View ===

impl View {
    /// Returns true if nothing of the writer's head has been read.
    fn is_new(&self) -> bool {
        self.stamp == Stamp::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_plugin::testing::{batch, fragment, kv, writer as writer_role};
    use larder_plugin::{Environment, Search};

    use crate::engine::Engine;
    use crate::find;
    use crate::limits::Shape;
    use crate::testing::{reader, with_reads};

    /// Each maintenance seals all entries.
    fn shape() -> Shape {
        Shape {
            group_spans: 1,
            ..Shape::default()
        }
    }

    #[test]
    fn a_reader_follows_many_writers_in_two_calls() {
        kv::reset();
        let mut writers = ["a", "b", "c"].map(|id| {
            kv::act_as(id);
            let role = writer_role(id);
            let environment = Environment { role, ..reader() };
            (id, Engine::open(&environment, shape()).unwrap())
        });
        with_reads(|reads| {
            let mut reader = Engine::open(&reader(), shape()).unwrap();
            assert_eq!(reads.costs().calls, 1);
            let mut written = 0;
            for round in 1..6_u64 {
                for (id, writer) in &mut writers {
                    kv::act_as(id);
                    // Every second time what was written before is sealed, so there is a new manifest too.
                    while round % 2 == 0 && writer.maintain(1, kv::sizes()).unwrap() {}
                    for n in 0..round {
                        writer.write(1, &[batch([fragment(n.into())])]).unwrap();
                        written += 1;
                    }
                }
                for calls in [2, 1] {
                    reads.costs();
                    reader.follow().unwrap();
                    assert_eq!(reads.costs().calls, calls, "round {round}");
                }
            }
            let new = Engine::open(&self::reader(), shape()).unwrap();
            for mut engine in [reader, new] {
                let page = find::page(&mut engine, &Search::all(), None, 1000).unwrap();
                assert_eq!(page.found.len(), written);
            }
            // More entries than are read by their keys.
            let (id, writer) = &mut writers[0];
            kv::act_as(id);
            for n in 0..40 {
                writer.write(1, &[batch([fragment(n)])]).unwrap();
            }
            let mut new = Engine::open(&self::reader(), shape()).unwrap();
            let page = find::page(&mut new, &Search::all(), None, 1000).unwrap();
            assert_eq!(page.found.len(), written + 40);
        });
    }
}
