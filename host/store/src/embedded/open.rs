//! Opening a store: the tree's tables, then what the journal holds beyond them, then the records of what there is.

use std::collections::HashSet;
use std::path::Path;

use lsm_tree::{AbstractTree, Guard};
use tracing::{error, warn};

use super::durable;
use super::faults::Faults;
use super::journal::{Frame, Journal, Operation};
use super::live::Live;
use super::objects::Wait;
use super::record::{
    HEAD, Head, PARTITION, Partition, TENANT, VALUE, VERSION, WRITER, Writer, owner,
};
use super::store::Store;
use super::value::{Place, Slot};
use crate::Error;

/// Opens what is in the folder; an empty folder becomes an empty store.
///
/// `good` is the last frame that was synced, where that is known: after a failed sync nothing beyond it counts.
/// Returns the store, and how many damaged spots its journal has.
///
/// # Errors
/// [`Error::Unavailable`] where the disk refuses, [`Error::DataLoss`] where the tree cannot be read, [`Error::Other`] where a newer
/// build wrote it.
pub(super) fn open(dir: &Path, good: Option<u64>, faults: Faults) -> Result<(Store, u64), Error> {
    let journals = dir.join("journal");
    std::fs::create_dir_all(&journals).map_err(|error| refused(&error))?;
    let recovered = Journal::recover(&journals).map_err(|error| refused(&error))?;
    let mut frames = recovered.frames;
    if let Some(good) = good {
        frames.retain(|frame| frame.number <= good);
    }
    let next_frame = frames
        .last()
        .map_or(1, |frame| frame.number + 1)
        .max(good.unwrap_or(0) + 1);
    let live = Live::default();
    let journal = Journal::create(&journals, recovered.next_id, next_frame, faults.clone());
    let store = Store::assemble(dir, journal.map_err(|error| refused(&error))?, live, faults)?;
    if recovered.damaged > 0 {
        error!(dir = %dir.display(), spots = recovered.damaged, "the journal is damaged: what it held there is lost");
    }
    // Every frame but the last was followed by another, so its objects were on disk before.
    if good.is_none()
        && let Some(last) = frames.pop_if(|last| !is_whole(&store, last))
    {
        warn!(
            frame = last.number,
            "the last sync was cut off by a crash: what it would have kept was never acknowledged"
        );
    }
    replay(&store, &frames);
    store.state().synced = next_frame - 1;
    load(&store, good.is_some())?;
    store.tree.rotate_memtable();
    let flushed = durable::flush(&store, &store.tree.get_flush_lock());
    flushed.map_err(|error| refused(&error))?;
    remove_orphans(&store);
    Ok((store, recovered.damaged))
}

/// Whether all objects of a frame can be read; if so, they are brought to disk, as the frame is about to be.
fn is_whole(store: &Store, frame: &Frame) -> bool {
    let mut files = HashSet::new();
    let readable = frame.operations().all(|operation| {
        let Operation::Put(key, value) = operation else {
            return true;
        };
        let Some((VALUE, partition, _)) = owner(key) else {
            return true;
        };
        match Slot::parse(value) {
            Some(slot) => match slot.place {
                Place::Here(_) => true,
                Place::File { offset, length } => {
                    files.insert(partition);
                    let payload = store
                        .objects
                        .read(partition, (offset, length), Wait::ForDisk);
                    let payload = payload.ok().flatten();
                    payload.is_some_and(|payload| slot.verify(key, &payload))
                }
            },
            None => false,
        }
    });
    readable
        && files
            .into_iter()
            .all(|partition| store.objects.sync(partition).is_ok())
}

fn replay(store: &Store, frames: &[Frame]) {
    for frame in frames {
        let seqno = store.seqno.next();
        for operation in frame.operations() {
            match operation {
                Operation::Put(key, value) => store.tree.insert(key, value, seqno),
                Operation::Delete(key) => store.tree.remove(key, seqno),
            };
        }
    }
}

/// Reads the records; `fence` takes the right to write from all who had it.
fn load(store: &Store, fence: bool) -> Result<(), Error> {
    let mut state = store.state();
    if let Some(head) = store.slot(HEAD).map_err(|error| unreadable(&error))? {
        state.head = Head::decode(&head).ok_or_else(|| damaged("head"))?;
    } else {
        state.head.version = VERSION;
        store.change(&mut state, |change| {
            let head = change.state().head.encode();
            change.put(HEAD, &head);
        });
    }
    if state.head.version > VERSION {
        return Err(Error::Other(format!(
            "`{}` was written by a newer Larder, with layout {}; this one reads layouts up to {VERSION}",
            store.dir.display(),
            state.head.version
        )));
    }
    each(store, TENANT, |key, value| {
        let tenant = String::from_utf8(key.get(1..)?.to_vec()).ok()?;
        let namespace = u64::from_le_bytes(value.try_into().ok()?);
        state.namespaces.entry(namespace).or_default();
        store.live.insert(namespace);
        state.tenants.insert(tenant, namespace);
        Some(())
    })?;
    each(store, WRITER, |key, value| {
        let (_, number, name) = owner(key)?;
        let mut writer = Writer::decode(value)?;
        writer.epoch += u64::from(fence);
        let name = String::from_utf8(name.to_vec()).ok()?;
        if let Some(namespace) = state.namespaces.get_mut(&number) {
            namespace.writers.insert(name, writer);
        }
        Some(())
    })?;
    each(store, PARTITION, |key, value| {
        let (_, number, _) = owner(key)?;
        let partition = Partition::decode(value)?;
        store.live.insert(number);
        if let Some(namespace) = state.namespaces.get_mut(&partition.namespace) {
            namespace.names.insert(partition.name.clone(), number);
            namespace.stored += partition.stored;
        } else {
            state.doomed.push(number);
        }
        state.uncut.insert(number);
        state.partitions.insert(number, partition);
        Some(())
    })
}

fn each(
    store: &Store,
    kind: u8,
    mut read: impl FnMut(&[u8], &[u8]) -> Option<()>,
) -> Result<(), Error> {
    for entry in store.tree.prefix([kind], lsm_tree::SeqNo::MAX, None) {
        let (key, value) = entry.into_inner().map_err(|error| unreadable(&error))?;
        read(&key, &value).ok_or_else(|| damaged(&format!("{key:?}")))?;
    }
    Ok(())
}

/// Object files of partitions that never came to be, or are gone.
fn remove_orphans(store: &Store) {
    let known: HashSet<u64> = store.state().partitions.keys().copied().collect();
    let removed = store.objects.list().and_then(|found| {
        let mut orphans = found.into_iter().filter(|number| !known.contains(number));
        orphans.try_for_each(|number| store.objects.remove(number))
    });
    if let Err(error) = removed {
        warn!(%error, "files that nothing refers to could not be removed");
    }
}

fn refused(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("the disk refuses: {error}"))
}

fn unreadable(error: &lsm_tree::Error) -> Error {
    Error::DataLoss(format!("the tree cannot be read: {error}"))
}

fn damaged(what: &str) -> Error {
    Error::DataLoss(format!("the record `{what}` cannot be read"))
}
