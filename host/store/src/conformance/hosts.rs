//! Two hosts over one store. All cases pass for a driver of one host.

use std::collections::HashSet;
use std::sync::Arc;

use super::Subject;
use super::fixture::{
    Opened, TENANT, assert_fenced, assert_never_again, entry, eventually, get, noise, object,
    open_both, partitions,
};
use crate::test_support::{all, key, put};
use crate::{Change, Driver, Error, Quotas};

async fn listed(driver: &dyn Driver) -> Vec<String> {
    let tenants = driver.tenants().await.unwrap().into_iter();
    let mut names: Vec<String> = tenants.map(|it| it.tenant).collect();
    names.sort();
    names
}

pub async fn what_one_host_writes_the_other_reads_at_once(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    for n in 0..30_u64 {
        let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let (own, sort) = (format!("of {}", from.claim.writer), n.to_string());
        from.commit(&own, "entry", sort.as_str()).await.unwrap();
        assert_eq!(to.get(&own, "entry").await, Some(sort.clone().into()));
        from.put(&own, &sort, noise(2000, n)).await.unwrap();
        assert!(to.get(&own, &sort).await == Some(noise(2000, n)));
        let page = to.kv.scan(&own, &all()).await.unwrap();
        assert_eq!(page.entries.len() as u64, n / 2 + 2);
    }
    let mut writers = vec![a.claim.writer.clone(), b.claim.writer.clone()];
    writers.sort();
    for host in [&a, &b] {
        assert_eq!(host.writers().await, writers);
        assert_eq!(host.partitions().await.len(), 2);
    }
    let deleted = vec![Change::Delete("entry".into())];
    let own = format!("of {}", a.claim.writer);
    a.kv.commit(&a.claim, &own, deleted).await.unwrap();
    assert_eq!(b.get(&own, "entry").await, None);
}

pub async fn a_claim_on_one_host_fences_that_of_the_other(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    let first = a.kv.claim("w").await.unwrap();
    a.kv.commit(&first, "p", vec![put("a", "1")]).await.unwrap();
    let second = b.kv.claim("w").await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(second.number, first.number);
    assert_fenced(&a.kv.commit(&first, "p", vec![put("a", "late")]).await);
    assert_fenced(&a.kv.commit(&first, "new", vec![put("a", "late")]).await);
    assert_fenced(&a.kv.reclaim(&first, "p").await);
    assert_fenced(&a.kv.retire(&first).await);
    b.kv.commit(&second, "p", vec![put("b", "2")])
        .await
        .unwrap();
    for host in [&a, &b] {
        let page = host.kv.scan("p", &all()).await.unwrap();
        assert_eq!(page.entries, [entry(b"a", b"1"), entry(b"b", b"2")]);
        assert_eq!(host.writers().await, ["w"]);
    }
    // And back.
    let third = a.kv.claim("w").await.unwrap();
    assert_fenced(&b.kv.commit(&second, "p", vec![put("a", "late")]).await);
    a.kv.retire(&third).await.unwrap();
    assert!(b.writers().await.is_empty());
}

pub async fn the_id_of_a_live_host_is_held_and_not_adopted(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    a.commit("p", "a", "1").await.unwrap();
    for id in [a.claim.writer.as_str(), "nobody's"] {
        assert_eq!(b.kv.adopt(id).await.unwrap(), None, "{id}");
    }
    let held = b.kv.claim(&a.claim.writer).await;
    let Err(Error::Held(text)) = held else {
        panic!("the id of a live host was claimed: {held:?}");
    };
    assert!(!text.is_empty());
    // Neither has fenced it.
    a.commit("p", "a", "2").await.unwrap();
    // The host itself may.
    let again = a.kv.claim(&a.claim.writer).await.unwrap();
    assert!(again.epoch > a.claim.epoch);
}

pub async fn a_purge_on_one_host_fences_the_other(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    b.commit("p", "a", "1").await.unwrap();
    b.put("p", "o", noise(2000, 1)).await.unwrap();
    let new = a.driver.renew(TENANT).await.unwrap();
    assert!(!b.kv.is_current().await.unwrap());
    assert_fenced(&b.commit("p", "b", "late").await);
    assert_fenced(&b.commit("new", "b", "late").await);
    assert_fenced(&b.reclaim("p").await);
    // What is put late is nowhere.
    let late = b.put("late", "o", "late").await;
    assert!(matches!(late, Ok(()) | Err(Error::Fenced)), "{late:?}");
    assert!(partitions(&*new).await.is_empty());
    assert!(new.is_current().await.unwrap());

    let b = Opened::with(b.driver.clone()).await;
    assert!(b.kv.is_current().await.unwrap());
    assert!(b.partitions().await.is_empty());
    b.commit("p", "c", "2").await.unwrap();
    let page = new.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"c", b"2")]);
    assert_eq!(get(&*new, "late", "o").await, None);
}

pub async fn a_tenant_that_one_host_forgets_is_gone_on_the_other(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    b.commit("p", "a", "1").await.unwrap();
    a.driver.forget(TENANT).await.unwrap();
    assert!(!b.kv.is_current().await.unwrap());
    assert_fenced(&b.commit("p", "b", "late").await);
    assert!(listed(&*b.driver).await.is_empty());
    let again = Opened::with(b.driver.clone()).await;
    assert!(again.partitions().await.is_empty());
    assert_eq!(listed(&*a.driver).await, [TENANT]);
}

pub async fn a_reclaim_on_one_host_is_seen_on_the_other(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    for partition in ["gone", "kept"] {
        a.commit(partition, "e", "1").await.unwrap();
        a.put(partition, "o", noise(2000, 1)).await.unwrap();
    }
    assert_eq!(b.partitions().await, ["gone", "kept"]);
    a.reclaim("gone").await.unwrap();
    assert_eq!(b.partitions().await, ["kept"]);
    let keys = ["e", "o"].map(|sort| key("gone", sort));
    let got = b.kv.get(&keys).await.unwrap();
    assert!(got.iter().all(|got| got.is_some() == subject.lingers()));
    let w = b.kv.claim("w").await.unwrap();
    let again = b.kv.commit(&w, "gone", vec![put("e", "again")]).await;
    assert_never_again(&again);
    let again = b.kv.put(&w, vec![object("gone", "new", "again")]).await;
    assert_never_again(&again);
}

pub async fn tenants_of_one_host_are_listed_on_the_other(subject: &dyn Subject) {
    let first = subject.driver().await;
    let Some(second) = subject.second().await else {
        return;
    };
    for (n, tenant) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let (from, to) = if n % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        from.open(tenant).await.unwrap();
        let listed = listed(&**to).await;
        assert_eq!(listed.last().map(String::as_str), Some(tenant));
        assert_eq!(listed.len(), n + 1);
    }
    // A tenant that both open at once is one.
    let (a, b) = tokio::join!(first.open("both"), second.open("both"));
    let (a, b) = (a.unwrap(), b.unwrap());
    let claim = a.claim(&first.writer_id()).await.unwrap();
    a.commit(&claim, "p", vec![put("a", "1")]).await.unwrap();
    assert_eq!(get(&*b, "p", "a").await, Some(b"1".to_vec()));
}

pub async fn a_quota_counts_what_the_other_host_has_stored(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    for host in [&a, &b] {
        host.driver.set_quotas(Quotas::of_all(Some(100_000)));
    }
    a.put("of a", "o", noise(100_000, 1)).await.unwrap();
    let mut count = 0;
    eventually("a put of the other host is refused", async || {
        count += 1;
        let refused = b.put("of b", &count.to_string(), "1").await;
        matches!(refused, Err(Error::QuotaExceeded(_)))
    })
    .await;
    eventually("both count the same", async || {
        let stored = a.kv.stored_bytes();
        let of_a = b.kv.writer_bytes(&a.claim.writer);
        stored == b.kv.stored_bytes() && stored > 100_000 && (100_000..=stored).contains(&of_a)
    })
    .await;
    a.reclaim("of a").await.unwrap();
    eventually("a put of the other host is taken", async || {
        b.put("of b", "taken", "1").await.is_ok()
    })
    .await;
}

pub async fn hosts_have_ids_and_numbers_of_their_own(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    assert!(a.driver.is_shared() && b.driver.is_shared());
    assert_eq!(a.driver.name(), b.driver.name());
    assert_ne!(a.driver.writer_id(), b.driver.writer_id());
    assert_ne!(a.claim.number, b.claim.number);
    assert!(a.claim.number != 0 && b.claim.number != 0);
    for host in [&a, &b] {
        let again = host.kv.claim(&host.claim.writer).await.unwrap();
        assert_eq!(again.number, host.claim.number);
    }
}

pub async fn numbers_given_on_two_hosts_at_once_are_unique(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    let mut tasks = tokio::task::JoinSet::new();
    for (host, kv) in [("a", &a.kv), ("b", &b.kv)] {
        for n in 0..12 {
            let kv = Arc::clone(kv);
            let id = format!("{host}{n}");
            tasks.spawn(async move { kv.claim(&id).await.unwrap() });
        }
    }
    let claims = tasks.join_all().await;
    let numbers: HashSet<u16> = claims.iter().map(|claim| claim.number).collect();
    assert_eq!(numbers.len(), claims.len());
    for number in [0, a.claim.number, b.claim.number] {
        assert!(!numbers.contains(&number), "{number}");
    }
}

pub async fn every_host_is_listed_on_every_host(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    for host in [&a, &b] {
        eventually("both hosts are listed", async || {
            let hosts = host.driver.hosts().await.unwrap();
            let this: Vec<_> = hosts.iter().filter(|it| it.is_this).collect();
            assert_eq!(this.len(), 1);
            assert_eq!(this[0].writer, host.driver.writer_id());
            let is_listed = |it: &Opened| {
                let id = it.driver.writer_id();
                hosts.iter().any(|host| host.writer == id)
            };
            is_listed(&a) && is_listed(&b)
        })
        .await;
    }
}

pub async fn no_commit_of_a_host_lands_after_the_claim_of_the_other(subject: &dyn Subject) {
    let Some((a, b)) = open_both(subject).await else {
        return;
    };
    for round in 0..6 {
        let (old, new) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let claim = old.kv.claim("w").await.unwrap();
        let (kv, started) = (old.kv.clone(), Arc::new(tokio::sync::Notify::new()));
        let writing = tokio::spawn({
            let started = Arc::clone(&started);
            async move {
                let mut acknowledged = 0_usize;
                for n in 0_u32.. {
                    let changes = vec![put(&format!("{round}-{n:04}"), "v")];
                    match kv.commit(&claim, "p", changes).await {
                        Ok(()) => acknowledged += 1,
                        Err(Error::OutcomeUnknown(_)) => {}
                        late => return (acknowledged, late),
                    }
                    if n == 3 {
                        started.notify_one();
                    }
                }
                unreachable!("fenced before");
            }
        });
        started.notified().await;
        let next = new.kv.claim("w").await.unwrap();
        let seen = new.kv.scan("p", &all()).await.unwrap();
        let (acknowledged, late) = writing.await.unwrap();
        assert_fenced(&late);
        let later = new.kv.scan("p", &all()).await.unwrap();
        assert!(later == seen, "committed after the claim of another host");
        let of_round = seen.entries.iter();
        let prefix = format!("{round}-").into_bytes();
        let count = of_round.filter(|it| it.sort.starts_with(&prefix)).count();
        assert!(count >= acknowledged, "{count} of {acknowledged}");
        let changes = vec![put(&format!("{round}-next"), "v")];
        new.kv.commit(&next, "p", changes).await.unwrap();
    }
}
