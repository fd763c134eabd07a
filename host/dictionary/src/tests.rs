#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod crashes;
mod hosts;
mod lost;
mod support;
mod writes;
