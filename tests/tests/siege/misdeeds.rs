//! What can be done in any function, done in each: what ends the instance, and what the instance is not let do.

use larder_tests::{Larder, Options};

use crate::cells::Outcome::{self, Dies, Serves};
use crate::siege::{Siege, options};

/// Every function that a server calls once it serves. What comes before that is in `starts` and `beginnings`, and `check` in `checks`.
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
}

/// 2000 lines of a kilobyte each time, where 64 KiB a second is what each instance may say, and what is printed is not even shown.
#[tokio::test]
async fn a_flood_of_the_log_is_cut_short_everywhere() {
    let siege = Siege::begin(options()).await;
    let flood = |function| ("flood the log", function, Serves("the rogue shouts", 1));
    let larder = siege.hold(FUNCTIONS.map(flood)).await;
    for function in FUNCTIONS {
        assert_few_shouts(&larder, function);
    }
}

/// Of each flood at this function a part was logged, and not much of it.
#[track_caller]
pub(crate) fn assert_few_shouts(larder: &Larder, function: &str) {
    let lines = larder.lines();
    let count = |text: String| lines.iter().filter(|line| line.contains(&text)).count();
    let floods = count(format!("about to flood the log at {function}\""));
    let shouts = count(format!("the rogue shouts at {function}, "));
    assert!(floods > 0, "no flood at {function}");
    let told = format!("{shouts} lines of {floods} floods at {function}");
    assert!(0 < shouts && shouts < 500 * floods, "{told}");
}
