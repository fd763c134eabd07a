//! What a durable driver keeps over a restart of its host.

use super::Subject;
use super::fixture::{
    Opened, TENANT, assert_fenced, assert_never_again, entry, eventually, get, noise, object, open,
    reopen,
};
use crate::HOST_PREFIX;
use crate::test_support::{all, put};

pub async fn what_was_synced_is_there_after_a_restart(subject: &dyn Subject) {
    let mut kv = open(subject).await;
    let writer = kv.driver.writer_id();
    let number = kv.claim.number;
    for round in 0..3_u8 {
        let sort = round.to_string();
        kv.put("p", &sort, noise(70_000, round.into()))
            .await
            .unwrap();
        kv.commit("p", "entry", [round]).await.unwrap();
        let Some(again) = kv.reopen(subject).await else {
            return;
        };
        kv = again;
        assert_eq!(kv.driver.writer_id(), writer);
        assert_eq!(kv.claim.number, number);
        for round in 0..=round {
            let got = kv.get("p", &round.to_string()).await;
            assert!(got == Some(noise(70_000, round.into())), "{round}");
        }
        assert_eq!(kv.get("p", "entry").await, Some(vec![round]));
        let page = kv.kv.scan("p", &all()).await.unwrap();
        assert_eq!(page.entries.len(), usize::from(round) + 2);
        assert_eq!(kv.writers().await, std::slice::from_ref(&writer));
        assert_eq!(kv.partitions().await, ["p"]);
    }
}

pub async fn earlier_claims_are_fenced_after_a_restart(subject: &dyn Subject) {
    let kv = open(subject).await;
    let first = kv.claim.clone();
    let other = kv.kv.claim("other").await.unwrap();
    kv.commit("p", "a", "1").await.unwrap();
    let Some(kv) = kv.reopen(subject).await else {
        return;
    };
    assert!(kv.claim.epoch > first.epoch);
    let late = kv.kv.commit(&first, "p", vec![put("a", "late")]).await;
    assert_fenced(&late);
    let late = kv.kv.put(&first, vec![object("p", "o", "late")]).await;
    assert_fenced(&late);
    assert_fenced(&kv.kv.reclaim(&first, "p").await);
    kv.commit("p", "b", "2").await.unwrap();
    let due = [entry(b"a", b"1"), entry(b"b", b"2")];
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let entries = page.entries.into_iter().filter(|it| it.sort != b"o");
    assert_eq!(entries.collect::<Vec<_>>(), due);
    let again = kv.kv.claim("other").await.unwrap();
    assert!(again.epoch > other.epoch);
    assert_eq!(again.number, other.number);
}

pub async fn purges_and_reclaims_are_not_undone_by_a_restart(subject: &dyn Subject) {
    let kv = open(subject).await;
    for partition in ["gone", "kept"] {
        kv.put(partition, "o", noise(5000, 1)).await.unwrap();
        kv.commit(partition, "e", "1").await.unwrap();
    }
    kv.reclaim("gone").await.unwrap();
    let retired = kv.kv.claim("retired").await.unwrap();
    let changes = vec![put("e", "1")];
    kv.kv.commit(&retired, "of retired", changes).await.unwrap();
    kv.kv.retire(&retired).await.unwrap();
    for tenant in ["purged", "forgotten"] {
        let of_tenant = kv.driver.open(tenant).await.unwrap();
        let claim = of_tenant.claim(&kv.claim.writer).await.unwrap();
        let changes = vec![put("e", "1")];
        of_tenant.commit(&claim, "p", changes).await.unwrap();
    }
    kv.driver.renew("purged").await.unwrap();
    kv.driver.forget("forgotten").await.unwrap();

    let Some(kv) = kv.reopen(subject).await else {
        return;
    };
    assert_eq!(kv.partitions().await, ["kept", "of retired"]);
    assert_never_again(&kv.commit("gone", "e", "again").await);
    assert_never_again(&kv.put("gone", "o", "again").await);
    assert_eq!(kv.writers().await, std::slice::from_ref(&kv.claim.writer));
    let tenants = kv.driver.tenants().await.unwrap().into_iter();
    let mut tenants: Vec<_> = tenants.map(|it| it.tenant).collect();
    tenants.sort();
    assert_eq!(tenants, ["purged", TENANT]);
    for tenant in ["purged", "forgotten"] {
        let of_tenant = kv.driver.open(tenant).await.unwrap();
        assert_eq!(get(&*of_tenant, "p", "e").await, None, "{tenant}");
        assert!(of_tenant.partitions().await.unwrap().is_empty());
        assert!(of_tenant.writers().await.unwrap().is_empty());
        assert!(of_tenant.is_current().await.unwrap());
    }
}

pub async fn the_bytes_of_a_tenant_are_the_same_after_a_restart(subject: &dyn Subject) {
    let kv = open(subject).await;
    let own = format!("{HOST_PREFIX}p");
    let host = format!("{HOST_PREFIX}{}", kv.claim.writer);
    let of_host = kv.kv.claim(&host).await.unwrap();
    kv.put("p", "o", noise(50_000, 1)).await.unwrap();
    kv.commit("p", "e", noise(5000, 2)).await.unwrap();
    kv.put("gone", "o", noise(50_000, 1)).await.unwrap();
    kv.reclaim("gone").await.unwrap();
    let changes = vec![put("e", noise(7000, 3))];
    kv.kv.commit(&of_host, &own, changes).await.unwrap();
    eventually("all bytes", async || {
        (62_000..65_000).contains(&kv.kv.stored_bytes()) && kv.kv.host_bytes() > 6999
    })
    .await;
    let bytes = (kv.kv.stored_bytes(), kv.kv.host_bytes());

    let Opened { driver, kv, .. } = kv;
    kv.sync(kv.generation()).await.unwrap();
    drop(kv);
    let Some(driver) = reopen(subject, driver).await else {
        return;
    };
    // Without a claim: an operator's look at the store has none.
    let kv = driver.open(TENANT).await.unwrap();
    eventually("the same bytes", async || {
        (kv.stored_bytes(), kv.host_bytes()) == bytes
    })
    .await;
}
