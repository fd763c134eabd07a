//! Decodes numbers from byte strings. Values and frames are little endian; keys are big endian, so that they sort by number.

/// Takes a number from the front of `bytes`. Returns `None` if there are too few bytes.
pub(super) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*head))
}

/// Like [`take_u64`], of sixteen bytes.
pub(super) fn take_u128(bytes: &mut &[u8]) -> Option<u128> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u128::from_le_bytes(*head))
}

/// Like [`take_u64`], of four bytes.
pub(super) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

/// Like [`take_u64`], of one byte.
pub(super) fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    let (head, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*head)
}

/// Takes this many bytes from the front of `bytes`.
pub(super) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

/// The length of bytes that the driver limits to less than 4 GiB.
pub(super) fn length_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
