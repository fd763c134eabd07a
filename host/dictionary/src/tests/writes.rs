//! What is made durable before a write, and what is removed.

use std::sync::Arc;

use larder_core::testing::MemoryKeep;
use larder_model::dictionary::Bounds;
use larder_model::storage::{ErrorKind, Keep};

use super::support::{DAY, Fragments, NOW, TENANT, Tenant, unavailable};

#[tokio::test]
async fn new_values_are_durable_before_they_are_written_and_there_after_a_restart() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.found(), Some(vec![]));
    let batch = tenant.walk(NOW, &["one", "two"]);
    assert_eq!(tenant.found(), Some(vec![]));
    tenant.observer.before_write(NOW, &[&batch]).await.unwrap();
    assert_eq!(tenant.found().unwrap(), ["one", "two"]);
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["one", "two"]);
    reopened.store(NOW, &["three"]).await;
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["one", "three", "two"]);
}

#[tokio::test]
async fn a_write_without_new_values_commits_nothing() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let (one, other) = (tenant.walk(NOW, &["a", "b"]), tenant.walk(NOW, &["a", "c"]));
    let begun = keep.commits();
    tenant.write(NOW, &[&one, &other]).await.unwrap();
    assert_eq!(keep.commits(), begun + 1);
    assert_eq!(tenant.found().unwrap(), ["a", "b", "c"]);
    // The same batch again, the same values in another, and one without a dictionary.
    tenant.write(NOW, &[&one]).await.unwrap();
    tenant.store(NOW + 1, &["a", "b", "c"]).await;
    tenant.observer.before_write(NOW, &[]).await.unwrap();
    assert_eq!(keep.commits(), begun + 1);
    // A new day.
    tenant.store(NOW + DAY, &["a"]).await;
    assert_eq!(keep.commits(), begun + 2);
    tenant.store(NOW + DAY, &["a"]).await;
    assert_eq!(keep.commits(), begun + 2);
}

#[tokio::test]
async fn values_that_could_not_be_committed_are_not_listed() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let batch = tenant.walk(NOW, &["one"]);
    keep.fail(Some(unavailable()));
    let refused = tenant.write(NOW, &[&batch]).await.unwrap_err();
    assert_eq!(refused.message(), unavailable().message());
    assert_eq!(tenant.found(), Some(vec![]));
    keep.fail(None);
    tenant.write(NOW, &[&batch]).await.unwrap();
    assert_eq!(tenant.found().unwrap(), ["one"]);
}

/// Else the log would count as outdated, and each write with a new value would write a part of it anew.
#[tokio::test]
async fn commits_that_fail_leave_the_log_as_large_as_it_was() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let long = "x".repeat(4000);
    let batch = tenant.walk(NOW, &[long.as_str()]);
    keep.fail(Some(unavailable()));
    for _ in 0..100 {
        tenant.write(NOW, &[&batch]).await.unwrap_err();
    }
    keep.fail(None);
    let begun = keep.commits();
    for value in ["one", "two", "three"] {
        tenant.store(NOW, &[value]).await;
    }
    assert_eq!(keep.commits(), begun + 3);
}

#[tokio::test]
async fn many_values_are_committed_in_parts() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let values: Vec<_> = (0..3000).map(|number| format!("{number:0300}")).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    tenant.store(NOW, &values).await;
    assert!(keep.largest_commit() <= 256 << 10);
    assert!(keep.commits() >= 5);
    let reopened = Tenant::open(&keep, &fragments).await;
    assert_eq!(reopened.found().unwrap(), values);
}

#[tokio::test]
async fn a_purge_empties_the_dictionary_and_refuses_what_was_listed_before() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["one"]).await;
    let on_its_way = [tenant.walk(NOW, &["one"]), tenant.walk(NOW, &["two"])];
    let fresh = Arc::new(MemoryKeep::default());
    let empty = Arc::clone(&fresh) as Arc<dyn Keep>;
    tenant.observer.forget(empty).await.unwrap();
    assert_eq!(tenant.found(), Some(vec![]));
    for batch in &on_its_way {
        let refused = tenant.write(NOW, &[batch]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.message().contains("retry"), "{refused}");
    }
    let commits = keep.commits();
    tenant.store(NOW, &["three"]).await;
    assert_eq!(keep.commits(), commits);
    let reopened = Tenant::open(&fresh, &fragments).await;
    assert_eq!(reopened.found().unwrap(), ["three"]);
}

#[tokio::test]
async fn what_was_listed_before_a_purge_is_refused_alone() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let outdated = tenant.walk(NOW, &["one"]);
    let fresh = Arc::new(MemoryKeep::default());
    let empty = Arc::clone(&fresh) as Arc<dyn Keep>;
    tenant.observer.forget(empty).await.unwrap();
    let good = tenant.walk(NOW, &["two"]);
    let refused = tenant.observer.admit(NOW, &outdated).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("retry"), "{refused}");
    tenant.write(NOW, &[&good]).await.unwrap();
    assert_eq!(tenant.found().unwrap(), ["two"]);
}

#[tokio::test]
async fn nothing_is_listed_after_a_purge_whose_new_place_fails() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["one"]).await;
    let fresh = Arc::new(MemoryKeep::default());
    fresh.fail(Some(unavailable()));
    let empty = Arc::clone(&fresh) as Arc<dyn Keep>;
    tenant.observer.forget(empty).await.unwrap_err();
    assert_eq!(tenant.found(), None);
    let batch = tenant.walk(NOW, &["two"]);
    assert!(batch.listed().is_none());
    tenant.write(NOW, &[&batch]).await.unwrap();
}

#[tokio::test]
async fn a_closed_tenant_has_no_dictionary() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    let dictionary = tenant.dictionary();
    tenant.observer.close().await;
    assert!(tenant.dictionaries.get(TENANT).is_none());
    assert!(dictionary.snapshot().is_none());
}

#[tokio::test]
async fn what_is_listed_counts_as_memory() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    assert_eq!(tenant.observer.memory(), 0);
    let long = "x".repeat(4000);
    tenant.store(NOW, &[long.as_str()]).await;
    assert!(tenant.observer.memory() > 4000);
    tenant.observer.close().await;
    assert_eq!(tenant.observer.memory(), 0);
}

#[tokio::test]
async fn values_whose_fragments_have_expired_are_removed() {
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::open(&keep, &fragments).await;
    tenant.store(NOW, &["old", "both"]).await;
    let later = NOW + 5 * DAY;
    tenant.store(later, &["new", "both"]).await;
    tenant.counted(later, None);
    tenant.counted(later, Some(NOW));
    assert_eq!(tenant.found().unwrap(), ["both", "new", "old"]);
    // At most once an hour.
    tenant.counted(later + 1, Some(later));
    assert_eq!(tenant.found().unwrap(), ["both", "new", "old"]);
    tenant.counted(later + DAY, Some(later));
    assert_eq!(tenant.found().unwrap(), ["both", "new"]);
}

#[tokio::test]
async fn the_log_does_not_grow_with_time() {
    let bounds = Bounds {
        values: 500,
        ..Bounds::default()
    };
    let (keep, fragments) = (Arc::new(MemoryKeep::default()), Fragments::new());
    let tenant = Tenant::within(bounds, &keep, &fragments).await;
    let constant: Vec<_> = (0..200).map(|number| format!("{number:0100}")).collect();
    for day in 0..60 {
        let now = NOW + day * DAY;
        let of_the_day = (0..50).map(|number| format!("{day} {number:0100}"));
        let values: Vec<_> = constant.iter().cloned().chain(of_the_day).collect();
        for values in values.chunks(10) {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            tenant.store(now, &values).await;
        }
        tenant.counted(now, Some(now.saturating_sub(2 * DAY)));
    }
    // Seven days of values live, of 5 KB a day, and the constant ones.
    let bytes: usize = keep.entries().iter().map(|(_, value)| value.len()).sum();
    let written: usize = 60 * 250 * 100;
    assert!(bytes < written / 3, "{bytes} of {written} bytes");
    assert!(keep.largest_commit() <= 256 << 10);
    let found = tenant.found().unwrap();
    assert!(constant.iter().all(|value| found.contains(value)));
    let reopened = Tenant::open(&keep, &fragments).await.found().unwrap();
    assert!(found.iter().all(|value| reopened.contains(value)));
}
