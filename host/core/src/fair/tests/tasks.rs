//! What goes on in tasks of a lane.

use std::future::pending;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::*;

/// Tells that it is dropped.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.take().map(|told| told.send(()));
    }
}

fn told() -> (Told, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    (Told(Some(sender)), receiver)
}

fn one_turn() -> (Arc<Scheduler>, Lane) {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let lane = scheduler.lane("a");
    (scheduler, lane)
}

/// Waits until nobody has a turn or waits for one.
async fn idle(scheduler: &Arc<Scheduler>) {
    while !scheduler.state().is_empty() {
        yield_now().await;
    }
}

#[tokio::test]
async fn tasks_take_turns_on_one_thread() {
    let (scheduler, lane) = one_turn();
    let (steps, mut taken) = mpsc::unbounded_channel();
    let step = |name: &'static str| {
        let steps = steps.clone();
        async move {
            for _ in 0..3 {
                steps.send((name, thread::current().id())).unwrap();
                yield_now().await;
            }
        }
    };
    let held = lane.turn().await;
    let both = (lane.spawn(step("one")), lane.spawn(step("other")));
    assert!(taken.try_recv().is_err(), "there is no turn yet");
    drop(held);
    both.0.await.unwrap();
    both.1.await.unwrap();
    drop(steps);
    let mut order = Vec::new();
    while let Some(step) = taken.recv().await {
        order.push(step);
    }
    let (names, threads): (Vec<_>, Vec<_>) = order.into_iter().unzip();
    assert_eq!(names, ["one", "other", "one", "other", "one", "other"]);
    assert!(threads.iter().all(|it| Some(it) == threads.first()));
    assert_ne!(threads.first(), Some(&thread::current().id()));
    idle(&scheduler).await;
}

#[tokio::test]
async fn a_task_that_goes_on_and_on_lets_those_go_first_who_wait() {
    let (scheduler, lane) = one_turn();
    let (gone, is_gone) = told();
    let task = lane.spawn(async move {
        let _gone = gone;
        loop {
            yield_now().await;
        }
    });
    for tenant in ["a", "b"] {
        drop(scheduler.lane(tenant).turn().await);
    }
    // It ends where its waiter goes away.
    drop(task);
    is_gone.await.unwrap();
    idle(&scheduler).await;
}

#[tokio::test]
async fn a_task_that_waits_has_no_turn() {
    let (scheduler, lane) = one_turn();
    let (begun, has_begun) = oneshot::channel();
    let (go, goes) = oneshot::channel();
    let task = lane.spawn(async move {
        begun.send(()).unwrap();
        goes.await.unwrap()
    });
    has_begun.await.unwrap();
    let held = lane.turn().await;
    go.send("gone on").unwrap();
    drop(held);
    assert_eq!(task.await.unwrap(), "gone on");
    idle(&scheduler).await;
}

#[tokio::test]
async fn a_task_that_panics_gives_its_turn_back_and_says_so() {
    let (scheduler, lane) = one_turn();
    #[allow(clippy::panic, reason = "what is tested")]
    let ended = lane.spawn(async { panic!("on purpose") }).await;
    assert!(matches!(ended, Err(Ended::Panicked(_))));
    idle(&scheduler).await;
}

#[test]
fn a_task_whose_runtime_has_stopped_ends_and_gives_its_turn_back() {
    let (scheduler, lane) = one_turn();
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.build().unwrap()
    };
    let (stops, stays) = (runtime(), runtime());
    let held = stays.block_on(lane.turn());
    let within = stops.enter();
    let task = lane.spawn(async {});
    drop(within);
    drop(stops);
    drop(held);
    assert!(matches!(stays.block_on(task), Err(Ended::Stopped)));
    assert!(scheduler.state().is_empty());
}

/// Computes for as long as a task of its own is worth.
fn compute() {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn what_computes_for_short_stays_where_it_is_awaited() {
    let (scheduler, lane) = one_turn();
    let there = lane.moving(async {
        yield_now().await;
        is_on_task()
    });
    assert!(!there.await.unwrap());
    assert!(scheduler.state().is_empty());
}

#[tokio::test]
async fn what_computes_for_long_goes_on_in_a_task_and_ends_with_its_waiter() {
    let (scheduler, lane) = one_turn();
    let ((go, goes), (done, is_done)) = (oneshot::channel::<()>(), oneshot::channel());
    let mut moves = lane.moving(async move {
        compute();
        yield_now().await;
        goes.await.unwrap();
        done.send("done").unwrap();
        is_on_task()
    });
    assert!(futures_util::poll!(&mut moves).is_pending());
    go.send(()).unwrap();
    assert_eq!(is_done.await.unwrap(), "done", "it is not polled any more");
    assert!(moves.await.unwrap());
    idle(&scheduler).await;

    let (gone, is_gone) = told();
    let mut moves = lane.moving(async move {
        let _gone = gone;
        compute();
        pending::<()>().await;
    });
    assert!(futures_util::poll!(&mut moves).is_pending());
    drop(moves);
    is_gone.await.unwrap();
    idle(&scheduler).await;
}
