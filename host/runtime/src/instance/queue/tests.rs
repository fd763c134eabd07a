#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::instance::suspects::Digest;
use crate::test_support::batch;

fn queue(most_depth: usize, most_bytes: usize) -> Arc<WriteQueue> {
    WriteQueue::new(most_depth, most_bytes)
}

fn writes(queue: &WriteQueue) -> Vec<Waiting> {
    match queue.take() {
        Some(Work::Writes(writes)) => writes,
        Some(Work::Purge(_)) => panic!("a purge"),
        Some(Work::Exchange(_)) => panic!("an exchange"),
        Some(Work::Follow(_)) => panic!("a look at the namespace"),
        Some(Work::Stop) => panic!("the end"),
        None => panic!("nothing"),
    }
}

#[test]
fn waiting_writes_are_taken_out_as_one_in_order() {
    let queue = queue(10, 1 << 30);
    for id in 1..=3 {
        queue.push(batch(id, b"spans"), None).unwrap();
    }
    let taken = writes(&queue);
    let ids: Vec<_> = taken
        .iter()
        .flat_map(|waiting| {
            waiting
                .batch
                .fragments()
                .map(|fragment| fragment.facts.trace_id.0)
        })
        .collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(queue.take().is_none());
}

#[test]
fn a_joined_write_stops_at_its_size() {
    let queue = queue(10, 1 << 30);
    let large = vec![0; JOINED_BYTES / 2 - 1000];
    for id in 1..=3 {
        queue.push(batch(id, &large), None).unwrap();
    }
    assert_eq!(writes(&queue).len(), 2);
    assert_eq!(writes(&queue).len(), 1);
}

#[test]
fn a_suspect_is_written_alone() {
    let queue = queue(10, 1 << 30);
    let suspect = batch(2, b"bad");
    let digest = Digest::of(&suspect);
    queue.push(batch(1, b"good"), None).unwrap();
    let suspected = Suspect {
        digest,
        patience: 1,
    };
    queue.push(suspect, Some(suspected)).unwrap();
    queue.push(batch(3, b"good"), None).unwrap();
    for _ in 0..3 {
        assert_eq!(writes(&queue).len(), 1);
    }
}

#[test]
fn a_full_queue_names_the_setting_and_has_room_again_once_answered() {
    let queue = queue(2, 1 << 30);
    queue.push(batch(1, b"a"), None).unwrap();
    queue.push(batch(2, b"b"), None).unwrap();
    let error = queue.push(batch(3, b"c"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.message().contains("limits.queue_depth"));

    let taken = writes(&queue);
    assert!(
        queue.push(batch(3, b"c"), None).is_err(),
        "still being written"
    );
    for waiting in taken {
        waiting.ack.answer(Ok(()));
    }
    queue.push(batch(3, b"c"), None).unwrap();
}

#[test]
fn bytes_are_bounded_but_one_batch_always_fits() {
    let queue = queue(10, 500);
    queue.push(batch(1, &[0; 1000]), None).unwrap();
    let error = queue.push(batch(2, b"b"), None).unwrap_err();
    assert_eq!(error.setting(), Some("limits.queue_bytes"));
}

#[test]
fn a_purge_keeps_its_place_between_writes() {
    let queue = queue(10, 1 << 30);
    queue.push(batch(1, b"a"), None).unwrap();
    let purged = queue.purge().unwrap();
    queue.push(batch(2, b"b"), None).unwrap();
    assert_eq!(writes(&queue).len(), 1);
    let Some(Work::Purge(reply)) = queue.take() else {
        panic!("no purge");
    };
    answer(reply, Ok(()));
    assert!(purged.blocking_recv().unwrap().is_ok());
    assert_eq!(writes(&queue).len(), 1);
}

#[test]
fn a_closed_queue_refuses_and_gives_out_what_waits() {
    let queue = queue(10, 1 << 30);
    queue.push(batch(1, b"a"), None).unwrap();
    queue.close();
    let error = queue.push(batch(2, b"b"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(queue.purge().is_err());
    assert_eq!(writes(&queue).len(), 1);
    assert!(matches!(queue.take(), Some(Work::Stop)));
}

#[tokio::test]
async fn ready_waits_for_a_push() {
    let queue = queue(10, 1 << 30);
    let waiter = Arc::clone(&queue);
    let ready = tokio::spawn(async move { waiter.ready().await });
    tokio::task::yield_now().await;
    assert!(!ready.is_finished());
    queue.push(batch(1, b"a"), None).unwrap();
    ready.await.unwrap();
}

#[test]
fn a_look_at_the_namespace_goes_before_the_writes_that_wait() {
    let queue = queue(10, 1 << 20);
    let _written = queue.push(batch(1, b"spans"), None).unwrap();
    let _followed = queue.follow().unwrap();
    assert!(matches!(queue.take(), Some(Work::Follow(_))));
    assert_eq!(writes(&queue).len(), 1);
    queue.close();
    assert!(queue.follow().is_err());
}
