//! Misdeeds that any function can do, in each function: those that end the instance, and those that the host prevents.

use larder_tests::{Larder, Options, Plugin};

use crate::attack::Outcome::{self, Dies, Serves};
use crate::attacked::{Attacked, options};

/// Every function that a running server calls. Earlier calls are in `starts` and `instantiation`, and `check` is in `checks`.
const FUNCTIONS: [&str; 10] = [
    "refresh",
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

/// Returns the functions of a plugin: an exclusive one has no readers, and is not refreshed.
fn functions(plugin: Plugin) -> impl Iterator<Item = &'static str> {
    let readers = plugin == Plugin::Hostile;
    let functions = FUNCTIONS.into_iter();
    functions.filter(move |it| readers || !["open-reader", "refresh"].contains(it))
}

fn limited(plugin: Plugin, limits: &[(&str, &str)]) -> Options {
    let limits = limits.iter();
    limits.fold(options(plugin), |options, (name, value)| {
        options.environment(&format!("LARDER_LIMITS_{name}"), value)
    })
}

macro_rules! everywhere {
    ($($test:ident: $plugin:ident, $misdeed:literal, $limits:expr, $outcome:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            everywhere(Plugin::$plugin, $misdeed, $limits, $outcome).await;
        })*
    };
}

async fn everywhere(
    plugin: Plugin,
    misdeed: &'static str,
    limits: &[(&str, &str)],
    outcome: Outcome,
) {
    let server = Attacked::begin(limited(plugin, limits)).await;
    let cases = functions(plugin).map(|function| (misdeed, function, outcome));
    server.run(cases).await;
}

const IMPATIENT: [(&str, &str); 1] = [("CALL_TIMEOUT", "3s")];
const SMALL: [(&str, &str); 1] = [("MEMORY", "32MiB")];

everywhere! {
    a_trap_ends_the_instance_everywhere: Hostile, "trap", &[], Dies("trap", "told to trap");
    a_trap_ends_an_exclusive_instance_everywhere:
        HostileExclusive, "trap", &[], Dies("trap", "told to trap");
    an_exit_without_an_error_ends_the_instance_everywhere:
        Hostile, "exit with 0", &[], Dies("trap", "xit");
    an_exit_with_an_error_ends_the_instance_everywhere:
        Hostile, "exit with 1", &[], Dies("trap", "xit");
    a_recursion_ends_the_instance_everywhere: Hostile, "recurse", &[], Dies("trap", "stack");
    taking_all_memory_ends_the_instance_everywhere:
        Hostile, "allocate", &SMALL, Dies("memory", "memory allocation of");
    taking_all_memory_ends_an_exclusive_instance_everywhere:
        HostileExclusive, "allocate", &SMALL, Dies("memory", "memory allocation of");
    spinning_ends_the_instance_everywhere:
        Hostile, "spin", &IMPATIENT, Dies("deadline", "deadline");
    spinning_ends_an_exclusive_instance_everywhere:
        HostileExclusive, "spin", &IMPATIENT, Dies("deadline", "deadline");
    sleeping_ends_the_instance_everywhere:
        Hostile, "sleep", &IMPATIENT, Dies("deadline", "deadline");
    a_flood_of_calls_of_kv_is_survived_everywhere:
        Hostile, "flood kv with calls", &[], Serves("5000 times", 1);
    too_many_keys_for_kv_are_refused_everywhere:
        Hostile, "flood kv with keys", &[], Serves("7 times", 1);
    too_many_bytes_for_kv_are_refused_everywhere:
        Hostile, "flood kv with bytes", &[], Serves("3 times", 1);
    the_host_s_own_partitions_are_out_of_reach_everywhere:
        Hostile, "reach for the host's own", &[], Serves("7 times", 1);
    nothing_outside_of_the_sandbox_is_reached_from_anywhere:
        Hostile, "break out", &[], Serves("10 times", 1);
}

/// Logs 2000 lines of a kilobyte each time, where each instance may log 64 KiB per second, and printed output is dropped.
#[tokio::test]
async fn a_flood_of_the_log_is_cut_short_everywhere() {
    for plugin in [Plugin::Hostile, Plugin::HostileExclusive] {
        let server = Attacked::begin(options(plugin)).await;
        let flood = |function| ("flood the log", function, Serves("the guest shouts", 1));
        let larder = server.run(functions(plugin).map(flood)).await;
        for function in functions(plugin) {
            assert_log_was_limited(&larder, function);
        }
    }
}

/// Asserts that a part of each flood at this function was logged, but not much.
#[track_caller]
pub(crate) fn assert_log_was_limited(larder: &Larder, function: &str) {
    let lines = larder.lines();
    let count = |text: String| lines.iter().filter(|line| line.contains(&text)).count();
    let floods = count(format!("about to flood the log at {function}\""));
    let shouts = count(format!("the guest shouts at {function}, "));
    assert!(floods > 0, "no flood at {function}");
    let told = format!("{shouts} lines of {floods} floods at {function}");
    assert!(0 < shouts && shouts < 500 * floods, "{told}");
}
