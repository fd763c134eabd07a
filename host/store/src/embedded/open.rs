//! Opens a store: the tree's tables, then the newer changes in the journal, then the records.
//!
//! All of it is read before anything is written, so a store that is refused is not changed. Files are removed only if a record says that
//! they were dropped.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lsm_tree::{AbstractTree, Guard};
use tracing::{error, warn};

use super::Options;
use super::durable;
use super::faults::Faults;
use super::journal::{Frame, Journal, Operation};
use super::objects::{Objects, Wait, file_name, sync_dir};
use super::record::{
    DROPPED, HEAD, Head, PARTITION, Partition, TENANT, VALUE, VERSION, WRITER, Writer, owner,
};
use super::shared::remove_dropped;
use super::store::{Orphan, Store};
use super::survey::{incomplete, survey};
use super::value::{Payload, Slot};
use crate::Error;

/// Access for which a store is opened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access<'a> {
    /// Read and write. An empty folder becomes an empty store.
    Write {
        /// The last synced frame, if known. After a failed sync, later frames are ignored.
        last_synced: Option<u64>,
    },
    /// Read only. The folder is not changed.
    Read {
        /// A copy of the folder `tree`, which opening the tree may change.
        tree: &'a Path,
    },
    /// Read only, with another tree, which has everything that the journal has.
    Rebuilt {
        /// The folder of that tree.
        tree: &'a Path,
    },
}

/// Opens the store in a folder.
///
/// # Errors
/// [`Error::Unavailable`] if the disk fails, [`Error::DataLoss`] if the store is damaged or incomplete, [`Error::Other`] if a newer
/// version wrote it. Nothing has been changed then, unless a write failed.
pub(super) fn open(options: &Options, access: Access<'_>, faults: Faults) -> Result<Store, Error> {
    let dir = options.dir.as_path();
    survey(dir)?;
    let journals = dir.join("journal");
    let recovered = Journal::recover(&journals).map_err(|error| refused(&error))?;
    if let Some(damage) = &recovered.damage {
        return Err(incomplete(dir, damage));
    }
    let (last_synced, read_only) = match access {
        Access::Write { last_synced } => (last_synced, false),
        Access::Read { .. } | Access::Rebuilt { .. } => (None, true),
    };
    let mut frames = match access {
        Access::Write { .. } | Access::Read { .. } => recovered.frames,
        Access::Rebuilt { .. } => Vec::new(),
    };
    if let Some(last) = last_synced {
        frames.retain(|frame| frame.number <= last);
    }
    let next_frame = frames
        .last()
        .map_or(1, |frame| frame.number + 1)
        .max(last_synced.unwrap_or(0) + 1);
    // Files of objects are opened more often than tables, which the tree merges.
    let open_tables = options.open_files / 3;
    let objects = Objects::new(
        dir.join("objects"),
        !read_only,
        options.open_files - open_tables,
        faults.clone(),
    );
    let store = match access {
        Access::Write { .. } => Store::assemble(dir, &dir.join("tree"), open_tables, objects)?,
        Access::Read { tree } | Access::Rebuilt { tree } => {
            Store::assemble(dir, tree, open_tables, objects)?
        }
    };
    if last_synced.is_none()
        && let Some(last) = frames.pop_if(|last| is_cut_off(&store, last, read_only))
    {
        warn!(
            frame = last.number,
            "the last sync was cut off by a crash: what it would have kept was never acknowledged"
        );
    }
    replay(&store, &frames);
    store.state().synced = next_frame - 1;
    let has_head = load(&store, last_synced.is_some())?;
    find_orphans(&store)?;
    check_complete(&store, has_head)?;
    if read_only {
        store.state().failed = Some(durable::ONLY_READ.to_owned());
    } else {
        start_writing(&store, recovered.next_id, next_frame, faults)?;
    }
    Ok(store)
}

/// Prepares the store for writes. From here on the folder changes.
fn start_writing(
    store: &Store,
    journal: u64,
    next_frame: u64,
    faults: Faults,
) -> Result<(), Error> {
    let orphans = store.state().orphans.clone();
    if !orphans.is_empty() {
        error!(
            dir = %store.dir.display(),
            orphans = describe(&orphans),
            "DATA_LOSS: nothing refers to a part of what is stored, as records of it are missing; it is kept. `larder check` names it; restore the store from a backup, or move those files away"
        );
    }
    let journals = store.dir.join("journal");
    let made = store.objects.make_dir().and_then(|()| {
        store.objects.remove_copies()?;
        find_shared(store)?;
        std::fs::create_dir_all(&journals)?;
        sync_dir(&store.dir)?;
        Journal::create(&journals, journal, next_frame, faults)
    });
    *store.journal.lock() = Some(made.map_err(|error| refused(&error))?);
    put_head(store)?;
    store.tree.rotate_memtable();
    let flushed = durable::flush(store, &store.tree.get_flush_lock());
    flushed.map_err(|error| refused(&error))?;
    let dropped: Vec<u64> = store.state().dropped.iter().copied().collect();
    remove_dropped(store, &dropped);
    Ok(())
}

/// Returns `true` if the sync of the last frame did not end: some of its objects are not on disk, and so it was never acknowledged.
///
/// A frame is written only after the objects of the frame before are on disk, and objects are appended. So a file that ends before the
/// last frame's objects begin has been damaged since, which says nothing of the last frame: it is kept, and reads of its objects fail.
fn is_cut_off(store: &Store, last: &Frame, read_only: bool) -> bool {
    !has_all_objects(store, last, read_only) && !has_lost_earlier_objects(store, last)
}

/// Returns `true` if a file lacks a part that was on disk before this frame was written.
fn has_lost_earlier_objects(store: &Store, frame: &Frame) -> bool {
    let mut begins: HashMap<u64, u64> = HashMap::new();
    for operation in frame.operations() {
        if let Operation::Put(key, value) = operation
            && let Some((VALUE, partition, _)) = owner(key)
            && let Some(slot) = Slot::parse(value)
            && let Payload::InFile { offset, .. } = slot.payload
        {
            let begin = begins.entry(partition).or_insert(offset);
            *begin = offset.min(*begin);
        }
    }
    let mut begins = begins.into_iter();
    begins.any(|(partition, begin)| store.objects.length(partition).unwrap_or(0) < begin)
}

/// Returns `true` if all objects of a frame can be read. Unless the store is read-only, also syncs them.
fn has_all_objects(store: &Store, frame: &Frame, read_only: bool) -> bool {
    let mut files = HashSet::new();
    let readable = frame.operations().all(|operation| {
        let Operation::Put(key, value) = operation else {
            return true;
        };
        let Some((VALUE, partition, _)) = owner(key) else {
            return true;
        };
        match Slot::parse(value) {
            Some(slot) => match slot.payload {
                Payload::Inline(_) => true,
                Payload::InFile { offset, length } => {
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
    let mut files = files.into_iter();
    readable && (read_only || files.all(|partition| store.objects.sync(partition).is_ok()))
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

/// Reads the records. With `fence`, fences all writers. Returns `true` if there is a head record.
fn load(store: &Store, fence: bool) -> Result<bool, Error> {
    let mut state = store.state();
    let head = store.slot(HEAD).map_err(|error| unreadable(&error))?;
    state.head = match &head {
        Some(head) => Head::decode(head).ok_or_else(|| damaged("head"))?,
        None => Head::default(),
    };
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
    each(store, DROPPED, |key, _| {
        let (_, number, _) = owner(key)?;
        state.dropped.insert(number);
        Some(())
    })?;
    each(store, PARTITION, |key, value| {
        let (_, number, _) = owner(key)?;
        let partition = Partition::decode(value)?;
        store.live.insert(number);
        if let Some(namespace) = state.namespaces.get_mut(&partition.namespace) {
            namespace.names.insert(partition.name.clone(), number);
            namespace.account(&partition.name, partition.stored, 0);
        } else if state.dropped.contains(&partition.namespace) {
            state.to_remove.push(number);
        } else {
            // Its records are kept, too, until it is known what they belong to.
            store.live.insert(partition.namespace);
            state.orphans.push(Orphan {
                name: format!(
                    "partition `{}` of a tenant without a record",
                    partition.name
                ),
                bytes: partition.stored,
            });
        }
        state.untruncated.insert(number);
        state.partitions.insert(number, partition);
        Some(())
    })?;
    Ok(head.is_some())
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

/// Finds the object files without a record. They are kept, and their numbers are not assigned again, because that would truncate the
/// file.
fn find_orphans(store: &Store) -> Result<(), Error> {
    let files = store.objects.list().map_err(|error| refused(&error))?;
    let mut state = store.state();
    for number in &files {
        if !state.partitions.contains_key(number) && !state.dropped.contains(number) {
            let bytes = store.objects.length(*number);
            state.orphans.push(Orphan {
                name: format!("file `objects/{}`", file_name(*number)),
                bytes: bytes.map_err(|error| refused(&error))?,
            });
        }
    }
    let used = files.iter().chain(state.partitions.keys());
    let highest = used.chain(state.namespaces.keys()).max().copied();
    state.head.last_number = state.head.last_number.max(highest.unwrap_or(0));
    Ok(())
}

/// Finds the object files that have another name, in a snapshot or as one.
fn find_shared(store: &Store) -> std::io::Result<()> {
    for number in store.objects.list()? {
        if store.objects.is_shared(number)? {
            store.state().shared.insert(number);
        }
    }
    Ok(())
}

/// Returns an error if records are missing.
fn check_complete(store: &Store, has_head: bool) -> Result<(), Error> {
    let state = store.state();
    let files = state.partitions.values();
    let files = files.filter(|partition| partition.file_length > 0).count();
    let fault = if files > 0 && !store.objects.has_dir() {
        format!("`objects` is missing, with the files of {files} partitions")
    } else if !state.orphans.is_empty() && state.tenants.is_empty() {
        format!(
            "its records name no tenant, and nothing refers to what is there: {}",
            describe(&state.orphans)
        )
    } else if !has_head && !state.tenants.is_empty() {
        "the record `head` is missing".to_owned()
    } else {
        return Ok(());
    };
    Err(incomplete(&store.dir, &fault))
}

fn describe(orphans: &[Orphan]) -> String {
    let first = orphans.first().map_or("", |orphan| &orphan.name);
    let bytes: u64 = orphans.iter().map(|orphan| orphan.bytes).sum();
    match orphans.len() {
        1 => format!("{first} ({bytes} bytes)"),
        count => format!("{first} and {} more ({bytes} bytes)", count - 1),
    }
}

/// Writes the head record if it is new or has changed.
fn put_head(store: &Store) -> Result<(), Error> {
    let mut state = store.state();
    if state.head.version == 0 {
        state.head.version = VERSION;
    }
    let head = state.head.encode();
    let stored = store.slot(HEAD).map_err(|error| unreadable(&error))?;
    if stored.is_none_or(|stored| *stored != *head) {
        store.write_batch(&mut state, |batch| batch.put(HEAD, &head));
    }
    Ok(())
}

fn refused(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("the disk refuses: {error}"))
}

fn unreadable(error: &lsm_tree::Error) -> Error {
    Error::DataLoss(format!("the tree cannot be read: {error}"))
}

fn damaged(record: &str) -> Error {
    Error::DataLoss(format!("the record `{record}` cannot be read"))
}
