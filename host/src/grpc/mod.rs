//! The gRPC services: wire in, wire out.
