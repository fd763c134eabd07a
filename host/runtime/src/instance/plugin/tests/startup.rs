//! Failures before a plugin's first call, in its module's start and in `describe`: it is not opened, the error says why, and its memory
//! is freed. Misbehaving functions of an open plugin are tested from outside, in `tests/tests/plugins`.

use super::*;

/// The place where a guest misbehaves: a body with the core type `[] -> [i32]`.
type Place = fn(Guest, &str) -> Guest;

/// Runs while the component is instantiated.
fn at_start(guest: Guest, body: &str) -> Guest {
    guest.and(&format!(
        "(func $early (result i32) {body}) (func $start (drop (call $early))) (start $start)"
    ))
}

fn in_describe(guest: Guest, body: &str) -> Guest {
    guest.with("describe", body)
}

const PLACES: [Place; 2] = [at_start, in_describe];

/// Grows until it is refused, and traps for it.
const GROW: &str =
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
const RECURSION: &str =
    "(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (local.get 0))))";

async fn refusal(guest: Guest) -> String {
    let limits = Limits {
        call_timeout: Duration::from_millis(200),
        ..limits()
    };
    try_open(&guest.build(), limits)
        .await
        .err()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn a_plugin_that_fails_before_it_is_open_is_refused_with_the_reason() {
    for place in PLACES {
        for (body, told) in [
            ("(unreachable)", "a trap"),
            ("(call $deep (i32.const 1))", "call stack exhausted"),
            (GROW, "limits.memory"),
            (SPIN, "limits.call_timeout"),
        ] {
            let text = refusal(place(Guest::new().and(RECURSION), body)).await;
            assert!(text.contains("failed while it was started"), "{text}");
            assert!(text.contains(told), "{text} lacks {told}");
        }
    }
}

/// Pages and elements that a module has from its first moment, without a byte of them in the file.
#[tokio::test]
async fn a_plugin_that_begins_with_too_much_is_refused() {
    for (more, told) in [
        ("(memory $big 40000)", "limits.memory"),
        ("(table 100000000 funcref)", "table limits"),
        (
            "(memory $far 1) (data (memory $far) (i32.const 65530) \"beyond its end\")",
            "a trap",
        ),
    ] {
        let text = refusal(Guest::new().and(more)).await;
        assert!(text.contains(told), "{more}: {text}");
    }
}

/// A name that would forge a line of the log, fill it, or lie outside of memory.
#[tokio::test]
async fn a_plugin_with_a_name_that_is_none_is_refused() {
    let named = |at: u32, bytes: u32| {
        let store = |offset: u32, value: u32| {
            format!("(i32.store (i32.const {offset}) (i32.const {value}))")
        };
        let body = format!("{}{}(i32.const 1024)", store(1024, at), store(1028, bytes));
        Guest::new()
            .and("(data (i32.const 7000) \"a\\nb\\1b[2J\\ff\")")
            .with("describe", &body)
    };
    for (at, bytes, told) in [
        (7000, 3, "printable ASCII"),
        (7000, 0, "printable ASCII"),
        (7000, 8, "utf-8"),
        (8192, 50_000, "printable ASCII"),
        (2048, 4_000_000_000, "a trap"),
    ] {
        let text = refusal(named(at, bytes)).await;
        assert!(text.contains(told), "{at} {bytes}: {text}");
        assert!(text.len() < 8 << 10, "{} bytes of text", text.len());
    }
}
