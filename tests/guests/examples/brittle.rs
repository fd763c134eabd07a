//! See the crate.

larder_plugin::export!(larder_guests::Brittle);
