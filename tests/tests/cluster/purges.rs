//! A purge on one host, and what the other answers afterwards.

use larder_tests::Scene;
use larder_tests::otlp::span;

use crate::Hosts;

#[tokio::test]
async fn a_purge_on_one_host_is_seen_on_the_other_at_once() {
    let hosts = Hosts::start().await;
    for round in 0..4 {
        // Both have written, and read what the other has.
        for (here, there, number) in [
            (&hosts.on_a, &hosts.on_b, round * 10),
            (&hosts.on_b, &hosts.on_a, round * 10 + 1),
        ] {
            store(here, number).await;
            assert_eq!(there.find(there.query().depth(1)).await, [number]);
        }
        let (purging, other) = if round % 2 == 0 {
            (&hosts.a, &hosts.on_b)
        } else {
            (&hosts.b, &hosts.on_a)
        };
        assert_eq!(purging.post("/purge").status, 200);

        // Nothing old is served, and writes are taken: the other host has not been told.
        assert_eq!(other.find(other.query()).await, [0; 0]);
        let old = [0, 1].map(|it| other.trace(round * 10 + it));
        assert!(other.client.get_traces(old).await.unwrap().is_empty());
        assert!(other.client.services().await.unwrap().is_empty());
        store(other, round * 10 + 2).await;
        for scene in [&hosts.on_a, &hosts.on_b] {
            assert_eq!(scene.find(scene.query()).await, [round * 10 + 2]);
            assert_eq!(
                scene.client.services().await.unwrap(),
                [scene.service("purged")]
            );
        }
    }
}

/// A write is the first that the other host does after the purge.
#[tokio::test]
async fn a_write_after_a_purge_on_the_other_host_is_kept() {
    let hosts = Hosts::start().await;
    store(&hosts.on_b, 1).await;
    for number in 2..6 {
        assert_eq!(hosts.a.post("/purge").status, 200);
        store(&hosts.on_b, number).await;
        for scene in [&hosts.on_a, &hosts.on_b] {
            assert_eq!(scene.find(scene.query()).await, [number]);
        }
    }
}

/// Writes as a client does that tries nothing again.
async fn store(scene: &Scene, number: u64) {
    let one = span(scene.trace(number), 1).at(scene.at(number));
    let export = [scene.resource("purged").span(one)];
    scene.client.export(export).await.unwrap();
}
