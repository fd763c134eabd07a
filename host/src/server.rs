//! Binds, serves and drains.
