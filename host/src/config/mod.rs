//! Every setting, its default and where it comes from.
