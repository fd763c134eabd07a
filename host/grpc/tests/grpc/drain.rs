//! What clients do while the port ends.

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
