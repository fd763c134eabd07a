//! What clients do while a connection or the port ends.

use std::time::Duration;

use crate::frames::{Frame, Frames};
use crate::serving::Serving;

#[tokio::test]
async fn a_call_that_waits_while_the_port_closes_is_answered() {
    let serving = Serving::new().await;
    // This thread is the one that would accept it.
    let mut frames = Frames::call_at_once(serving.address, "/grpc.health.v1.Health/Check");
    serving.drain();
    let answer = frames.next_of(|frame| matches!(frame, Frame::Data(_)));
    let not_serving = vec![0, 0, 0, 0, 2, 8, 2];
    assert_eq!(answer.await, Frame::Data(not_serving));
    drop(frames);
    serving.stop().await;
}

/// A proxy may drop an answer that it has received once the connection is reset.
#[tokio::test]
async fn what_a_client_sends_after_the_end_of_a_connection_does_not_reset_it() {
    let serving = Serving::new().await;
    serving.connection_age.set(Some(Duration::from_millis(1)));
    let mut frames = Frames::connect(serving.address).await;
    while frames.next().await.is_some() {}
    for _ in 0..10 {
        frames.update_window().await.unwrap();
        tokio::task::yield_now().await;
    }
    drop(frames);
    serving.stop().await;
}
