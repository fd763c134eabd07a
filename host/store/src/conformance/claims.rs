//! Claims of writer ids: fencing, numbers, and the list of writers.

use std::collections::HashSet;

use super::Subject;
use super::fixture::{assert_fenced, entry, object, open};
use crate::test_support::{all, put};
use crate::{HOST_PREFIX, Page};

pub async fn a_second_claim_fences_the_first(subject: &dyn Subject) {
    let kv = open(subject).await;
    let first = kv.claim.clone();
    kv.commit("p", "a", "1").await.unwrap();
    let second = kv.kv.claim(&first.writer).await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(second.writer, first.writer);

    assert_fenced(&kv.commit("p", "a", "late").await);
    assert_fenced(&kv.commit("new", "a", "late").await);
    let objects = vec![object("p", "o", "late")];
    assert_fenced(&kv.kv.put(&first, objects).await);
    assert_fenced(&kv.reclaim("p").await);
    assert_fenced(&kv.kv.retire(&first).await);

    assert_eq!(kv.writers().await, [first.writer]);
    kv.kv
        .commit(&second, "p", vec![put("b", "2")])
        .await
        .unwrap();
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let entries = page.entries.into_iter().filter(|it| it.sort != b"o");
    let due = [entry(b"a", b"1"), entry(b"b", b"2")];
    assert_eq!(entries.collect::<Vec<_>>(), due);
    assert_eq!(kv.kv.scan("new", &all()).await.unwrap(), Page::default());
    kv.kv.reclaim(&second, "p").await.unwrap();
}

pub async fn claims_of_two_ids_stand_beside_each_other(subject: &dyn Subject) {
    let kv = open(subject).await;
    let other = kv.kv.claim("other").await.unwrap();
    let of_host = format!("{HOST_PREFIX}{}", kv.claim.writer);
    let of_host = kv.kv.claim(&of_host).await.unwrap();
    for round in ["1", "2"] {
        kv.commit("own", "a", round).await.unwrap();
        for claim in [&other, &of_host] {
            let changes = vec![put("a", round)];
            kv.kv.commit(claim, &claim.writer, changes).await.unwrap();
            let objects = vec![object(&claim.writer, round, "object")];
            kv.kv.put(claim, objects).await.unwrap();
        }
    }
    // A claim of one of them does not fence the others.
    let again = kv.kv.claim("other").await.unwrap();
    let late = kv.kv.commit(&other, "other", vec![put("a", "late")]);
    assert_fenced(&late.await);
    kv.commit("own", "a", "3").await.unwrap();
    for claim in [&again, &of_host] {
        let changes = vec![put("a", "3")];
        kv.kv.commit(claim, &claim.writer, changes).await.unwrap();
    }
    for partition in ["own", "other", &of_host.writer] {
        assert_eq!(kv.get(partition, "a").await, Some(b"3".to_vec()));
    }
}

pub async fn numbers_of_claims_are_unique_and_stable_and_not_0(subject: &dyn Subject) {
    let kv = open(subject).await;
    let ids = ["a", "b", "c", "d", "e", "_host/a"];
    let mut numbers = Vec::new();
    for id in ids {
        let claim = kv.kv.claim(id).await.unwrap();
        assert_ne!(claim.number, 0, "{id}");
        assert!(!claim.is_upkeep);
        numbers.push(claim.number);
    }
    let unique: HashSet<_> = numbers.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{numbers:?}");
    for (id, number) in ids.into_iter().zip(numbers) {
        let claim = kv.kv.claim(id).await.unwrap();
        assert_eq!(claim.number, number, "{id}");
        kv.kv.commit(&claim, id, vec![put("a", "1")]).await.unwrap();
        kv.kv.retire(&claim).await.unwrap();
        assert_eq!(kv.kv.claim(id).await.unwrap().number, number, "{id}");
    }
    let own = kv.kv.claim(&kv.claim.writer).await.unwrap();
    assert_eq!(own.number, kv.claim.number);
}

pub async fn writers_are_listed_from_their_first_commit_until_they_retire(subject: &dyn Subject) {
    let kv = open(subject).await;
    let (a, b) = (
        kv.kv.claim("a").await.unwrap(),
        kv.kv.claim("b").await.unwrap(),
    );
    assert!(kv.writers().await.is_empty());
    let objects = vec![object("of a", "o", "1")];
    kv.kv.put(&a, objects).await.unwrap();
    assert!(kv.writers().await.is_empty(), "a put is no commit");
    for (claim, due) in [(&b, vec!["b"]), (&a, vec!["a", "b"])] {
        let partition = format!("of {}", claim.writer);
        for _ in 0..2 {
            let changes = vec![put("e", "1")];
            kv.kv.commit(claim, &partition, changes).await.unwrap();
        }
        assert_eq!(kv.writers().await, due);
    }
    kv.kv.claim("c").await.unwrap();
    assert_eq!(kv.writers().await, ["a", "b"]);

    kv.kv.retire(&a).await.unwrap();
    assert_eq!(kv.writers().await, ["b"]);
    let a = kv.kv.claim("a").await.unwrap();
    assert_eq!(kv.writers().await, ["b"], "a claim is no commit");
    kv.kv.commit(&a, "of a", vec![put("e", "2")]).await.unwrap();
    assert_eq!(kv.writers().await, ["a", "b"]);
}

pub async fn a_retired_id_is_fenced_and_can_be_claimed_again(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "1").await.unwrap();
    kv.kv.retire(&kv.claim).await.unwrap();
    assert_fenced(&kv.commit("p", "a", "late").await);
    assert_fenced(&kv.put("p", "o", "late").await);
    assert_fenced(&kv.reclaim("p").await);
    assert_fenced(&kv.kv.retire(&kv.claim).await);
    assert!(kv.writers().await.is_empty());
    assert_eq!(kv.get("p", "a").await, Some(b"1".to_vec()));

    let again = kv.kv.claim(&kv.claim.writer).await.unwrap();
    assert!(again.epoch > kv.claim.epoch);
    kv.kv
        .commit(&again, "p", vec![put("a", "2")])
        .await
        .unwrap();
    assert_fenced(&kv.commit("p", "a", "late").await);
    assert_eq!(kv.get("p", "a").await, Some(b"2".to_vec()));
    assert_eq!(kv.writers().await, [again.writer]);
}

pub async fn the_id_of_a_host_that_is_alive_is_not_adopted(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "1").await.unwrap();
    for id in [kv.claim.writer.as_str(), "nobody's"] {
        assert_eq!(kv.kv.adopt(id).await.unwrap(), None, "{id}");
    }
    kv.commit("p", "a", "2").await.unwrap();
}
