//! What can be done in any function, done in each: what ends the instance, and what the instance is not let do.

use larder_tests::Options;

use crate::cells::Outcome::{self, Dies, Serves};
use crate::siege::{Siege, options};

/// Every function that a server calls. `describe` and the module's start have their tests with the host's; `check` has its own here.
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

async fn everywhere(options: Options, misdeed: &'static str, outcome: Outcome) {
    let siege = Siege::begin(options).await;
    let cells = FUNCTIONS.map(|function| (misdeed, function, outcome));
    siege.hold(cells).await;
}

fn impatient() -> Options {
    options().environment("LARDER_LIMITS_CALL_TIMEOUT", "3s")
}

macro_rules! everywhere {
    ($($test:ident: $misdeed:literal, $options:expr, $outcome:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            everywhere($options, $misdeed, $outcome).await;
        })*
    };
}

everywhere! {
    a_trap_ends_the_instance_everywhere: "trap", options(), Dies("trap", "told to trap");
    an_exit_without_an_error_ends_the_instance_everywhere:
        "exit with 0", options(), Dies("trap", "xit");
    an_exit_with_an_error_ends_the_instance_everywhere:
        "exit with 1", options(), Dies("trap", "xit");
    a_recursion_ends_the_instance_everywhere:
        "recurse", options(), Dies("trap", "stack");
    taking_all_memory_ends_the_instance_everywhere:
        "allocate", options().environment("LARDER_LIMITS_MEMORY", "32MiB"),
        Dies("memory", "memory allocation of");
    spinning_ends_the_instance_everywhere: "spin", impatient(), Dies("deadline", "deadline");
    sleeping_ends_the_instance_everywhere: "sleep", impatient(), Dies("deadline", "deadline");
    a_flood_of_calls_of_kv_is_survived_everywhere:
        "flood kv with calls", options(), Serves("5000 times", 1);
    too_many_keys_for_kv_are_refused_everywhere:
        "flood kv with keys", options(), Serves("7 times", 1);
    too_many_bytes_for_kv_are_refused_everywhere:
        "flood kv with bytes", options(), Serves("3 times", 1);
    nothing_outside_of_the_sandbox_is_reached_from_anywhere:
        "break out", options(), Serves("10 times", 1);
    a_flood_of_the_log_is_survived_everywhere:
        "flood the log", options(), Serves("the rogue shouts", 1);
}

/// 2000 lines of a kilobyte, where 64 KiB a second is what each instance may say, and what is printed is not even shown.
#[tokio::test]
async fn a_flood_of_the_log_is_cut_short() {
    let siege = Siege::begin(options()).await;
    let larder = siege
        .hold([("flood the log", "write", Serves("the rogue shouts", 1))])
        .await;
    let lines = larder.lines();
    let shouts = lines.iter().filter(|it| it.contains("the rogue shouts"));
    let shouts = shouts.count();
    assert!(shouts < 500, "{shouts} lines");
}
