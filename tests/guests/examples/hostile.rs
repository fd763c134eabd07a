//! Exports the plugin `Hostile` as a component.

larder_plugin::export!(larder_guests::Hostile<false>);
