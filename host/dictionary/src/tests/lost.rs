//! A dictionary that cannot be read, or is gone while fragments refer to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_core::testing::MemoryKeep;
use tokio::sync::Semaphore;

use super::support::{DAY, Fragments, NOW, Tenant, unavailable, until};

#[tokio::test]
async fn an_unreadable_entry_closes_the_dictionary() {
    let damages: [fn(&mut Vec<u8>); 3] = [|value| value[20] ^= 1, |value| value[0] = 9, Vec::clear];
    for damage in damages {
        for of in 0..2 {
            let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
            let tenant = Tenant::open(&keep, &fragments).await;
            tenant.store(NOW, &["a value"]).await;
            let entries = keep.entries();
            assert_eq!(entries.len(), 2);
            let (key, mut value) = entries[of].clone();
            value.resize(value.len().max(21), 0);
            damage(&mut value);
            keep.set(&key, &value);
            let tenant = Tenant::open(&keep, &fragments).await;
            assert_eq!(tenant.found(), None);
            let batch = tenant.walk(NOW, &["a value"]);
            assert!(batch.listed().is_none());
            for later in [0, DAY] {
                tenant.write(NOW + later, &[&batch]).await.unwrap();
                assert_eq!(tenant.found(), None);
            }
        }
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_read_is_read_again_later() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    Tenant::open(&keep, &fragments)
        .await
        .store(NOW, &["one"])
        .await;
    keep.fail(Some(unavailable()));
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), None);
    tenant.write(NOW, &[]).await.unwrap();
    assert_eq!(tenant.found(), None);
    keep.fail(None);
    tenant.write(NOW + 1, &[]).await.unwrap();
    assert_eq!(tenant.found(), None, "it is too soon");
    tenant.write(NOW + DAY, &[]).await.unwrap();
    assert_eq!(tenant.found().unwrap(), ["one"]);
}

/// As after an older release has used the store, which gives back what it does not know.
#[tokio::test]
async fn a_lost_dictionary_is_not_trusted_until_its_fragments_are_gone() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    Tenant::open(&keep, &fragments)
        .await
        .store(NOW, &["one"])
        .await;
    let keep = Arc::new(MemoryKeep::default());
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), None);
    let batch = tenant.walk(NOW + DAY, &["two"]);
    assert!(batch.listed().is_some());
    tenant.write(NOW + DAY, &[&batch]).await.unwrap();
    assert_eq!(tenant.found(), None);
    // So it is after another start, though the storage is not asked again.
    fragments.terms.lock().clear();
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), None);
    for (now, oldest, is_trusted) in [
        (2, None, false),
        (3, Some(1), false),
        (4, Some(3), false),
        (5, Some(4), true),
    ] {
        tenant.counted(NOW + now * DAY, oldest.map(|day| NOW + day * DAY));
        tenant.store(NOW + now * DAY, &["two"]).await;
        assert_eq!(tenant.found().is_some(), is_trusted, "on day {now}");
    }
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found().unwrap(), ["two"]);
}

#[tokio::test]
async fn fragments_of_an_older_release_refer_to_no_dictionary() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    for terms in 1..9 {
        fragments.terms.lock().push((1..terms).collect());
    }
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), Some(vec![]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_listed_before_a_slow_storage_has_answered() {
    for is_lost in [false, true] {
        let (keep, mut fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
        Arc::get_mut(&mut fragments).unwrap().gate = Semaphore::new(0);
        if is_lost {
            let terms = vec![larder_model::terms::with_dictionary()];
            fragments.terms.lock().push(terms);
        }
        let tenant = Tenant::open(&keep, &fragments).await;
        assert_eq!(tenant.found(), None);
        let batch = tenant.walk(NOW, &["one"]);
        assert!(batch.listed().is_none());
        tenant.write(NOW, &[&batch]).await.unwrap();
        fragments.gate.add_permits(9);
        let dictionary = tenant.dictionary();
        until(|| dictionary.contents().is_some()).await;
        tenant.store(NOW, &["two"]).await;
        let found = (!is_lost).then(|| vec!["two".to_owned()]);
        assert_eq!(tenant.found(), found);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_do_not_end_are_given_up() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    fragments.terms.lock().push(vec![1]);
    fragments.is_stuck.store(true, Ordering::Relaxed);
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), None);
    fragments.is_stuck.store(false, Ordering::Relaxed);
    let dictionary = tenant.dictionary();
    while dictionary.contents().is_none() {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(tenant.found(), Some(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_is_asked_again() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    fragments.fail(true);
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), None);
    fragments.fail(false);
    let dictionary = tenant.dictionary();
    while dictionary.contents().is_none() {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(tenant.found(), Some(vec![]));
}
