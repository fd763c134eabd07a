//! See the crate.

larder_plugin::export!(larder_guests::Hostile<false>);
