//! Exports the plugin `Reaching` as a component.

larder_plugin::export!(larder_guests::Reaching);
