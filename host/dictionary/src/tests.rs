#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod crashes;
mod lost;
mod support;
mod writes;
