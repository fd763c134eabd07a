//! Replaces the model behind [`kv`](crate::kv) by another store, for native programs that bring their own storage.

use std::cell::RefCell;
use std::rc::Rc;

use super::kv as model;
use crate::kv::{Change, Direction, Error, Key, Object, Page, Range};

/// The calls of the contract's `kv`, as `wit/storage.wit` describes them.
#[expect(missing_docs, reason = "the contract's own")]
pub trait Kv {
    fn put(&self, objects: &[Object]) -> Result<(), Error>;
    fn commit(&self, partition: &str, changes: &[Change]) -> Result<(), Error>;
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error>;
    fn scan(&self, partition: &str, scan: Scan<'_>) -> Result<Page, Error>;
    fn reclaim(&self, partition: &str) -> Result<(), Error>;
    fn writers(&self) -> Result<Vec<String>, Error>;
    fn partitions(&self) -> Result<Vec<String>, Error>;
}

/// The arguments of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// From its start, inclusive, to its end, exclusive.
    pub range: &'a Range,
    /// The end from which the scan begins.
    pub direction: Direction,
    /// The most entries on the page.
    pub max_entries: u32,
    /// The approximate limit of bytes on the page.
    pub max_bytes: u32,
}

thread_local! {
    static BACKEND: RefCell<Option<Rc<dyn Kv>>> = const { RefCell::new(None) };
}

/// Runs `call` with this thread's calls of `kv` sent to `kv` instead of the model.
pub fn with_kv<R>(kv: Rc<dyn Kv>, call: impl FnOnce() -> R) -> R {
    struct Restore(Option<Rc<dyn Kv>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            BACKEND.set(self.0.take());
        }
    }
    let _restore = Restore(BACKEND.replace(Some(kv)));
    call()
}

fn backend() -> Option<Rc<dyn Kv>> {
    BACKEND.with_borrow(Clone::clone)
}

pub(crate) fn put(objects: &[Object]) -> Result<(), Error> {
    backend().map_or_else(|| model::put(objects), |kv| kv.put(objects))
}

pub(crate) fn commit(partition: &str, changes: &[Change]) -> Result<(), Error> {
    backend().map_or_else(
        || model::commit(partition, changes),
        |kv| kv.commit(partition, changes),
    )
}

pub(crate) fn get(keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    backend().map_or_else(|| model::get(keys), |kv| kv.get(keys))
}

pub(crate) fn scan(
    partition: &str,
    range: &Range,
    direction: Direction,
    max_entries: u32,
    max_bytes: u32,
) -> Result<Page, Error> {
    let Some(kv) = backend() else {
        return model::scan(partition, range, direction, max_entries, max_bytes);
    };
    let scan = Scan {
        range,
        direction,
        max_entries,
        max_bytes,
    };
    kv.scan(partition, scan)
}

pub(crate) fn reclaim(partition: &str) -> Result<(), Error> {
    backend().map_or_else(|| model::reclaim(partition), |kv| kv.reclaim(partition))
}

pub(crate) fn writers() -> Result<Vec<String>, Error> {
    backend().map_or_else(model::writers, |kv| kv.writers())
}

pub(crate) fn partitions() -> Result<Vec<String>, Error> {
    backend().map_or_else(model::partitions, |kv| kv.partitions())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;

    use super::*;
    use crate::kv;

    /// A store with one writer that counts changing calls.
    #[derive(Default)]
    struct Counting(Cell<usize>);

    impl Counting {
        fn count(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    impl Kv for Counting {
        fn put(&self, _: &[Object]) -> Result<(), Error> {
            self.count();
            Ok(())
        }
        fn commit(&self, _: &str, _: &[Change]) -> Result<(), Error> {
            self.count();
            Ok(())
        }
        fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
            Ok(vec![None; keys.len()])
        }
        fn scan(&self, _: &str, _: Scan<'_>) -> Result<Page, Error> {
            Ok(Page {
                entries: Vec::new(),
                more: false,
            })
        }
        fn reclaim(&self, _: &str) -> Result<(), Error> {
            self.count();
            Ok(())
        }
        fn writers(&self) -> Result<Vec<String>, Error> {
            Ok(vec!["stand-in".to_owned()])
        }
        fn partitions(&self) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn with_kv_replaces_the_model_during_the_call() {
        let counting = Rc::new(Counting::default());
        let object = Object {
            key: Key {
                partition: "data/1".to_owned(),
                sort: b"a".to_vec(),
            },
            value: b"value".to_vec(),
        };
        let writers = with_kv(Rc::clone(&counting) as Rc<dyn Kv>, || {
            kv::put(&[object]).unwrap();
            kv::writers().unwrap()
        });
        assert_eq!(
            (writers, counting.0.get()),
            (vec!["stand-in".to_owned()], 1)
        );
        assert!(model::keys().is_empty());
        assert!(kv::writers().unwrap().is_empty());
    }
}
