//! Tasks of a lane, and computations that move to one.

use std::future::pending;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::*;

/// Sends when it is dropped.
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

/// Waits until no turn is held or waited for.
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
async fn an_endless_task_lets_waiting_calls_go_first() {
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
    // It ends when its waiter is dropped.
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

/// Computes for so long that it moves to a task.
fn compute() {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn a_short_computation_stays_where_it_is_awaited() {
    let (scheduler, lane) = one_turn();
    let there = lane.run(async {
        yield_now().await;
        is_on_task()
    });
    assert!(!there.await.unwrap());
    assert!(scheduler.state().is_empty());
}

#[tokio::test]
async fn a_long_computation_moves_to_a_task_and_ends_with_its_waiter() {
    let (scheduler, lane) = one_turn();
    let ((go, goes), (done, is_done)) = (oneshot::channel::<()>(), oneshot::channel());
    let mut moves = Box::pin(lane.run(async move {
        compute();
        yield_now().await;
        goes.await.unwrap();
        done.send("done").unwrap();
        is_on_task()
    }));
    assert!(futures_util::poll!(moves.as_mut()).is_pending());
    go.send(()).unwrap();
    assert_eq!(is_done.await.unwrap(), "done", "it is not polled any more");
    assert!(moves.await.unwrap());
    idle(&scheduler).await;

    let (gone, is_gone) = told();
    let mut moves = Box::pin(lane.run(async move {
        let _gone = gone;
        compute();
        pending::<()>().await;
    }));
    assert!(futures_util::poll!(moves.as_mut()).is_pending());
    drop(moves);
    is_gone.await.unwrap();
    idle(&scheduler).await;
}

#[tokio::test]
async fn a_stream_that_moves_while_it_waits_for_a_turn_leaves_the_queue() {
    let (scheduler, lane) = one_turn();
    let items = stream::iter(0..2).then(|item| async move {
        compute();
        item
    });
    let mut moves = lane.moving(Box::pin(items));
    assert_eq!(moves.next().await.unwrap().unwrap(), 0);
    // It has computed for long when it waits for its second turn, so it moves.
    let held = lane.turn().await;
    assert!(futures_util::poll!(moves.next()).is_pending());
    drop(held);
    // The stream is not polled meanwhile: a turn that is granted to it would stay held.
    let other = scheduler.lane("b").spawn(async {});
    other.await.unwrap();
    assert_eq!(moves.next().await.unwrap().unwrap(), 1);
    assert!(moves.next().await.is_none());
    idle(&scheduler).await;
}

#[tokio::test]
async fn a_detached_future_that_ends_at_once_runs_where_it_is_awaited() {
    let (_, lane) = one_turn();
    let waiter = tokio::spawn(async move { lane.run_detached(async { tokio::task::id() }).await });
    let task = waiter.id();
    assert_eq!(waiter.await.unwrap().unwrap(), task);
}

#[tokio::test]
async fn a_detached_future_that_has_begun_goes_on_without_its_waiter() {
    let (_, lane) = one_turn();
    let (done, is_done) = oneshot::channel();
    let mut begun = Box::pin(lane.run_detached(async move {
        yield_now().await;
        done.send("done").unwrap();
    }));
    assert!(futures_util::poll!(begun.as_mut()).is_pending());
    assert_eq!(is_done.await.unwrap(), "done", "it is not polled any more");
    begun.await.unwrap();
}

#[tokio::test]
async fn a_detached_future_in_a_task_of_a_lane_stays_there_and_goes_on_without_its_waiter() {
    let (_, lane) = one_turn();
    let within = lane.clone();
    let on_task = lane.spawn(async move {
        let detached = within.run_detached(async {
            yield_now().await;
            is_on_task()
        });
        detached.await
    });
    assert!(on_task.await.unwrap().unwrap());
    let ((go, goes), (done, is_done)) = (oneshot::channel::<()>(), oneshot::channel());
    let (begun, has_begun) = oneshot::channel();
    let within = lane.clone();
    let task = lane.spawn(async move {
        let detached = within.run_detached(async move {
            begun.send(()).unwrap();
            goes.await.unwrap();
            done.send("done").unwrap();
        });
        detached.await
    });
    has_begun.await.unwrap();
    drop(task);
    go.send(()).unwrap();
    assert_eq!(is_done.await.unwrap(), "done");
}

#[tokio::test]
async fn a_detached_future_that_was_never_polled_never_begins() {
    let (_, lane) = one_turn();
    let (done, is_done) = oneshot::channel::<()>();
    drop(lane.run_detached(async move {
        done.send(()).unwrap();
    }));
    is_done.await.unwrap_err();
}

#[tokio::test]
async fn a_task_is_spawned_beside_its_caller_while_a_processor_is_idle() {
    // Two processors, and a turn beyond.
    let scheduler = Arc::new(Scheduler::new(3, 1));
    let lane = scheduler.lane("a");
    let caller = lane.turn().await;
    let (gone, is_gone) = told();
    let beside = lane.spawn_if_idle(async move {
        let _gone = gone;
        loop {
            yield_now().await;
        }
    });
    assert!(beside.is_ok());
    assert!(lane.spawn_if_idle(async {}).is_err(), "both are busy");
    // Another tenant finds a turn.
    drop(scheduler.lane("b").turn().await);
    drop((caller, beside));
    is_gone.await.unwrap();
    idle(&scheduler).await;
}

#[tokio::test]
async fn nothing_is_spawned_beside_a_caller_on_a_single_processor() {
    let scheduler = Arc::new(Scheduler::new(2, 1));
    let lane = scheduler.lane("a");
    let caller = lane.turn().await;
    assert!(lane.spawn_if_idle(async {}).is_err());
    drop(caller);
    let beside = lane.spawn_if_idle(async { "done" });
    assert_eq!(beside.ok().unwrap().await.unwrap(), "done");
    idle(&scheduler).await;
}
