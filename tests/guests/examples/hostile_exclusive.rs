//! Exports the plugin `Hostile` as an exclusive component.

larder_plugin::export!(larder_guests::Hostile<true>);
