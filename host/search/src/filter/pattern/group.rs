//! Parses the text after `(?`: a name, or flags, or flags and a group.

use super::error::{Code, Refusal};
use super::escape::until;
use super::node::Flags;

/// The meaning of a `(?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// `(?P<name>` or `(?<name>`. The name says nothing about what matches, and may repeat.
    Capture,
    /// `(?i:`: a group under these flags.
    Group(Flags),
    /// `(?i)`: these flags to the end of the group around it.
    Flags(Flags),
}

/// Parses the `(?` at the start of `text`, under these flags. Also returns the text after it.
///
/// # Errors
/// `InvalidNamedCapture` and `InvalidPerlSyntax`, with what was read so far.
pub(super) fn start(text: &str, flags: Flags) -> Result<(Start, &str), Refusal> {
    let named = text
        .strip_prefix("(?P<")
        .or_else(|| text.strip_prefix("(?<"));
    match named {
        Some(named) if !named.is_empty() => {
            let rest = name(text, named)?;
            Ok((Start::Capture, rest))
        }
        _ => set_flags(text, flags),
    }
}

/// Reads over a name and the `>` after it.
fn name<'a>(text: &str, named: &'a str) -> Result<&'a str, Refusal> {
    let Some((name, rest)) = named.split_once('>') else {
        return Err(Refusal::new(Code::InvalidNamedCapture, text));
    };
    let is_word = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    if name.is_empty() || !name.chars().all(is_word) {
        let fragment = until(text, rest);
        return Err(Refusal::new(Code::InvalidNamedCapture, fragment));
    }
    Ok(rest)
}

fn set_flags(text: &str, mut flags: Flags) -> Result<(Start, &str), Refusal> {
    let mut rest = text.strip_prefix("(?").unwrap_or(text).chars();
    let mut on = true;
    let mut is_set = false;
    while let Some(letter) = rest.next() {
        match letter {
            'i' => flags = flags.set(Flags::FOLD_CASE, on),
            'm' => flags = flags.set(Flags::ONE_LINE, !on),
            's' => flags = flags.set(Flags::DOT_NEWLINE, on),
            'U' => flags = flags.set(Flags::NON_GREEDY, on),
            '-' if on => {
                on = false;
                is_set = false;
                continue;
            }
            ':' if on || is_set => return Ok((Start::Group(flags), rest.as_str())),
            ')' if on || is_set => return Ok((Start::Flags(flags), rest.as_str())),
            _ => break,
        }
        is_set = true;
    }
    let fragment = until(text, rest.as_str());
    Err(Refusal::new(Code::InvalidPerlSyntax, fragment))
}
