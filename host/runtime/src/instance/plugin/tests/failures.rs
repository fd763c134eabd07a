//! Traps, deadlines, memory, floods and lies.

use super::*;

const SERVES_AFTERWARDS: &str = "operations";

/// The failing call is `services`; another one is served afterwards by a fresh instance.
async fn check_replaced(guest: Guest, limits: Limits, reason: &str, error_type: &str) {
    let Opened { tenant, metrics } = open_with(guest, limits).await;
    let fresh = tenant.status().memory_used;
    let error = storage(&tenant).services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains(reason), "{error}");

    let next = storage(&tenant).operations(SERVES_AFTERWARDS).await;
    assert!(next.unwrap().is_empty());
    let status = tenant.status();
    assert_eq!((status.restarts, status.state), (1, State::Ready));
    assert_eq!(
        status.memory_used, fresh,
        "the dropped Store gave its memory back"
    );
    let metrics = metrics.encode();
    let label = format!("\"{error_type}\"");
    assert!(metrics.contains(&label), "{metrics}");
}

#[tokio::test]
async fn a_trap_is_unavailable_and_the_next_call_is_served() {
    let guest = Guest::new().with("services", "(unreachable)");
    check_replaced(guest, limits(), "a trap", "trap").await;
}

#[tokio::test]
async fn a_guest_that_spins_is_ended_at_its_deadline() {
    let guest = Guest::new().with("services", SPIN);
    let limits = Limits {
        call_timeout: Duration::from_millis(50),
        ..limits()
    };
    check_replaced(guest, limits, "limits.call_timeout", "deadline").await;
}

#[tokio::test]
async fn a_guest_that_spins_lets_other_tasks_run() {
    // One thread: this test itself only goes on because the guest yields. Its memory tells that it has begun; it never ends.
    let body = format!("(drop (memory.grow (i32.const 1))) {SPIN}");
    let guest = Guest::new().with("services", &body);
    let limits = Limits {
        call_timeout: Duration::from_hours(1),
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let before = tenant.status().memory_used;
    let spinning = {
        let tenant = Arc::clone(&tenant);
        tokio::spawn(async move { storage(&tenant).services().await })
    };
    while tenant.status().memory_used == before {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!spinning.is_finished());
    spinning.abort();
}

#[tokio::test]
async fn a_guest_that_recurses_without_end_is_ended() {
    let guest = Guest::new()
        .and("(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (local.get 0))))")
        .with("services", "(call $deep (i32.const 1))");
    check_replaced(guest, limits(), "a trap", "trap").await;
}

#[tokio::test]
async fn a_guest_that_wants_too_much_memory_is_told_the_limit() {
    let guest = Guest::new().with(
        "services",
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
    );
    check_replaced(guest, limits(), "limits.memory", "memory").await;
}

#[tokio::test]
async fn an_answer_outside_of_memory_ends_the_instance() {
    let guest = Guest::new().with("services", "(i32.const -8)");
    check_replaced(guest, limits(), "a trap", "trap").await;
}

#[tokio::test]
async fn a_flood_of_messages_is_survived() {
    let guest = Guest::new().with(
        "services",
        "(local $i i32)
         (loop $again
            (call $log (i32.const 1) (i32.const 0) (i32.const 8192))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 100000))))
         (i32.const 5120)",
    );
    let Opened { tenant, .. } = open(guest).await;
    assert_eq!(services(&tenant).await, ["guest"]);
}

/// A plugin that failed twice in a row and has to wait `restart_delay`.
async fn down(restart_delay: Duration) -> Arc<Plugin> {
    let guest = Guest::new().with("services", "(unreachable)");
    let limits = Limits {
        restart_delay,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    storage(&tenant).services().await.unwrap_err();
    storage(&tenant).services().await.unwrap_err();
    tenant
}

const FOR_LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn calls_on_a_plugin_that_has_to_wait_are_told_so() {
    let tenant = down(FOR_LONG).await;
    let error = storage(&tenant).operations("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        "plugin `guest` is being restarted after a trap; retry"
    );
    let error = tenant.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!*tenant.ready().borrow());
    let reason = "a trap".to_owned();
    assert_eq!(tenant.status().state, State::Restarting { reason });
}

#[tokio::test]
async fn a_plugin_that_had_to_wait_comes_back() {
    let tenant = down(Duration::from_millis(1)).await;
    until_ready(&tenant).await;
    assert!(storage(&tenant).operations("x").await.unwrap().is_empty());
    assert_eq!(tenant.status().restarts, 2);
}

#[tokio::test]
async fn a_purge_starts_a_plugin_that_is_waiting() {
    let tenant = down(FOR_LONG).await;
    tenant.purge().await.unwrap();
    assert!(*tenant.ready().borrow());
    assert!(storage(&tenant).operations("x").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_plugin_that_is_down() {
    let tenant = down(FOR_LONG).await;
    tenant.shutdown().await;
    assert_eq!(tenant.status().state, State::Stopped);
}

#[tokio::test]
async fn an_error_that_the_guest_raises_is_passed_on_and_the_instance_kept() {
    let guest = Guest::new()
        .with("services", OTHER)
        .with("write", OTHER)
        .with("operations", ONE_SERVICE);
    let Opened { tenant, .. } = open(guest).await;
    let error = tenant.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "plugin `guest`: other: no");
    let error = storage(&tenant).services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractBroken);
    assert_eq!(tenant.status().restarts, 0);
}

#[tokio::test]
async fn a_broken_contract_is_a_strike_and_five_put_the_instance_out() {
    let guest = Guest::new()
        .with("services", NAMELESS_SERVICE)
        .with("write", TRAP_ON_X);
    let Opened { tenant, metrics } = open(guest).await;
    for expected in [0, 0, 0, 0, 1] {
        let error = storage(&tenant).services().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ContractBroken);
        assert!(error.message().contains("services.empty"), "{error}");
        storage(&tenant).operations("x").await.unwrap();
        assert_eq!(tenant.status().restarts, expected);
    }
    assert!(metrics.encode().contains("services.empty"));
}

#[tokio::test]
async fn a_breach_that_a_caller_reports_is_a_strike() {
    let Opened { tenant, .. } = open(Guest::new()).await;
    let breach = storage::Error::new(ErrorKind::ContractBroken, "the floor rose");
    for _ in 0..5 {
        storage(&tenant).report(&breach);
    }
    while tenant.status().restarts == 0 {
        tokio::task::yield_now().await;
    }
    until_ready(&tenant).await;
    storage(&tenant).services().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_traps_alone_twice_is_refused_and_its_neighbours_are_stored() {
    let guest = Guest::new().with("write", TRAP_ON_X);
    let limits = Limits {
        restart_delay: Duration::ZERO,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let write = |otlp: &'static [u8]| {
        let tenant = Arc::clone(&tenant);
        async move {
            let result = tenant.write(batch(1, otlp)).await;
            result.map_err(|error| error.kind())
        }
    };
    // Joined: both wait before the writer has its turn.
    let (bad, good) = tokio::join!(write(b"X bad"), write(b"good"));
    assert_eq!(bad, Err(ErrorKind::Unavailable));
    assert_eq!(
        good,
        Err(ErrorKind::Unavailable),
        "it was in the same write"
    );

    let (bad, good) = tokio::join!(write(b"X bad"), write(b"good"));
    assert_eq!(
        bad,
        Err(ErrorKind::Unavailable),
        "alone, for the first time"
    );
    assert_eq!(good, Ok(()), "alone as well, after the restart");
    assert_eq!(
        write(b"X bad").await,
        Err(ErrorKind::Poison),
        "alone, again"
    );
    assert_eq!(tenant.status().restarts, 3);
    assert_eq!(
        write(b"X bad").await,
        Err(ErrorKind::Poison),
        "not even tried"
    );
    assert_eq!(tenant.status().restarts, 3);
    assert_eq!(write(b"good").await, Ok(()));
}

/// The machine may have been busy: passing the deadline alone twice is not enough.
#[tokio::test]
async fn a_batch_that_passes_its_deadline_alone_is_refused_the_third_time() {
    let spin_on_x = TRAP_ON_X.replace("(unreachable)", SPIN);
    let guest = Guest::new().with("write", &spin_on_x);
    let limits = Limits {
        call_timeout: Duration::from_millis(50),
        restart_delay: Duration::ZERO,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    for (time, expected) in [
        (1, ErrorKind::Unavailable),
        (2, ErrorKind::Unavailable),
        (3, ErrorKind::Poison),
    ] {
        let error = tenant.write(batch(1, b"X slow")).await.unwrap_err();
        assert_eq!(error.kind(), expected, "for the {time}. time");
        assert_eq!(tenant.status().restarts, time);
    }
    let error = tenant.write(batch(1, b"X slow")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poison, "not even tried");
    assert_eq!(tenant.status().restarts, 3);
}

#[tokio::test]
async fn a_full_queue_refuses_reads_as_well() {
    let guest = Guest::new().with("services", SPIN);
    let limits = Limits {
        call_timeout: Duration::from_millis(100),
        queue_depth: 1,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    // One is answered, and one waits.
    let storage = storage(&tenant);
    let mut first = Box::pin(storage.services());
    let mut second = Box::pin(storage.services());
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let error = storage.services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(error.setting(), Some("limits.queue_depth"));
    first.await.unwrap_err();
    second.await.unwrap_err();
}
