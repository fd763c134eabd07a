//! Copies of files that share their blocks with the original where the file system can, and are on disk when the call returns.

use std::fs::File;
use std::io::{self, Read as _};

/// Bytes between two syncs of a copy. A sync of the journal at the same time never has more than this to wait for.
const CHUNK: u64 = 32 << 20;

/// Copies the first `length` bytes of `from`, or all of them if it is shorter, into the empty file `to`, and syncs that. Returns the length
/// of the copy. `proceed` is asked before each part that is read, with the bytes that are left; its error ends the copy.
pub(crate) fn copy<E: From<io::Error>>(
    from: &File,
    to: &File,
    length: u64,
    mut proceed: impl FnMut(u64) -> Result<(), E>,
) -> Result<u64, E> {
    let length = length.min(from.metadata()?.len());
    if clone(from, to) {
        to.set_len(length)?;
        to.sync_all()?;
        return Ok(length);
    }
    let mut to = to;
    let mut copied = 0;
    while copied < length {
        let left = length - copied;
        proceed(left)?;
        let part = io::copy(&mut from.take(left.min(CHUNK)), &mut to)?;
        if part == 0 {
            break;
        }
        copied += part;
        to.sync_data()?;
    }
    to.sync_all()?;
    Ok(copied)
}

/// Makes `to` a copy of `from` that shares its blocks, and returns `true`, if the file system can.
#[cfg(target_os = "linux")]
fn clone(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn clone(_from: &File, _to: &File) -> bool {
    false
}
