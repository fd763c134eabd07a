//! Connections that have reached their age.

use std::time::Duration;

use crate::frames::{Frame, Frames};
use crate::serving::Serving;

const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// The client waits for what the server does at this age, however long it takes.
const AGE: Duration = Duration::from_millis(1);
const IN_ORDER: Frame = Frame::GoAway(0);

fn is_go_away(frame: &Frame) -> bool {
    matches!(frame, Frame::GoAway(_))
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame, Frame::Data(_))
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_and_then_closed() {
    let serving = Serving::new().await;
    serving.connection_age.set(Some(AGE));
    let mut frames = Frames::connect(serving.address).await;
    assert_eq!(frames.next_of(is_go_away).await, IN_ORDER);
    while let Some(frame) = frames.next().await {
        assert!(matches!(frame, Frame::Ping | IN_ORDER), "{frame:?}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn calls_under_way_on_an_old_connection_go_on() {
    let serving = Serving::new().await;
    let state = |serving: u8| Frame::Data(vec![0, 0, 0, 0, 2, 8, serving]);
    let mut age = Duration::from_millis(100);
    // A slow machine needs an age at which the call is there already.
    let mut frames = loop {
        serving.connection_age.set(Some(age));
        let mut frames = Frames::connect(serving.address).await;
        frames.call(WATCH).await;
        let first = frames.next_of(|frame| is_data(frame) || is_go_away(frame));
        if first.await == state(1) {
            break frames;
        }
        age *= 2;
    };
    assert_eq!(frames.next_of(is_go_away).await, IN_ORDER);
    // The second one, after the answer to the ping, says that no more calls are taken.
    assert_eq!(frames.next_of(is_go_away).await, IN_ORDER);
    serving.ready.send_replace(false);
    assert_eq!(frames.next_of(is_data).await, state(2));
    // The watch ends with the server, and the connection with the watch.
    serving.stop().await;
    while let Some(frame) = frames.next().await {
        assert!(!is_data(&frame), "{frame:?}");
    }
}

#[tokio::test]
async fn without_an_age_a_connection_stays_open() {
    let serving = Serving::new().await;
    let mut frames = Frames::connect(serving.address).await;
    frames.call(WATCH).await;
    frames.next_of(is_data).await;
    // A younger connection has ended meanwhile.
    serving.connection_age.set(Some(AGE));
    let mut other = Frames::connect(serving.address).await;
    while other.next().await.is_some() {}
    serving.ready.send_replace(false);
    assert!(is_data(&frames.next().await.unwrap()));
    drop(frames);
    serving.stop().await;
}
