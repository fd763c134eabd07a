#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;

fn key(n: usize) -> Key {
    Key {
        partition: "data".to_owned(),
        sort: n.to_be_bytes().to_vec(),
    }
}

fn value(n: usize, length: usize) -> Arc<[u8]> {
    let byte = n.to_le_bytes()[0];
    vec![byte; length].into()
}

#[test]
fn an_object_is_found_under_its_namespace_and_key_alone() {
    let cache = ObjectCache::new(1 << 20);
    cache.insert(1, key(1), value(7, 100));
    assert_eq!(cache.get(1, &key(1)), Some(value(7, 100)));
    assert_eq!(cache.get(2, &key(1)), None);
    assert_eq!(cache.get(1, &key(2)), None);
    // The same bytes, divided otherwise.
    let other = Key {
        partition: "dat".to_owned(),
        sort: [b"a".as_slice(), &key(1).sort].concat(),
    };
    assert_eq!(cache.get(1, &other), None);
    assert_eq!((cache.hits(), cache.misses()), (1, 3));
    assert_eq!(cache.bytes(), OVERHEAD + 4 + 8 + 100);
}

#[test]
fn memory_is_bounded() {
    for max in [10_000, 1 << 20, 200 << 20] {
        let cache = ObjectCache::new(max);
        let length = usize::try_from(max / 300).unwrap();
        for n in 0..1000 {
            cache.insert(1, key(n), value(n, length));
            assert!(cache.bytes() <= max, "{} of {max}", cache.bytes());
        }
        assert!(cache.bytes() > max / 2, "{} of {max}", cache.bytes());
        // Empty values take memory too.
        for n in 0..20_000 {
            cache.insert(2, key(n), value(n, 0));
        }
        assert!(cache.bytes() <= max, "{} of {max}", cache.bytes());
    }
}

#[test]
fn a_value_that_is_too_large_is_not_kept_and_displaces_nothing() {
    let cache = ObjectCache::new(10_000);
    cache.insert(1, key(1), value(1, 100));
    cache.insert(1, key(2), value(2, 10_000));
    assert_eq!(cache.get(1, &key(2)), None);
    assert!(cache.get(1, &key(1)).is_some());
}

#[test]
fn the_largest_object_fits_into_a_cache_of_any_ordinary_size() {
    for max in [32 << 20, 64 << 20, 256 << 20] {
        let cache = ObjectCache::new(max);
        cache.insert(1, key(1), value(1, MAX_OBJECT_BYTES));
        assert!(cache.get(1, &key(1)).is_some(), "{max}");
    }
}

#[test]
fn objects_that_are_read_again_outlive_a_scan_of_many_that_are_not() {
    let cache = ObjectCache::new(1 << 20);
    for n in 0..100 {
        cache.insert(1, key(n), value(n, 1000));
    }
    for _ in 0..3 {
        for n in 0..100 {
            assert!(cache.get(1, &key(n)).is_some());
        }
    }
    for n in 1000..20_000 {
        cache.insert(1, key(n), value(n, 1000));
    }
    let left = (0..100).filter(|n| cache.get(1, &key(*n)).is_some());
    let left = left.count();
    assert!(left >= 90, "{left} of 100 are left");
}

#[test]
fn a_forgotten_namespace_serves_nothing_even_if_a_late_read_inserts() {
    let cache = ObjectCache::new(1 << 20);
    for n in 0..100 {
        cache.insert(1, key(n), value(n, 1000));
        cache.insert(2, key(n), value(n, 1000));
    }
    let before = cache.bytes();
    cache.forget(1);
    assert_eq!(cache.bytes(), before / 2);
    cache.insert(1, key(0), value(0, 1000));
    assert_eq!(cache.bytes(), before / 2);
    for n in 0..100 {
        assert_eq!(cache.get(1, &key(n)), None);
        assert!(cache.get(2, &key(n)).is_some());
    }
}

#[test]
fn a_cache_of_no_bytes_is_off() {
    let cache = ObjectCache::new(0);
    cache.insert(1, key(1), value(1, 0));
    assert_eq!(cache.get(1, &key(1)), None);
    cache.forget(1);
    assert_eq!((cache.hits(), cache.misses(), cache.bytes()), (0, 0, 0));
}

#[test]
fn threads_use_one_cache_and_get_what_was_inserted() {
    let cache = ObjectCache::new(1 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..5000 {
                    let n = (n * 7 + thread) % 2000;
                    match cache.get(1, &key(n)) {
                        Some(found) => assert_eq!(found, value(n, 1000)),
                        None => cache.insert(1, key(n), value(n, 1000)),
                    }
                }
            });
        }
    });
    assert!(cache.bytes() <= 1 << 20);
    assert_eq!(cache.hits() + cache.misses(), 20_000);
}
