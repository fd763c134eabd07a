//! Escapes: `\n`, `\x{41}`, `\101`, and a backslash before what is not a letter or a digit.

use std::str::Chars;

use super::error::{Code, Refusal};

/// The code point of an escape with which `text` begins, and the text after it.
///
/// # Errors
/// `InvalidEscape` with the escape as far as it was read; `TrailingBackslash`.
pub(super) fn escape(text: &str) -> Result<(u32, &str), Refusal> {
    let mut rest = text.strip_prefix('\\').unwrap_or(text).chars();
    let Some(first) = rest.next() else {
        return Err(Refusal::new(Code::TrailingBackslash, ""));
    };
    let is_octal = rest.as_str().starts_with(|next: char| next.is_digit(8));
    let rune = match first {
        // One digit alone would refer back to a group.
        '1'..='7' if !is_octal => None,
        '0'..='7' => octal(first, &mut rest),
        'x' => hexadecimal(&mut rest),
        'a' => Some(0x07),
        'f' => Some(0x0C),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        't' => Some(0x09),
        'v' => Some(0x0B),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(u32::from(other)),
        _ => None,
    };
    let rest = rest.as_str();
    match rune {
        Some(rune) => Ok((rune, rest)),
        None => Err(Refusal::new(Code::InvalidEscape, until(text, rest))),
    }
}

/// The part of `text` before `rest`, which is its end.
pub(super) fn until<'a>(text: &'a str, rest: &str) -> &'a str {
    let end = text.len().saturating_sub(rest.len());
    text.get(..end).unwrap_or(text)
}

/// Up to three digits, of which `first` is one.
fn octal(first: char, rest: &mut Chars<'_>) -> Option<u32> {
    let mut rune = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = rest.clone().next().and_then(|next| next.to_digit(8)) else {
            break;
        };
        rest.next();
        rune = rune * 8 + digit;
    }
    Some(rune)
}

/// Two digits, or any number of them in braces.
fn hexadecimal(rest: &mut Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        let second = rest.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut rune = None;
    loop {
        let next = rest.next()?;
        if next == '}' {
            return rune;
        }
        let more = rune.unwrap_or(0) * 16 + next.to_digit(16)?;
        rune = Some(more).filter(|rune| *rune <= u32::from(char::MAX));
        rune?;
    }
}
