//! Quotas, and the bytes that they count. Values are noise, which no driver can compress.

use super::Subject;
use super::fixture::{eventually, noise, object, open};
use crate::test_support::put;
use crate::{Change, Claim, Error, HOST_PREFIX, Namespace, Quotas};

/// Puts small objects until the tenant is over its quota for the driver. A shared one may learn late what is stored.
async fn until_refused(kv: &dyn Namespace, claim: &Claim, partition: &str) {
    let mut count = 0;
    eventually("a put over the quota is refused", async || {
        count += 1;
        let objects = vec![object(partition, &format!("over {count}"), "1")];
        match kv.put(claim, objects).await {
            Ok(()) => false,
            Err(Error::QuotaExceeded(text)) => {
                assert!(text.contains("`kv.quota`"), "{text}");
                true
            }
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

async fn until_taken(kv: &dyn Namespace, claim: &Claim, partition: &str) {
    eventually("a put is taken", async || {
        let objects = vec![object(partition, "taken", "1")];
        match kv.put(claim, objects).await {
            Ok(()) => true,
            Err(Error::QuotaExceeded(_)) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

/// Waits until about this many bytes are stored.
async fn near(kv: &dyn Namespace, what: &str, due: u64) {
    eventually(what, async || {
        let stored = kv.stored_bytes();
        (due..=due + due / 10 + 200).contains(&stored)
    })
    .await;
}

pub async fn a_tenant_over_its_quota_may_commit_and_reclaim_but_not_put(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.driver.set_quotas(Quotas::of_all(Some(100_000)));
    kv.put("p", "a", noise(100_000, 1)).await.unwrap();
    until_refused(&*kv.kv, &kv.claim, "p").await;
    kv.commit("q", "note", noise(5000, 2)).await.unwrap();
    let upkeep = Claim {
        is_upkeep: true,
        ..kv.claim.clone()
    };
    let changes = vec![put("upkeep", noise(5000, 3))];
    kv.kv.commit(&upkeep, "q", changes).await.unwrap();
    until_refused(&*kv.kv, &kv.claim, "q").await;
    assert_eq!(kv.get("p", "a").await, Some(noise(100_000, 1)));

    kv.reclaim("p").await.unwrap();
    until_taken(&*kv.kv, &kv.claim, "q").await;
}

pub async fn a_quota_is_of_one_tenant_and_a_change_applies_to_open_namespaces(
    subject: &dyn Subject,
) {
    let kv = open(subject).await;
    let other = kv.driver.open("other").await.unwrap();
    let of_other = other.claim(&kv.claim.writer).await.unwrap();
    let quotas = |own: Option<u64>| Quotas {
        default: Some(2000),
        own: [("t".to_owned(), own)].into(),
    };
    kv.driver.set_quotas(quotas(Some(1_000_000)));
    let objects = vec![object("p", "a", noise(3000, 1))];
    other.put(&of_other, objects).await.unwrap();
    until_refused(&*other, &of_other, "p").await;
    for n in 0..3 {
        let sort = n.to_string();
        kv.put("p", &sort, noise(3000, n)).await.unwrap();
    }
    kv.driver.set_quotas(quotas(Some(9000)));
    until_refused(&*kv.kv, &kv.claim, "p").await;
    kv.driver.set_quotas(quotas(None));
    until_taken(&*kv.kv, &kv.claim, "p").await;
    until_refused(&*other, &of_other, "p").await;
}

pub async fn stored_bytes_follow_what_is_written_and_reclaimed(subject: &dyn Subject) {
    let kv = open(subject).await;
    assert_eq!((kv.kv.stored_bytes(), kv.kv.host_bytes()), (0, 0));
    kv.put("p", "o", noise(50_000, 1)).await.unwrap();
    near(&*kv.kv, "an object", 50_000).await;
    kv.commit("q", "e", noise(20_000, 2)).await.unwrap();
    near(&*kv.kv, "an object and an entry", 70_000).await;
    kv.commit("q", "e", noise(10_000, 3)).await.unwrap();
    near(&*kv.kv, "a shorter entry in place of it", 60_000).await;
    let deleted = vec![Change::Delete("e".into())];
    kv.kv.commit(&kv.claim, "q", deleted).await.unwrap();
    near(&*kv.kv, "no entry any more", 50_000).await;
    kv.commit("q", "e", noise(20_000, 5)).await.unwrap();
    kv.reclaim("p").await.unwrap();
    kv.reclaim("p").await.unwrap();
    near(&*kv.kv, "a reclaimed partition", 20_000).await;
    kv.reclaim("q").await.unwrap();
    eventually("nothing", async || kv.kv.stored_bytes() == 0).await;
    // Compressed.
    kv.put("r", "o", vec![7; 100_000]).await.unwrap();
    if kv.driver.is_durable() {
        eventually("compressed bytes", async || {
            (1..10_000).contains(&kv.kv.stored_bytes())
        })
        .await;
    }
}

pub async fn the_bytes_of_the_host_s_own_partitions_are_told_apart(subject: &dyn Subject) {
    let kv = open(subject).await;
    let own = format!("{HOST_PREFIX}p");
    let host = format!("{HOST_PREFIX}{}", kv.claim.writer);
    let host = kv.kv.claim(&host).await.unwrap();
    kv.put("p", "a", noise(5000, 1)).await.unwrap();
    eventually("bytes of the plugin", async || kv.kv.stored_bytes() > 4999).await;
    let of_plugin = kv.kv.stored_bytes();
    assert_eq!(kv.kv.host_bytes(), 0);
    let objects = vec![object(&own, "a", noise(7000, 2))];
    kv.kv.put(&host, objects).await.unwrap();
    let changes = vec![put("b", noise(900, 3))];
    kv.kv.commit(&host, &own, changes).await.unwrap();
    eventually("bytes of the host", async || {
        let (stored, of_host) = (kv.kv.stored_bytes(), kv.kv.host_bytes());
        (7900..8500).contains(&of_host) && stored - of_host == of_plugin
    })
    .await;
    assert_eq!(kv.kv.writer_bytes(&kv.claim.writer), of_plugin);
    kv.kv.reclaim(&host, &own).await.unwrap();
    eventually("none of the host", async || {
        kv.kv.host_bytes() == 0 && kv.kv.stored_bytes() == of_plugin
    })
    .await;
}

pub async fn the_bytes_of_a_writer_are_its_own(subject: &dyn Subject) {
    let kv = open(subject).await;
    let other = kv.kv.claim("other").await.unwrap();
    kv.put("p", "a", noise(5000, 1)).await.unwrap();
    kv.commit("p", "b", noise(1000, 2)).await.unwrap();
    let objects = vec![object("q", "a", noise(9000, 3))];
    kv.kv.put(&other, objects).await.unwrap();
    eventually("the bytes of two writers", async || {
        let own = kv.kv.writer_bytes(&kv.claim.writer);
        let others = kv.kv.writer_bytes("other");
        let stored = kv.kv.stored_bytes();
        if kv.driver.is_shared() {
            own > 5999 && others > 8999 && own + others == stored
        } else {
            own > 5999 && own <= stored && others > 8999 && others <= stored
        }
    })
    .await;
}
