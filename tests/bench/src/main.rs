//! Benchmark program.

fn main() {}
