//! Calls at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::Subject;
use super::fixture::{assert_fenced, noise, object, open};
use crate::test_support::{all, key, put};
use crate::{Error, Scan};

const TASKS: u64 = 6;
const CALLS: u64 = 12;

pub async fn commits_of_several_tasks_under_one_claim_are_all_kept(subject: &dyn Subject) {
    let kv = Arc::new(open(subject).await);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let kv = Arc::clone(&kv);
        tasks.spawn(async move {
            for call in 0..CALLS {
                let sort = format!("{task}-{call:02}");
                // All write to one partition, and each to one of its own.
                for partition in ["all".to_owned(), format!("of {task}")] {
                    kv.commit(&partition, &sort, sort.as_str()).await.unwrap();
                    // It sees what it has committed.
                    assert_eq!(kv.get(&partition, &sort).await, Some(sort.clone().into()));
                }
                kv.commit("all", "last", sort).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let page = kv.kv.scan("all", &all()).await.unwrap();
    assert_eq!(page.entries.len() as u64, TASKS * CALLS + 1);
    for task in 0..TASKS {
        let page = kv.kv.scan(&format!("of {task}"), &all()).await.unwrap();
        assert_eq!(page.entries.len() as u64, CALLS);
    }
}

pub async fn a_page_has_all_of_a_commit_or_none_of_it(subject: &dyn Subject) {
    let kv = Arc::new(open(subject).await);
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (kv, done) = (Arc::clone(&kv), Arc::clone(&done));
        async move {
            for n in 0..60_u32 {
                let value = n.to_string();
                let changes = ["a", "b", "c"].map(|sort| put(sort, value.as_str()));
                kv.kv.commit(&kv.claim, "p", changes.into()).await.unwrap();
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut newest = None;
    while !done.load(Ordering::SeqCst) {
        for descending in [false, true] {
            let scan = Scan {
                descending,
                ..all()
            };
            let page = kv.kv.scan("p", &scan).await.unwrap();
            let values: Vec<u32> = page
                .entries
                .iter()
                .map(|it| str::from_utf8(&it.value).unwrap().parse().unwrap())
                .collect();
            assert!(values.is_empty() || values.len() == 3, "{values:?}");
            assert!(values.iter().all(|it| *it == values[0]), "{values:?}");
            // What was seen once is not taken back.
            let seen = values.first().copied();
            assert!(seen >= newest, "{seen:?} after {newest:?}");
            newest = seen;
        }
    }
    writer.await.unwrap();
    assert_eq!(kv.get("p", "a").await, Some(b"59".to_vec()));
}

pub async fn nothing_is_committed_under_a_claim_after_the_next_one(subject: &dyn Subject) {
    let kv = Arc::new(open(subject).await);
    let mut claim = kv.claim.clone();
    for round in 0..4 {
        let partition = format!("p{round}");
        let started = Arc::new(tokio::sync::Semaphore::new(0));
        let mut tasks = JoinSet::new();
        for task in 0..3 {
            let (kv, claim) = (Arc::clone(&kv), claim.clone());
            let (partition, started) = (partition.clone(), Arc::clone(&started));
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let sort = format!("{task}-{n:04}");
                    let changes = vec![put(&sort, "v")];
                    match kv.kv.commit(&claim, &partition, changes).await {
                        Ok(()) => acknowledged.push(sort.into_bytes()),
                        Err(Error::OutcomeUnknown(_)) => {}
                        late => {
                            assert_fenced(&late);
                            break;
                        }
                    }
                    started.add_permits(1);
                }
                acknowledged
            });
        }
        started.acquire_many(6).await.unwrap().forget();
        claim = kv.kv.claim(&kv.claim.writer).await.unwrap();
        let seen = kv.kv.scan(&partition, &all()).await.unwrap();
        let sorts: Vec<_> = seen.entries.iter().map(|it| it.sort.clone()).collect();
        for acknowledged in tasks.join_all().await {
            for sort in acknowledged {
                assert!(sorts.contains(&sort), "an acknowledged commit is missing");
            }
        }
        let later = kv.kv.scan(&partition, &all()).await.unwrap();
        assert!(later == seen, "committed after the next claim");
        // The partition goes on under the next one.
        let changes = vec![put("next", "v")];
        kv.kv.commit(&claim, &partition, changes).await.unwrap();
    }
}

pub async fn objects_put_by_several_tasks_are_all_kept(subject: &dyn Subject) {
    let kv = Arc::new(open(subject).await);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let kv = Arc::clone(&kv);
        tasks.spawn(async move {
            for call in 0..CALLS {
                let sort = format!("{task}-{call:02}");
                let value = noise(3000, task * CALLS + call);
                // The same object comes from all of them.
                let objects = vec![
                    object("p", &sort, value.clone()),
                    object("p", "same", noise(3000, 1)),
                    object("q", &sort, value),
                ];
                kv.kv.put(&kv.claim, objects).await.unwrap();
                kv.commit("q", "note", sort).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for (task, call) in (0..TASKS).flat_map(|task| (0..CALLS).map(move |call| (task, call))) {
        let sort = format!("{task}-{call:02}");
        let keys = ["p", "q"].map(|partition| key(partition, &sort));
        let got = kv.kv.get(&keys).await.unwrap();
        let due = Some(noise(3000, task * CALLS + call));
        assert!(got.iter().all(|got| *got == due), "{sort}");
    }
    assert!(kv.get("p", "same").await == Some(noise(3000, 1)));
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries.len() as u64, TASKS * CALLS + 1);
}
