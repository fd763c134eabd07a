//! A store other than the model behind [`kv`](crate::kv), for a program that runs a plugin on the machine at hand with storage of its own.

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

/// What a scan asks for.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// From the first place, included, to the last, excluded.
    pub range: &'a Range,
    /// From which end.
    pub direction: Direction,
    /// The most entries on the page.
    pub max_entries: u32,
    /// About the most bytes on the page.
    pub max_bytes: u32,
}

thread_local! {
    static STAND_IN: RefCell<Option<Rc<dyn Kv>>> = const { RefCell::new(None) };
}

/// Calls with `kv` behind the plugin's calls of this thread, in place of the model.
pub fn with_kv<R>(kv: Rc<dyn Kv>, call: impl FnOnce() -> R) -> R {
    struct Restore(Option<Rc<dyn Kv>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            STAND_IN.set(self.0.take());
        }
    }
    let _restore = Restore(STAND_IN.replace(Some(kv)));
    call()
}

fn stand_in() -> Option<Rc<dyn Kv>> {
    STAND_IN.with_borrow(Clone::clone)
}

pub(crate) fn put(objects: &[Object]) -> Result<(), Error> {
    stand_in().map_or_else(|| model::put(objects), |kv| kv.put(objects))
}

pub(crate) fn commit(partition: &str, changes: &[Change]) -> Result<(), Error> {
    stand_in().map_or_else(
        || model::commit(partition, changes),
        |kv| kv.commit(partition, changes),
    )
}

pub(crate) fn get(keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    stand_in().map_or_else(|| model::get(keys), |kv| kv.get(keys))
}

pub(crate) fn scan(
    partition: &str,
    range: &Range,
    direction: Direction,
    max_entries: u32,
    max_bytes: u32,
) -> Result<Page, Error> {
    let Some(kv) = stand_in() else {
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
    stand_in().map_or_else(|| model::reclaim(partition), |kv| kv.reclaim(partition))
}

pub(crate) fn writers() -> Result<Vec<String>, Error> {
    stand_in().map_or_else(model::writers, |kv| kv.writers())
}

pub(crate) fn partitions() -> Result<Vec<String>, Error> {
    stand_in().map_or_else(model::partitions, |kv| kv.partitions())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;

    use super::*;
    use crate::kv;

    /// Has one writer, and counts the calls that change something.
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
    fn a_stand_in_answers_in_place_of_the_model_for_as_long_as_the_call() {
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
