//! The time of the oldest write, as `statistics` reports it.

#![allow(clippy::unwrap_used, reason = "tests")]

use larder_memory::Memory;
use larder_plugin::Plugin as _;
use larder_plugin::testing::{batch, environment, fragment};

const SECOND: u64 = 1_000_000_000;

#[test]
fn it_is_the_first_write_of_the_oldest_trace_that_is_stored() {
    let mut memory = Memory::open(environment(&[("max_traces", "2")])).unwrap();
    assert_eq!(memory.statistics().oldest_write, None);
    for (trace, now, oldest) in [
        (1, 10, 10),
        (2, 20, 10),
        (1, 30, 10),
        // The first one is evicted, and then the second.
        (3, 40, 20),
        (4, 50, 40),
    ] {
        let batches = vec![batch([fragment(trace)])];
        memory.write(now * SECOND + 999, batches).unwrap();
        let told = memory.statistics().oldest_write;
        assert_eq!(told, Some(oldest * SECOND), "after trace {trace}");
    }
}

#[test]
fn a_trace_that_is_cut_keeps_its_time() {
    let mut memory = Memory::open(environment(&[("max_bytes", "8MiB")])).unwrap();
    let mut state = 1_u64;
    let mut noise = || {
        let bytes = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        });
        bytes.take(3500).flatten().collect::<Vec<u8>>()
    };
    let mut now = 5;
    while memory.statistics().evicted_spans == 0 {
        let part = fragment(7).otlp(noise());
        memory.write(now * SECOND, vec![batch([part])]).unwrap();
        now += 1;
        assert!(now < 1000, "the trace is never cut");
    }
    let counts = memory.statistics();
    assert_eq!((counts.traces, counts.evicted_traces), (1, 0));
    assert_eq!(counts.oldest_write, Some(5 * SECOND));
}
