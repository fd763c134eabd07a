#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Weak};

use larder_model::storage::{
    Batch, BatchBuilder, Error, ErrorKind, Keep, KeepChange, Observer, Observers, Statistics,
    Storage, StorageSource,
};
use parking_lot::Mutex;

use super::{Forgotten, Several};
use crate::testing::{MemoryHosts, MemoryKeep};

/// Notes what it is told under its name, and has the place that it was given last.
#[derive(Clone, Default)]
struct Noting {
    name: &'static str,
    told: Arc<Mutex<Vec<String>>>,
    keep: Arc<Mutex<Option<Arc<dyn Keep>>>>,
    refuses: bool,
}

/// No storage.
struct Nowhere;

impl StorageSource for Nowhere {
    fn storage(self: Arc<Self>) -> Arc<dyn Storage> {
        unreachable!("nothing is read here")
    }
}

impl Noting {
    fn tell(&self, what: &str) {
        self.told.lock().push(format!("{} {what}", self.name));
    }

    fn keep(&self) -> Arc<dyn Keep> {
        self.keep.lock().clone().unwrap()
    }
}

#[async_trait::async_trait]
impl Observers for Noting {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        _: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        self.tell(tenant);
        *self.keep.lock() = Some(keep);
        Arc::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Observer for Noting {
    fn admit(&self, now: u64, _: &Batch) -> Result<(), Error> {
        self.tell(&format!("admit {now}"));
        if self.refuses {
            return Err(Error::new(ErrorKind::Unavailable, "gone"));
        }
        Ok(())
    }

    async fn before_write(&self, now: u64, _: &[&Batch]) -> Result<(), Error> {
        self.tell(&format!("before {now}"));
        if self.refuses {
            return Err(Error::new(ErrorKind::Unavailable, "not now"));
        }
        Ok(())
    }

    fn after_write(&self) {
        self.tell("after");
    }

    fn counted(&self, now: u64, _: &Statistics) {
        self.tell(&format!("counted {now}"));
    }

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error> {
        self.tell("forget");
        *self.keep.lock() = Some(keep);
        if self.refuses {
            return Err(Error::new(ErrorKind::Unavailable, "not now"));
        }
        Ok(())
    }

    async fn close(&self) {
        self.tell("close");
    }

    fn memory(&self) -> u64 {
        self.name.bytes().map(u64::from).sum()
    }
}

/// Two observers that note what they are told in one list. The second refuses writes if told to.
fn pair(refuses: bool) -> (Noting, Noting) {
    let one = Noting {
        name: "one",
        ..Noting::default()
    };
    let two = Noting {
        name: "two",
        told: Arc::clone(&one.told),
        refuses,
        ..Noting::default()
    };
    (one, two)
}

async fn open(one: &Noting, two: &Noting, keep: &Arc<MemoryKeep>) -> Arc<dyn Observer> {
    let several = Several(vec![
        ("one/", Arc::new(one.clone())),
        ("two/", Arc::new(two.clone())),
    ]);
    let nowhere: Weak<Nowhere> = Weak::new();
    several
        .open("shop", Arc::clone(keep) as Arc<dyn Keep>, nowhere)
        .await
}

fn put(key: &[u8], value: &[u8]) -> KeepChange {
    KeepChange::Put(key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn each_observer_is_told_of_everything() {
    let (one, two) = pair(false);
    let keep = Arc::new(MemoryKeep::default());
    let both = open(&one, &two, &keep).await;
    both.before_write(7, &[]).await.unwrap();
    both.after_write();
    both.counted(8, &Statistics::default());
    both.forget(Arc::new(MemoryKeep::default())).await.unwrap();
    both.close().await;
    let told = ["shop", "before 7", "after", "counted 8", "forget", "close"];
    let told = told.map(|it| [format!("one {it}"), format!("two {it}")]);
    assert_eq!(*one.told.lock(), told.concat());
}

#[tokio::test]
async fn the_memory_of_all_observers_counts() {
    let (one, two) = pair(false);
    let both = open(&one, &two, &Arc::new(MemoryKeep::default())).await;
    assert_eq!(both.memory(), one.memory() + two.memory());
}

#[tokio::test]
async fn a_batch_is_admitted_if_every_observer_admits_it() {
    let batch = BatchBuilder::default().build();
    for refuses in [false, true] {
        let (one, two) = pair(refuses);
        let both = open(&one, &two, &Arc::new(MemoryKeep::default())).await;
        one.told.lock().clear();
        let refused = both.admit(7, &batch).err();
        let message = refused.map(|error| error.message().to_owned());
        assert_eq!(message.as_deref(), refuses.then_some("gone"));
        assert_eq!(*one.told.lock(), ["one admit 7", "two admit 7"]);
    }
}

#[tokio::test]
async fn those_told_of_a_write_that_another_refuses_are_told_that_it_has_ended() {
    let (one, two) = pair(true);
    let keep = Arc::new(MemoryKeep::default());
    let both = open(&one, &two, &keep).await;
    one.told.lock().clear();
    let refused = both.before_write(7, &[]).await.unwrap_err();
    assert_eq!(refused.message(), "not now");
    assert_eq!(
        *one.told.lock(),
        ["one before 7", "two before 7", "one after"]
    );
    let (two, one) = (one, two);
    let both = open(&one, &two, &keep).await;
    one.told.lock().clear();
    both.before_write(7, &[]).await.unwrap_err();
    assert_eq!(
        *one.told.lock(),
        ["two before 7"],
        "it is the first one now"
    );
    one.told.lock().clear();
    both.forget(Arc::new(MemoryKeep::default()))
        .await
        .unwrap_err();
    assert_eq!(*one.told.lock(), ["two forget", "one forget"]);
}

#[tokio::test]
async fn none_sees_what_another_keeps() {
    let (one, two) = pair(false);
    let keep = Arc::new(MemoryKeep::default());
    open(&one, &two, &keep).await;
    for (place, value) in [(one.keep(), b"1"), (two.keep(), b"2")] {
        let keys = (0..10).map(|number| put(&[number], value));
        place.commit(keys.collect()).await.unwrap();
        let item = (b"name".to_vec(), value.to_vec());
        place.put("group", vec![item]).await.unwrap();
    }
    for (place, value) in [(one.keep(), b"1"), (two.keep(), b"2")] {
        let (mut start, mut found) = (Vec::new(), Vec::new());
        loop {
            let (page, more) = place.scan(&start).await.unwrap();
            found.extend(page);
            let Some(last) = found.last().filter(|_| more) else {
                break;
            };
            start = [&last.0[..], &[0]].concat();
        }
        let all = (0..10).map(|number| (vec![number], value.to_vec()));
        assert_eq!(found, all.collect::<Vec<_>>());
        assert_eq!(place.groups().await.unwrap(), ["group"]);
        let values = place.get("group", &[b"name".to_vec()]).await.unwrap();
        assert_eq!(values, [Some(value.to_vec())]);
        let (after, more) = place.scan(&[10]).await.unwrap();
        assert!(after.is_empty() && !more);
    }
    let delete = vec![KeepChange::Delete(vec![3])];
    one.keep().commit(delete).await.unwrap();
    one.keep().reclaim("group").await.unwrap();
    assert_eq!(one.keep().groups().await.unwrap(), [""; 0]);
    assert_eq!(two.keep().groups().await.unwrap(), ["group"]);
    assert_eq!(keep.entries().len(), 19);
}

#[tokio::test]
async fn each_observer_reads_its_own_part_of_what_other_hosts_keep() {
    let hosts = MemoryHosts::default();
    let mut places = Vec::new();
    for host in ["h1", "h2"] {
        let (one, two) = pair(false);
        let several = Several(vec![
            ("one/", Arc::new(one.clone())),
            ("two/", Arc::new(two.clone())),
        ]);
        let nowhere: Weak<Nowhere> = Weak::new();
        several.open("shop", hosts.open(host), nowhere).await;
        for place in [&one, &two] {
            let value = format!("{host} {}", place.name);
            let puts = vec![put(b"k", value.as_bytes()), put(b"l", b"")];
            place.keep().commit(puts).await.unwrap();
        }
        places.push((one.keep(), two.keep()));
    }
    let (one, two) = &places[0];
    for (place, name) in [(one, "one"), (two, "two")] {
        assert!(place.is_shared() && place.is_whole().await);
        let states = place.hosts(&[b"k".to_vec()]).await.unwrap();
        let values = states.iter().map(|it| it.values.clone());
        let expected = ["h1", "h2"].map(|host| vec![Some(format!("{host} {name}").into_bytes())]);
        assert!(values.eq(expected));
        let state = states[1].state.as_deref().unwrap();
        let (entries, more) = place.scan_host(state, b"l").await.unwrap();
        assert_eq!((entries, more), (vec![(b"l".to_vec(), Vec::new())], false));
    }
}

#[tokio::test]
async fn what_is_turned_off_finds_nothing_when_it_is_turned_on() {
    let (one, two) = pair(false);
    let keep = Arc::new(MemoryKeep::default());
    open(&one, &two, &keep).await;
    for place in [one.keep(), two.keep()] {
        let keys = (0..10).map(|number| put(&[number], b"it"));
        place.commit(keys.collect()).await.unwrap();
        let item = (b"name".to_vec(), b"it".to_vec());
        place.put("group", vec![item]).await.unwrap();
    }
    keep.sync();
    let several = Several(vec![
        ("one/", Arc::new(Forgotten)),
        ("two/", Arc::new(two.clone())),
    ]);
    let nowhere: Weak<Nowhere> = Weak::new();
    let failure = Error::new(ErrorKind::Unavailable, "not now");
    keep.fail(Some(failure));
    let both = several
        .open("shop", Arc::clone(&keep) as Arc<dyn Keep>, nowhere)
        .await;
    both.before_write(1, &[]).await.unwrap_err();
    keep.fail(None);
    both.before_write(1, &[]).await.unwrap();
    let is_gone = || {
        keep.entries()
            .iter()
            .all(|(key, _)| key.starts_with(b"two/"))
    };
    assert!(is_gone());
    assert_eq!(keep.entries().len(), 10);
    assert_eq!(keep.groups().await.unwrap(), ["two/group"]);
    // What was given back may come again, if that was not durable.
    keep.lose();
    assert!(!is_gone());
    both.before_write(2, &[]).await.unwrap();
    assert!(is_gone());
    let commits = keep.commits();
    both.before_write(3, &[]).await.unwrap();
    assert_eq!(keep.commits(), commits);
}

#[tokio::test]
async fn what_a_dead_host_has_kept_of_what_is_turned_off_is_given_back_before_its_upkeep() {
    let nowhere: Weak<Nowhere> = Weak::new();
    let own = Arc::new(MemoryKeep::default());
    let observer = Forgotten.open("shop", own as Arc<dyn Keep>, nowhere).await;
    observer.before_upkeep(None).await.unwrap();
    observer.before_upkeep(Some("h1")).await.unwrap_err();
    let keep = Arc::new(MemoryKeep::default());
    keep.commit(vec![put(&[1], b"it")]).await.unwrap();
    keep.sync();
    observer
        .adopted("h1", Arc::clone(&keep) as Arc<dyn Keep>)
        .await;
    observer.before_upkeep(Some("h1")).await.unwrap();
    assert!(keep.entries().is_empty());
    observer.before_upkeep(Some("h2")).await.unwrap_err();
}
