//! OTLP bytes to fragments with terms and digests.
