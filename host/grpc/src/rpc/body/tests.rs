#![allow(clippy::unwrap_used, reason = "tests")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body_util::{BodyExt as _, StreamBody};
use larder_core::fair::{AHEAD, Ended, LONG, Scheduler};
use larder_core::telemetry::Metrics;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::*;

const METHOD: &str = "jaeger.storage.v2.TraceReader/FindTraces";

/// Computes for as long as a task of its own is worth.
async fn compute() {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        std::hint::spin_loop();
    }
    yield_now().await;
}

/// An answer that computes on after each frame, without an end, and counts its frames.
fn endless(frames: &Arc<AtomicUsize>, gone: Option<oneshot::Sender<()>>) -> Body {
    let frames = Arc::clone(frames);
    let stream = futures_util::stream::unfold((frames, Told(gone)), |(frames, told)| async {
        compute().await;
        frames.fetch_add(1, Ordering::SeqCst);
        let frame = Ok::<_, Status>(Frame::data(Bytes::from_static(b"spans")));
        Some((frame, (frames, told)))
    });
    Body::new(StreamBody::new(stream))
}

/// Tells that it is dropped.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.take().map(|told| told.send(()));
    }
}

fn answer(body: Body, lane: &Lane, metrics: &Arc<Metrics>) -> RpcBody {
    let record = Record {
        metrics: Arc::clone(metrics),
        method: METHOD,
        started: Instant::now(),
        done: false,
    };
    RpcBody::new(body, Some(lane.clone()), record, Span::none())
}

fn counted(metrics: &Metrics, code: &str) -> bool {
    let code = format!("\"{code}\"");
    let text = metrics.encode();
    text.lines()
        .any(|line| line.contains(METHOD) && line.contains(&code))
}

#[tokio::test]
async fn an_answer_that_computes_on_goes_no_further_than_its_client_reads_and_holds_no_turn() {
    let (metrics, frames) = (Arc::new(Metrics::new()), Arc::default());
    let lane = Arc::new(Scheduler::new(1, 1)).lane("a");
    let mut answer = answer(endless(&frames, None), &lane, &metrics);
    let made = || frames.load(Ordering::SeqCst);
    let ahead = async |beyond: usize| {
        while made() < beyond + AHEAD {
            yield_now().await;
        }
        for _ in 0..100 {
            drop(lane.turn().await);
            yield_now().await;
        }
        assert_eq!(made(), beyond + AHEAD);
    };
    // It moves to its task, which may be so quick that there is a frame already.
    let polled = futures_util::poll!(pin!(answer.frame()));
    let first = usize::from(polled.is_ready());
    ahead(first).await;
    for read in first + 1..first + 4 {
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "spans");
        ahead(read).await;
    }
}

#[tokio::test]
async fn an_answer_whose_client_goes_away_ends_as_cancelled() {
    let (metrics, frames) = (Arc::new(Metrics::new()), Arc::default());
    let lane = Arc::new(Scheduler::new(1, 1)).lane("a");
    let (gone, is_gone) = oneshot::channel();
    let mut answer = answer(endless(&frames, Some(gone)), &lane, &metrics);
    answer.frame().await.unwrap().unwrap();
    drop(answer);
    is_gone.await.unwrap();
    assert!(counted(&metrics, "CANCELLED"));
}

#[tokio::test]
async fn an_answer_that_computes_on_ends_with_its_trailers() {
    let metrics = Arc::new(Metrics::new());
    let lane = Arc::new(Scheduler::new(1, 1)).lane("a");
    let stream = futures_util::stream::once(async {
        compute().await;
        Ok::<_, Status>(trailers(&status::ended(&Ended::Stopped)))
    });
    let mut answer = answer(Body::new(StreamBody::new(stream)), &lane, &metrics);
    let last = answer.frame().await.unwrap().unwrap();
    assert_eq!(
        code_of(last.trailers_ref().unwrap()),
        Some(Code::Unavailable)
    );
    assert!(answer.frame().await.is_none());
    assert!(counted(&metrics, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_panic_in_an_answer_that_computes_on_is_its_status() {
    let (metrics, frames) = (Arc::new(Metrics::new()), AtomicUsize::new(0));
    let lane = Arc::new(Scheduler::new(1, 1)).lane("a");
    let stream = futures_util::stream::once(async move {
        compute().await;
        assert!(frames.load(Ordering::SeqCst) > 0, "on purpose");
        Ok::<_, Status>(Frame::data(Bytes::new()))
    });
    let mut answer = answer(Body::new(StreamBody::new(stream)), &lane, &metrics);
    let last = answer.frame().await.unwrap().unwrap();
    assert_eq!(code_of(last.trailers_ref().unwrap()), Some(Code::Internal));
    assert!(counted(&metrics, "INTERNAL"));
}
