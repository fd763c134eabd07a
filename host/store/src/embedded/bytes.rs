//! Numbers in byte strings: little endian in values and frames, big endian in keys, where order matters.

/// Cuts a number off the front; none where there are too few bytes.
pub(super) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*head))
}

/// As [`take_u64`], sixteen bytes.
pub(super) fn take_u128(bytes: &mut &[u8]) -> Option<u128> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u128::from_le_bytes(*head))
}

/// As [`take_u64`], four bytes.
pub(super) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

/// As [`take_u64`], one byte.
pub(super) fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    let (head, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*head)
}

/// Cuts this many bytes off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

/// The length of something that the driver keeps below 4 GiB.
pub(super) fn length_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
