//! Several hosts that write to the same data: random histories, and single cases. After each step the answer of each host is that of brute
//! force.
//!
//! `LARDER_PROPERTY_CASES=10000` runs more histories than by default.

mod property;
mod single;
mod world;
