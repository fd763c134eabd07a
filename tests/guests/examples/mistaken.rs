//! Exports the plugin `Mistaken` as a component.

larder_plugin::export!(larder_guests::Mistaken);
