//! Storage behind the plugins' kv import.
