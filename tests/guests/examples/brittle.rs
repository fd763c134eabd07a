//! Exports the plugin `Brittle` as a component.

larder_plugin::export!(larder_guests::Brittle);
