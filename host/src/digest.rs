//! The short form of a fragment's spans.
