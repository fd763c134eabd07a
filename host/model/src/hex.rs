//! Bytes as lower-case hexadecimal.

use std::fmt;

/// Displays bytes as lower-case hexadecimal. A precision limits the number of bytes: `{:.16}` shows 16 and then says how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().unwrap_or(usize::MAX);
        for byte in self.0.iter().take(shown) {
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > shown {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}
