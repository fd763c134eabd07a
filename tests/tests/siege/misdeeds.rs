//! What can be done in any function, done in each: what ends the instance, and what the instance is not let do.

use larder_tests::Options;

use crate::cells::{Outcome, Siege, options};

/// Every function that a server calls; those of an instance that writes between those of one that reads, as each kind has its own pauses
/// after failures. `describe` and the module's start have their tests with the host's; `check` has its own here.
const FUNCTIONS: [&str; 9] = [
    "find",
    "maintain",
    "read",
    "statistics",
    "services",
    "write",
    "operations",
    "open",
    "open-reader",
];

async fn everywhere(options: Options, misdeed: &str, outcome: Outcome) {
    let mut siege = Siege::begin(options).await;
    let cells = FUNCTIONS.map(|function| (misdeed, function, outcome));
    siege.hold(cells).await;
    assert_eq!(siege.larder.get("/readyz").status, 200);
}

fn impatient() -> Options {
    options().environment("LARDER_LIMITS_CALL_TIMEOUT", "400ms")
}

macro_rules! ends_the_instance_everywhere {
    ($($test:ident: $misdeed:literal, $options:expr, $error_type:literal;)*) => {
        $(#[tokio::test]
        async fn $test() {
            everywhere($options, $misdeed, Outcome::Dies($error_type)).await;
        })*
    };
}

ends_the_instance_everywhere! {
    a_trap_ends_the_instance_everywhere: "trap", options(), "trap";
    an_exit_without_an_error_ends_the_instance_everywhere: "exit with 0", options(), "trap";
    an_exit_with_an_error_ends_the_instance_everywhere: "exit with 1", options(), "trap";
    a_recursion_ends_the_instance_everywhere: "recurse", options(), "trap";
    taking_all_memory_ends_the_instance_everywhere:
        "allocate", options().environment("LARDER_LIMITS_MEMORY", "32MiB"), "memory";
    spinning_ends_the_instance_everywhere: "spin", impatient(), "deadline";
    sleeping_ends_the_instance_everywhere: "sleep", impatient(), "deadline";
}

#[tokio::test]
async fn a_flood_of_calls_of_kv_is_survived_everywhere() {
    everywhere(options(), "flood kv with calls", Outcome::Serves).await;
}

/// The guest traps if kv takes any of it.
#[tokio::test]
async fn what_is_too_much_for_kv_is_refused_everywhere() {
    everywhere(options(), "flood kv with keys", Outcome::Serves).await;
    everywhere(options(), "flood kv with bytes", Outcome::Serves).await;
}

/// The guest traps if it reaches anything.
#[tokio::test]
async fn nothing_outside_of_the_sandbox_is_reached_from_anywhere() {
    everywhere(options(), "break out", Outcome::Serves).await;
}

#[tokio::test]
async fn a_flood_of_the_log_is_cut_short_everywhere() {
    let mut siege = Siege::begin(options()).await;
    for function in FUNCTIONS {
        let shouts = || {
            let lines = siege.larder.lines();
            lines
                .iter()
                .filter(|it| it.contains("the rogue shouts"))
                .count()
        };
        let before = shouts();
        siege
            .hold([("flood the log", function, Outcome::Serves)])
            .await;
        let lines = siege.larder.lines();
        let after = lines.iter().filter(|it| it.contains("the rogue shouts"));
        let more = after.count() - before;
        // 6000 lines of a kilobyte, where 64 KiB a second is what each instance may say.
        assert!(more < 2000, "{more} lines at {function}");
    }
}
