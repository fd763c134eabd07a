//! Protobuf's wire format over `&[u8]`.
