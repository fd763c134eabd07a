//! Repairs a stopped store: everything that can be read goes to a new tree, which then takes the place of the old one.
//!
//! The tree is small, as objects are not in it. Their files stay where they are: of a damaged object, the new tree has no slot. The folders
//! of the two trees are exchanged in one step, so the store is as before or as after at every moment.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use larder_model::Hex;
use lsm_tree::{AbstractTree, InternalValue, SeqNo, UserKey, UserValue};
use parking_lot::Mutex;

use super::durable::{FLUSH_BYTES, NO_SNAPSHOTS};
use super::objects::{Objects, Wait, file_name, sync_dir};
use super::open::Access;
use super::read::value;
use super::record::{self, DROPPED, HEAD, PARTITION, RECLAIMED_NAME, TENANT, VALUE, WRITER};
use super::shared::Shared;
use super::space::Space;
use super::store::{Store, StoreState};
use super::survey::{FolderState, survey};
use super::value::{Payload, Slot};
use super::{EmbeddedDriver, Faults, Options, folder, probe, writer};
use crate::{Error, mirror};

/// What [`EmbeddedDriver::set_aside`] has taken out of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Values that could not be read.
    pub values: u64,
    /// Object files that nothing refers to.
    pub files: u64,
}

/// A damaged value.
struct Removed<'a> {
    partition: u64,
    name: &'a str,
    sort: &'a [u8],
    /// The bytes on disk, as far as these can be read.
    payload: Option<(u64, Vec<u8>)>,
}

// === impl EmbeddedDriver ===

impl EmbeddedDriver {
    /// Opens the store as [`EmbeddedDriver::set_aside`] would leave it, without changing it; all writes are refused. `scratch` is as for
    /// [`EmbeddedDriver::open_read_only`]. Returns `None` if nothing was ever stored.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open_to_repair`].
    pub fn open_repaired(options: Options, scratch: &Path) -> Result<Option<Self>, Error> {
        let dir = options.dir.clone();
        let lock = folder::lock_shared(&dir)?;
        if survey(&dir)? == FolderState::New {
            return Ok(None);
        }
        let file = folder::read_writer_file(&dir)?;
        let tree = scratch.join("repaired");
        let damaged = open_mirror(&options, &scratch.join("damaged"))?;
        rebuild(&damaged, &tree, &mut |_| Ok(()))?;
        drop(damaged);
        let space = Space::new(probe(&options), 0);
        let access = Access::Rebuilt { tree: &tree };
        let shared = Shared::open(options, access, space, Faults::default())?;
        let (writer, damaged_writer_id) = writer::id_to_read(&shared, file)?;
        Ok(Some(Self {
            upkeep: Mutex::new(None),
            shared: shared.into(),
            writer,
            damaged_writer_id,
            _lock: lock,
        }))
    }

    /// Takes the values that cannot be read out of a stopped store, and the object files that nothing refers to. They go to the folder
    /// `aside`, which is created, on the same file system as the store; with them the tree as it was. A store without damage is not changed.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open`]; [`Error::Unavailable`] also if `aside` or `scratch` cannot be used. The store is as it was then, or only
    /// files that nothing refers to are left in it.
    pub fn set_aside(options: &Options, scratch: &Path, aside: &Path) -> Result<SetAside, Error> {
        let dir = &options.dir;
        let _lock = folder::lock(dir)?;
        if survey(dir)? == FolderState::New {
            return Ok(SetAside::default());
        }
        // Brings the journal into the tree.
        let space = Space::new(probe(options), 0);
        let access = Access::Write { last_synced: None };
        drop(Shared::open(
            options.clone(),
            access,
            space,
            Faults::default(),
        )?);
        let shared = open_mirror(options, &scratch.join("set-aside"))?;
        let store = shared.store();
        let (tree, values) = (aside.join("tree"), aside.join("values"));
        fs::create_dir_all(&values).map_err(|error| failed(aside, &error))?;
        let mut list = File::create(aside.join("VALUES")).map_err(|error| failed(aside, &error))?;
        let mut set_aside = SetAside::default();
        let mut removed = |removed: Removed<'_>| {
            set_aside.values += 1;
            keep(&values, &mut list, &removed)
        };
        let kept = rebuild(&shared, &tree, &mut removed).and_then(|()| {
            let synced = list.sync_all().and_then(|()| sync_dir(&values));
            synced
                .and_then(|()| sync_dir(aside))
                .map_err(|error| failed(aside, &error))
        });
        kept?;
        let orphans = orphaned_files(&store)?;
        drop((store, shared));
        exchange(&tree, &dir.join("tree")).map_err(|error| failed(aside, &error))?;
        for number in orphans {
            move_file(dir, aside, number).map_err(|error| failed(aside, &error))?;
            set_aside.files += 1;
        }
        let synced = sync_dir(dir).and_then(|()| sync_dir(aside));
        synced.map_err(|error| failed(aside, &error))?;
        Ok(set_aside)
    }
}

/// Opens the store to read it, with links to the tree's files in the new folder `tree`. The caller holds the lock.
fn open_mirror(options: &Options, tree: &Path) -> Result<Shared, Error> {
    mirror(&options.dir.join("tree"), tree).map_err(|error| failed(tree, &error))?;
    let space = Space::new(probe(options), 0);
    let access = Access::Read { tree };
    Shared::open(options.clone(), access, space, Faults::default())
}

/// Copies everything that can be read to a new tree. Calls `removed` for each value that cannot.
fn rebuild(
    shared: &Shared,
    to: &Path,
    removed: &mut dyn FnMut(Removed<'_>) -> io::Result<()>,
) -> Result<(), Error> {
    let from = &*shared.store();
    let open_files = shared.options.open_files / 2;
    let objects = from.dir.join("objects");
    let objects = Objects::new(objects, false, open_files, Faults::default());
    let new = Store::assemble(&from.dir, to, open_files, objects)?;
    let kinds = [TENANT, WRITER, RECLAIMED_NAME, DROPPED];
    for kind in HEAD.iter().copied().chain(kinds) {
        let range = (vec![kind], vec![kind + 1]);
        for (key, record) in Readable::new(from, range).entries(from) {
            if let Some(record) = record {
                insert(&new, key, &record)?;
            }
        }
    }
    let state = from.state();
    for (number, partition) in &state.partitions {
        if is_orphan(&state, partition.namespace) {
            continue;
        }
        let mut record = partition.clone();
        let range = (
            record::key(VALUE, *number, &[]),
            record::key(VALUE, *number + 1, &[]),
        );
        for (key, slot) in Readable::new(from, range).entries(from) {
            if let Some(slot) = &slot
                && value(from, *number, (key.as_slice(), &**slot), Wait::ForDisk).is_ok()
            {
                insert(&new, key, slot)?;
                continue;
            }
            let parsed = slot.as_deref().and_then(Slot::parse);
            let stored = parsed.as_ref().map_or(0, |slot| {
                (key.len() as u64).saturating_sub(9) + slot.stored()
            });
            record.stored = record.stored.saturating_sub(stored);
            let place = parsed.and_then(|slot| match slot.payload {
                Payload::InFile { offset, length } => Some((offset, length)),
                Payload::Inline(_) => None,
            });
            let payload = place.and_then(|(offset, length)| {
                let read = from.objects.read(*number, (offset, length), Wait::ForDisk);
                Some((offset, read.ok().flatten()?))
            });
            removed(Removed {
                partition: *number,
                name: &partition.name,
                sort: key.get(9..).unwrap_or_default(),
                payload,
            })
            .map_err(|error| failed(to, &error))?;
        }
        insert(
            &new,
            &record::key(PARTITION, *number, &[]),
            &record.encode(),
        )?;
    }
    flush(&new)
}

/// The newest version of an entry of the tree, as far as that can be read.
struct Newest {
    seqno: SeqNo,
    /// `None` for a deleted entry.
    value: Option<UserValue>,
}

/// What can be read of the keys in a range.
struct Readable {
    newest: BTreeMap<Vec<u8>, Newest>,
    /// Keys between which a block of a table cannot be read, both included; `None` for the end of the range.
    gaps: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

// === impl Readable ===

impl Readable {
    /// Reads all tables and the changes that are not in tables.
    fn new(store: &Store, (start, end): (Vec<u8>, Vec<u8>)) -> Self {
        let mut readable = Self {
            newest: BTreeMap::new(),
            gaps: Vec::new(),
        };
        let bounds = (
            Bound::Included(UserKey::from(start.as_slice())),
            Bound::Excluded(UserKey::from(end.as_slice())),
        );
        for table in store.tree.current_version().iter_tables() {
            let (mut last, mut in_gap) = (start.clone(), false);
            for item in table.range(bounds.clone()) {
                let Ok(item) = item else {
                    in_gap = true;
                    continue;
                };
                let key = item.key.user_key.to_vec();
                if std::mem::take(&mut in_gap) {
                    readable.gaps.push((last.clone(), Some(key.clone())));
                }
                last.clone_from(&key);
                readable.add(key, item);
            }
            if in_gap {
                readable.gaps.push((last, None));
            }
        }
        for item in store.tree.active_memtable().iter() {
            let key = item.key.user_key.to_vec();
            if key >= start && key < end {
                readable.add(key, item);
            }
        }
        readable
    }

    fn add(&mut self, key: Vec<u8>, item: InternalValue) {
        let seqno = item.key.seqno;
        if self.newest.get(&key).is_some_and(|it| it.seqno > seqno) {
            return;
        }
        let value = (!item.is_tombstone()).then_some(item.value);
        self.newest.insert(key, Newest { seqno, value });
    }

    /// The entries that exist, sorted by key. `None` for one whose newest version cannot be read: an older one must not take its place.
    fn entries<'a>(
        &'a self,
        store: &'a Store,
    ) -> impl Iterator<Item = (&'a Vec<u8>, Option<UserValue>)> + 'a {
        self.newest.iter().filter_map(|(key, newest)| {
            let in_gap = self
                .gaps
                .iter()
                .any(|(first, last)| first <= key && last.as_ref().is_none_or(|last| key <= last));
            if !in_gap {
                return newest.value.clone().map(|value| (key, Some(value)));
            }
            // A table whose filter excludes the key is not looked into.
            match store.slot(key) {
                Ok(Some(value)) => Some((key, Some(value))),
                Ok(None) => None,
                Err(_) => Some((key, None)),
            }
        })
    }
}

fn insert(new: &Store, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let (_, bytes) = new.tree.insert(key, value, new.seqno.next());
    if bytes >= FLUSH_BYTES {
        flush(new)?;
    }
    Ok(())
}

fn flush(new: &Store) -> Result<(), Error> {
    new.tree.rotate_memtable();
    let flushed = new.tree.flush(&new.tree.get_flush_lock(), NO_SNAPSHOTS);
    flushed.map(|_| ()).map_err(|error| {
        Error::Unavailable(format!("the repaired tree cannot be written: {error}"))
    })
}

/// True for partitions of a namespace without a record.
fn is_orphan(state: &StoreState, namespace: u64) -> bool {
    !state.namespaces.contains_key(&namespace) && !state.dropped.contains(&namespace)
}

/// The numbers of the object files that no record refers to.
fn orphaned_files(store: &Store) -> Result<Vec<u64>, Error> {
    let files = store.objects.list();
    let files = files.map_err(|error| failed(&store.dir, &error))?;
    let state = store.state();
    let namespaces: HashMap<u64, u64> = state
        .partitions
        .iter()
        .map(|(number, it)| (*number, it.namespace))
        .collect();
    let is_orphaned = |number: &u64| match namespaces.get(number) {
        Some(namespace) => is_orphan(&state, *namespace),
        None => !state.dropped.contains(number),
    };
    Ok(files.into_iter().filter(is_orphaned).collect())
}

/// Writes a damaged value's bytes to a file of its own, and a line about it.
fn keep(values: &Path, list: &mut File, removed: &Removed<'_>) -> io::Result<()> {
    let Removed {
        partition,
        name,
        sort,
        payload,
    } = removed;
    let file = match payload {
        None => "-".to_owned(),
        Some((offset, bytes)) => {
            let file = format!("{partition:016x}-{offset:016x}");
            let mut to = File::create(values.join(&file))?;
            to.write_all(bytes)?;
            to.sync_all()?;
            file
        }
    };
    writeln!(list, "{file} {name} {}", Hex(sort))
}

/// Moves the object file of this number aside.
fn move_file(dir: &Path, aside: &Path, number: u64) -> io::Result<()> {
    let (name, objects) = (file_name(number), aside.join("objects"));
    fs::create_dir_all(&objects)?;
    fs::rename(dir.join("objects").join(&name), objects.join(&name))?;
    sync_dir(&objects)?;
    sync_dir(&dir.join("objects"))
}

/// Exchanges two folders, in one step where the system can.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            exchanged => return Ok(exchanged?),
        }
    }
    let between: PathBuf = new.with_extension("old");
    fs::rename(old, &between)?;
    fs::rename(new, old)?;
    fs::rename(&between, new)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("cannot write to `{}`: {error}", path.display()))
}
