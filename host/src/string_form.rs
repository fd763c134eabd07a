//! Values as text, as Jaeger compares them.
