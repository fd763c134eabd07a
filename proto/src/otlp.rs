//! Views of OTLP traces.
